package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/testlog"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// filler is one of several backfills that share the store of a harness.
type filler struct {
	*exporter

	progress shelf
	filled   []refresh.BackfillResult
	err      error
	ended    chan struct{}
	cancel   context.CancelFunc
	killed   atomic.Bool // it ends without a word to the others
}

// fillShared starts a backfill beside others. It leaves the table when it ends.
func (w *harness) fillShared(table *table, f refresh.BackfillRequest) *filler {
	w.t.Helper()
	db, err := sqlite.Open(context.Background(), w.path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	b := &filler{exporter: &exporter{harness: w, member: table.join(), log: testlog.New(w.t)}, ended: make(chan struct{})}
	accounts := f.Accounts
	f.Accounts = nil
	for _, a := range accounts {
		a.Caller = observed{a.Caller, b.exporter}
		f.Accounts = append(f.Accounts, a)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	fill := refresh.NewBackfill(refresh.BackfillOptions{
		Store: fenced{db, b.member, nil}, Changes: db, Logger: log.NewLogfmtLogger(b.log), Now: time.Now, Progress: &b.progress,
		Sharing: b.member, SetShare: func(part float64) { b.part.Store(int64(100*part + 0.5)) },
	})
	go func() {
		defer close(b.ended)
		plan, err := fill.Plan(ctx, f)
		if err == nil {
			b.filled, err = fill.Run(ctx, plan)
		}
		b.err = err
		if !b.killed.Load() {
			b.leave()
		}
		b.err = errors.Join(b.err, db.Close()) //nolint:contextcheck // Close has no context
	}()
	w.t.Cleanup(func() {
		cancel()
		<-b.ended
	})
	synctest.Wait()
	return b
}

// wait waits until the backfill has ended, and fails if it does not within a time.
func (b *filler) wait(most time.Duration) {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(most):
		b.t.Fatalf("the backfill has not ended after %v", most)
	}
	if b.err != nil {
		b.t.Error(b.err)
	}
	if n := b.using(); n > 0 {
		b.t.Errorf("%d slots are in use after the end", n)
	}
}

// TestBackfillsShareTheWork: several backfills make no call twice, all days are known at the end, and all of them end.
func TestBackfillsShareTheWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		backfills int
		force     bool
		stagger   time.Duration
	}{
		"two at once":         {backfills: 2},
		"three, one by one":   {backfills: 3, stagger: 2 * time.Second},
		"two that know":       {backfills: 2, force: true},
		"three that know all": {backfills: 3, force: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFleet(t, "2026-03-10 09:00", 12)
				f := w.from("2026-02-16", "2026-03-07")
				f.Force = c.force
				table := newTable()
				var fillers []*filler
				for range c.backfills {
					fillers = append(fillers, w.fillShared(table, f))
					<-time.After(c.stagger)
				}
				var parts sync.WaitGroup
				for _, b := range fillers {
					parts.Go(func() { b.wait(time.Hour) })
				}
				parts.Wait()
				w.wantFilled(f)
				if twice := w.repeated(); len(twice) > 0 {
					t.Errorf("%d calls were repeated: %q", len(twice), twice)
				}
				learned := 0
				for i, b := range fillers {
					if n := b.calls.Load(); n < 10 {
						t.Errorf("backfill %d made only %d calls", i, n)
					}
					for _, r := range b.filled {
						learned += r.Learned[datacube.Daily]
						if r.Left != [datacube.APIs]int{} {
							t.Errorf("backfill %d left calls of %s: %v", i, r.Name, r.Left)
						}
					}
				}
				if want := 12 * 20; learned != want {
					t.Errorf("%d days were learned in all, want %d", learned, want)
				}
			})
		})
	}
}

// TestBackfillGoesOnForAnother: when one is killed, another one fills its accounts as well. The rate follows.
func TestBackfillGoesOnForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 09:00", 12)
		f := w.from("2026-02-20", "2026-03-07")
		table := newTable()
		one := w.fillShared(table, f)
		two := w.fillShared(table, f)
		setClock(t, "2026-03-10 09:00:11")
		if part := two.part.Load(); part < 5 || part > 95 {
			t.Errorf("one of two has %d %% of the rate", part)
		}
		one.cancel()
		one.wait(time.Minute)
		two.wait(time.Hour)
		w.wantFilled(f)
		if twice := w.repeated(); len(twice) > 0 {
			t.Errorf("calls were repeated: %q", twice)
		}
	})
}

// TestBackfillIsKilled: once its lease has ended another one fills its accounts as well, and repeats no call whose answer was
// stored.
func TestBackfillIsKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 09:00", 12)
		f := w.from("2026-02-20", "2026-03-07")
		table := newTable()
		one := w.fillShared(table, f)
		two := w.fillShared(table, f)
		setClock(t, "2026-03-10 09:00:11")
		one.killed.Store(true)
		one.cancel()
		one.wait(time.Minute)
		if n := one.calls.Load(); n < 5 {
			t.Errorf("the killed one made only %d calls", n)
		}
		two.wait(time.Hour)
		w.wantFilled(f)
		if ends := china(t, "2026-03-10 09:00:10").Add(leaseTime); time.Now().Before(ends) {
			t.Errorf("the other one ended at %v, before the lease did", time.Now())
		}
		if twice := w.repeated(); len(twice) > f.Concurrency {
			t.Errorf("more calls were repeated than were under way: %q", twice)
		}
	})
}

// TestBackfillLosesASlot: an answer that cannot be stored is dropped, and the account goes back into the queue.
func TestBackfillLosesASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 09:00", 3)
		w.delay = 2 * time.Second
		f := w.from("2026-03-05", "2026-03-07")
		table := newTable()
		one := w.fillShared(table, f)
		other := table.join()
		setClock(t, "2026-03-10 09:00:01")
		one.steal(store.SlotOf(account(1).AppID), other)
		setClock(t, "2026-03-10 09:02")
		if r := one.progress.latest["account00"]; r.Ended || r.Done > 0 {
			t.Errorf("the account of the lost slot is shown as %+v", r)
		}
		if r := one.progress.latest["account01"]; !r.Ended {
			t.Errorf("another account is shown as %+v", r)
		}
		w.write(account(1).AppID, f.Since, f.Since+1) // by the other one, which ends before it is done
		other.leave()
		one.wait(time.Minute)
		w.wantFilled(f)
		if n := w.asked(account(1).AppID, f.Since); n > 1 {
			t.Errorf("a day that the other one has stored was requested %d times", n)
		}
		if lines := one.log.Lines("level=info", "another process has taken over", "accounts=1"); len(lines) != 1 {
			t.Errorf("log lines: %q", lines)
		}
	})
}

// TestBackfillsThatCannotGoOn: one that waits for its quota keeps its slots, and another one waits for it but not for ever.
func TestBackfillsThatCannotGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 21:00", 2)
		f := w.from("2026-03-05", "2026-03-07")
		f.Wait = true
		end := w.sim.Inject(weixintest.Fault{API: "hourly", Errcode: 45009})
		table := newTable()
		fillers := []*filler{w.fillShared(table, f), w.fillShared(table, f)}
		setClock(t, "2026-03-10 23:00")
		attempts := w.attempts("hourly")
		if attempts > 4 {
			t.Errorf("%d calls although the quota was used up", attempts)
		}
		end()
		for i, b := range fillers {
			select {
			case <-b.ended:
				t.Errorf("backfill %d has ended", i)
			default:
			}
		}
		for _, b := range fillers {
			b.wait(2 * time.Hour)
		}
		w.wantFilled(f)
	})
}

// TestBackfillCannotReachTheOthers: it goes on for a while, and then says what is wrong.
func TestBackfillCannotReachTheOthers(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"for a moment": 30 * time.Second, "for ever": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFleet(t, "2026-03-10 09:00", 10)
				f := w.from("2026-02-20", "2026-03-07")
				b := w.fillShared(newTable(), f)
				b.reach(false)
				<-time.After(min(away, 10*time.Minute))
				b.reach(true)
				select {
				case <-b.ended:
				case <-time.After(time.Hour):
					t.Fatal("it has not ended")
				}
				if got, want := b.err != nil, away > time.Hour; got != want {
					t.Errorf("the error is %v", b.err)
				}
				if lines := b.log.Lines("level=warn", "cannot tell other backfills"); len(lines) != 1 {
					t.Errorf("log lines: %q", lines)
				}
				if b.err == nil {
					w.wantFilled(f)
				}
				if twice := w.repeated(); len(twice) > 0 {
					t.Error(fmt.Sprint("calls were repeated: ", twice))
				}
			})
		})
	}
}
