package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"weixin_exporter/internal/config"
)

// interruptible returns what do does, or the context's error as soon as it ends: a file on a network drive
// or a pipe may let its reader wait for ever.
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

// loadConfig reads the configuration until the context ends.
func loadConfig(ctx context.Context, path string) (*config.Config, error) {
	return interruptible(ctx, func() (*config.Config, error) { return config.Load(path) })
}

// checkWebConfig returns an error in one line if the file of the exporter toolkit is not good. The toolkit's
// own error may quote a value, which may be a secret.
func (w *Web) checkWebConfig(ctx context.Context) error {
	path := *w.Toolkit.WebConfigFile
	_, err := interruptible(ctx, func() (struct{}, error) { return struct{}{}, toolkit.Validate(path) })
	var file *os.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &file) && file.Path != path:
		return fmt.Errorf("--web.config.file=%s: %s cannot be read: %w", path, file.Path, file.Err)
	case file != nil:
		return fmt.Errorf("--web.config.file=%s: the file cannot be read: %w", path, file.Err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	text := regexp.MustCompile("`[^`]*`").ReplaceAllString(strings.Join(lines, " "), "a value")
	return fmt.Errorf("--web.config.file=%s: %s", path, text)
}
