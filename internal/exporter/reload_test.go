package exporter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestReloadsAreShared: requests that come during a reload share the next one; those whose clients have gone
// cause none.
func TestReloadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, begun, release, errBad := newReloads(), 0, make(chan struct{}), errors.New("bad")
		go r.run(t.Context(), func(context.Context) error { begun++; <-release; return errBad })
		ended := make(chan error)
		ask := func(ctx context.Context, times int) {
			for range times {
				go func() { ended <- r.ask(ctx) }()
			}
			synctest.Wait()
		}
		collect := func(times int, want error) {
			t.Helper()
			for range times {
				if err := <-ended; !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			}
		}
		ask(t.Context(), 1)
		gone, leave := context.WithCancel(t.Context())
		ask(gone, 50)
		leave()
		collect(50, context.Canceled)
		release <- struct{}{}
		collect(1, errBad)
		synctest.Wait()
		if begun != 1 {
			t.Errorf("%d reloads for one client and 50 that have gone", begun)
		}

		ask(t.Context(), 1)
		ask(t.Context(), 50)
		release <- struct{}{}
		collect(1, errBad)
		release <- struct{}{}
		collect(50, errBad)
		if begun != 3 {
			t.Errorf("%d reloads, want one and then one for 50 clients", begun-1)
		}
	})
}
