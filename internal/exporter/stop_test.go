package exporter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// promisedStop is how long a stop may take by the documents, with the end of the process.
const promisedStop = 5 * time.Second

// TestStopWhateverHangs: what ends in time after the end of the context is waited for, and what does not is left behind.
func TestStopWhateverHangs(t *testing.T) {
	t.Parallel()
	const running = time.Hour // before the end of the context
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		takes time.Duration // from the beginning
		waits time.Duration // from the end of the context
		left  bool          // behind
	}{
		"ends before":          {takes: time.Minute},
		"ends at once":         {takes: running},
		"ends in time":         {takes: running + 4*time.Second, waits: 4 * time.Second},
		"does not end in time": {takes: running + promisedStop, waits: stopTime, left: true},
		"hangs":                {takes: 1000 * running, waits: stopTime, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), running)
				defer cancel()
				over := make(chan struct{})
				defer close(over)
				began := time.Now()
				err := withinStopTime(ctx, func() error {
					select {
					case <-time.After(c.takes): // of the bubble's clock
					case <-over:
					}
					return failed
				})
				want := min(c.takes, running) + c.waits
				if took := time.Since(began); took != want || took >= running+promisedStop {
					t.Errorf("ended after %v, want %v, and in less than %v since the end of the context", took, want, promisedStop)
				}
				if c.left == errors.Is(err, failed) || c.left && !strings.HasPrefix(err.Error(), "stopped without closing the store") {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}
