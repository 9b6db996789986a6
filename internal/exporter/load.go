package exporter

import (
	"context"

	"weixin_exporter/internal/config"
)

// interruptible returns the result of do, or the context's error as soon as the context ends: reading from a
// network drive or a pipe may block forever.
func interruptible[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// LoadConfig reads the configuration. It returns the context's error as soon as the context ends, even if
// reading a file still blocks.
func LoadConfig(ctx context.Context, path string) (*config.Config, error) {
	return interruptible(ctx, func() (*config.Config, error) { return config.Load(path) })
}
