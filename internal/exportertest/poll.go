package exportertest

import (
	"context"
	"time"
)

// Poll calls try until it returns no error, or until ctx ends, and then returns the last error of try. The first pause is
// of 10 ms and each further one is longer, up to a quarter of a second: several tests wait at a time, and what they wait for
// needs the processors.
func Poll(ctx context.Context, try func() error) error {
	const longest = 250 * time.Millisecond
	pause := 10 * time.Millisecond
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause = min(pause+pause/2, longest)
		}
	}
}
