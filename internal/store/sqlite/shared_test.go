package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

func TestTwoStoresOnOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	one, other := open(t, path), open(t, path)
	save(t, one, daily(shop, firstDay, 1))
	save(t, other, daily(bot, firstDay, 2))
	if revisions := save(t, other, daily(shop, firstDay, 3)); len(revisions) != 1 {
		t.Errorf("a day that the other store saved was revised %d times", len(revisions))
	}
	if diff := cmp.Diff(load(t, one, firstDay), load(t, other, firstDay)); diff != "" {
		t.Errorf("they differ:\n%s", diff)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	save(t, other, daily(shop, firstDay+1, 4))
	if got := load(t, open(t, path), firstDay); len(got) != 2 || got[shop].Days[datacube.Daily] != 2 {
		t.Errorf("got %v", got)
	}
}

// openLocked opens a store in a synctest bubble, and then locks its file as another process would.
func openLocked(t *testing.T, path string, busy time.Duration) (*sqlite.Store, *sql.DB) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: busy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	db := shell(t, path)
	run(t, db, `BEGIN IMMEDIATE`)
	return s, db
}

// The clock is that of the synctest bubble, so nothing really waits.
func TestAWriteWaitsForAnotherProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		s, db := openLocked(t, path, 0)
		done := time.AfterFunc(3*time.Second, func() { _, _ = db.ExecContext(context.Background(), `COMMIT`) })
		defer done.Stop()
		save(t, s, daily(shop, firstDay, 1))

		run(t, db, `BEGIN IMMEDIATE`)
		load(t, s, firstDay) // reads never wait
		_, err := s.Save(t.Context(), []store.Record{daily(shop, firstDay, 2)})
		want := fmt.Sprintf("store %q: save 2026-11-01 of wx0123456789abcdef, daily: another process has kept the file locked for more than 5s; let it finish or stop it: database is locked (5) (SQLITE_BUSY)", path)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if _, err = s.Prune(t.Context(), firstDay); err == nil {
			t.Error("deleted days while the file was locked")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Save(ctx, []store.Record{daily(shop, firstDay, 2)})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the context's end: %v", err)
		}
		run(t, db, `ROLLBACK`)
		if got := save(t, s, daily(shop, firstDay, 1)); len(got) > 0 {
			t.Errorf("one of the failed writes was stored: %v", got)
		}
	})
}

// A write also waits for another one of the same process, until its context ends.
func TestWaitingToWriteEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		s, db := openLocked(t, path, time.Hour)
		first := make(chan error, 1)
		go func() {
			_, err := s.Save(t.Context(), []store.Record{daily(shop, firstDay, 1)})
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Save(ctx, []store.Record{daily(bot, firstDay, 1)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		run(t, db, `COMMIT`)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if got := load(t, s, firstDay); len(got) != 1 || got[shop] == nil {
			t.Errorf("got %v", got)
		}
	})
}

// Load sees each Save completely or not at all, states and figures alike.
func TestLoadBesideSave(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		const writers, rounds = 3, 8
		// A version of the account's day: everything in it tells the same number.
		version := func(account int, n int64) store.Record {
			var hours datacube.Hours
			for h := range hours {
				hours[h].Callbacks = n
			}
			r := hourly(appID(account), firstDay, hours)
			r.State.Asks = int(n)
			return r
		}
		check := func() error {
			accounts, err := s.Load(t.Context(), firstDay)
			if err != nil {
				return err
			}
			for id, a := range accounts {
				n := int64(a.States[datacube.Hourly].At(firstDay).Asks)
				for hour, f := range a.Hourly.Hours {
					if f.Callbacks != n {
						return fmt.Errorf("%s: hour %d is of version %d, the state of %d", id, hour, f.Callbacks, n)
					}
				}
			}
			return nil
		}
		var writing, reading sync.WaitGroup
		var ended atomic.Bool
		for w := range writers {
			writing.Go(func() {
				for n := range int64(rounds) {
					records := []store.Record{version(w, n+1), version(writers, int64(w)*rounds+n+1)}
					if _, err := s.Save(t.Context(), records); err != nil {
						t.Error(err)
					}
				}
			})
			reading.Go(func() {
				for !ended.Load() {
					if err := check(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		ended.Store(true)
		reading.Wait()
		accounts := load(t, s, firstDay)
		for w := range writers {
			if got := accounts[appID(w)].Hourly.Hours[7].Callbacks; got != rounds {
				t.Errorf("account %d ended at version %d", w, got)
			}
		}
	})
}

// countdown is a context that is cancelled when it is looked at for the n-th time: it
// countdown is a context that is canceled when it is checked for the n-th time, which interrupts a call
// at any point, the same one each time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   *atomic.Int64
}

func newCountdown(parent context.Context, n int64) countdown {
	ctx, cancel := context.WithCancel(parent)
	left := new(atomic.Int64)
	left.Store(n)
	return countdown{ctx, cancel, left}
}

func (c countdown) Done() <-chan struct{} {
	if c.left.Add(-1) == 0 {
		c.cancel()
	}
	return c.Context.Done()
}

func TestInterruptedSaveStoresAllOrNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		records := []store.Record{
			daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}}),
			hourly(bot, firstDay, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}}),
		}
		save(t, s, records...)
		before := load(t, s, 0)
		records[0].Daily.Callbacks++
		records[1].Hourly[1].Callbacks++
		records[2].Hourly[1].Callbacks++
		records = append(records, daily("wxlate", firstDay, 1))
		broken := 0
		for n := int64(1); ; n += 1 + n/16 {
			ctx := newCountdown(t.Context(), n)
			revisions, err := s.Save(ctx, records)
			ctx.cancel()
			if err == nil {
				if len(revisions) != 3 {
					t.Errorf("%d revisions", len(revisions))
				}
				break
			}
			broken++
			if !errors.Is(err, context.Canceled) || revisions != nil {
				t.Fatalf("interrupted at %d: %v, %v", n, err, revisions)
			}
			if diff := cmp.Diff(before, load(t, s, 0)); diff != "" {
				t.Fatalf("interrupted at %d, stored in part (-before +after):\n%s", n, diff)
			}
		}
		if broken < 10 {
			t.Errorf("interrupted at %d points only", broken)
		}
		if got := load(t, s, 0); got["wxlate"] == nil || got[shop].Daily.Figures.Callbacks != 2 {
			t.Errorf("the last one was not stored: %v", got)
		}
	})
}

func TestInterruptedLoad(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		save(t, s, daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}}))
		want := load(t, s, 0)
		for n := int64(1); ; n += 1 + n/16 {
			ctx := newCountdown(t.Context(), n)
			got, err := s.Load(ctx, 0)
			ctx.cancel()
			if err == nil {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				break
			}
			if !errors.Is(err, context.Canceled) || got != nil {
				t.Fatalf("interrupted at %d: %v", n, err)
			}
		}
	})
}

func TestInterruptedPrune(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		save(t, s, daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}}))
		before := load(t, s, 0)
		for n := int64(1); ; n += 1 + n/16 {
			ctx := newCountdown(t.Context(), n)
			days, err := s.Prune(ctx, firstDay+1)
			ctx.cancel()
			if err == nil {
				if days != 2 {
					t.Errorf("deleted %d days", days)
				}
				break
			}
			if diff := cmp.Diff(before, load(t, s, 0)); diff != "" || days != 0 {
				t.Fatalf("interrupted at %d, partly deleted (-before +after):\n%s", n, diff)
			}
		}
	})
}

func TestInterruptedOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	for n := int64(1); ; n += 1 + n/16 {
		ctx := newCountdown(t.Context(), n)
		s, err := sqlite.Open(ctx, path, sqlite.Options{})
		if err == nil {
			// The store outlives the context of Open.
			ctx.cancel()
			save(t, s, daily(shop, firstDay, 1))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		ctx.cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %d: %v", n, err)
		}
	}
	if got := load(t, open(t, path), 0); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
