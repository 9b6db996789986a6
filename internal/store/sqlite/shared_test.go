package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
)

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

func TestInterruptedOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	for n := int64(1); ; n += 1 + n/16 {
		ctx := storetest.NewCountdown(t.Context(), n)
		s, err := sqlite.Open(ctx, path, sqlite.Options{})
		if err == nil {
			// The store outlives the context of Open.
			ctx.Cancel()
			save(t, s, daily(shop, firstDay, 1))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		ctx.Cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %d: %v", n, err)
		}
	}
	if got := load(t, open(t, path), 0); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
