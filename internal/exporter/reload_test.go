package exporter

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestReloadsAreShared: requests that come during a reload share the next one; those whose clients have gone
// cause none.
func TestReloadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, begun, release, errBad := newReloads(time.Now), 0, make(chan struct{}), errors.New("bad")
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

// TestReloadsRest: reloads that are requested without end take half of the time.
func TestReloadsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, took := time.Now(), 2*time.Second
		var at []time.Duration
		r := newReloads(time.Now)
		go r.run(t.Context(), func(context.Context) error {
			at = append(at, time.Since(began))
			<-time.After(took)
			return nil
		})
		for range 3 {
			if err := r.ask(t.Context()); err != nil {
				t.Error(err)
			}
		}
		took = time.Minute
		for range 2 {
			if err := r.ask(t.Context()); err != nil {
				t.Error(err)
			}
		}
		want := []time.Duration{0, 4 * time.Second, 8 * time.Second, 12 * time.Second, 82 * time.Second}
		if !slices.Equal(at, want) {
			t.Errorf("reloads began after %v, want %v", at, want)
		}
	})
}

// TestReloadThatHasBegun: when the program stops during a reload, its outcome is still reported.
func TestReloadThatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, release, errBad := newReloads(time.Now), make(chan struct{}), errors.New("bad")
		ctx, stop := context.WithCancel(t.Context())
		go r.run(ctx, func(context.Context) error { <-release; return errBad })
		begun, later := make(chan error, 1), make(chan error, 1)
		go func() { begun <- r.ask(ctx) }()
		synctest.Wait()
		go func() { later <- r.ask(ctx) }()
		synctest.Wait()
		stop()
		if err := <-later; !errors.Is(err, context.Canceled) {
			t.Errorf("a reload that has not begun: %v", err)
		}
		release <- struct{}{}
		if err := <-begun; !errors.Is(err, errBad) {
			t.Errorf("a reload that has begun: %v, want %v", err, errBad)
		}
	})
}
