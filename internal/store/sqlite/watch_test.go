package sqlite_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// served opens a store as the exporter does.
func served(t *testing.T, path string) (*sqlite.Store, *sqlite.Lock) {
	t.Helper()
	held, err := sqlite.TakeLock(path, firstDay.Start())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Lock: held})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close() // which a test may have done
		_ = held.Release()
	})
	return s, held
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// copied copies the bytes of a file to another one, as cp does.
func copied(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		t.Fatal(err)
	}
}

func renamed(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// fillAndBackUp saves 60 days, and makes a backup of the first 20.
func fillAndBackUp(t *testing.T, s *sqlite.Store, backup string) {
	t.Helper()
	records := make([]store.Record, 60)
	for day := range records {
		records[day] = daily(shop, firstDay+datacube.Date(day), 1)
	}
	save(t, s, records[:20]...)
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	save(t, s, records[20:]...)
}

// stored returns the number of days of the daily call in a store.
func stored(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	if a := load(t, s, firstDay)[shop]; a != nil {
		return a.Days[datacube.Daily]
	}
	return 0
}

// wantWhole checks that the file is an undamaged store with this number of days.
func wantWhole(t *testing.T, path string, want int64) {
	t.Helper()
	if got := table(t, shell(t, path), `PRAGMA integrity_check`); got != "ok\n" {
		t.Errorf("the file is damaged: %s", got)
	}
	if got := stored(t, open(t, path)); got != want {
		t.Errorf("the file has %d days, want %d", got, want)
	}
}

const (
	wasDeleted     = "the file was deleted while it was open"
	wasReplaced    = "the file was replaced while it was open"
	walGone        = "the -wal or -shm file was deleted or replaced while the file was open"
	wasOverwritten = "the file was overwritten while it was open"
	wasShrunk      = "the file was truncated while it was open"
)

// changes are what can happen to a store of 60 days, of which a backup has 20.
var changes = map[string]struct {
	do   func(t *testing.T, path, backup string)
	what string
	left int64 // days
}{
	"deleted":                 {func(t *testing.T, path, _ string) { t.Helper(); remove(t, path) }, wasDeleted, 60},
	"all of it deleted":       {func(t *testing.T, path, _ string) { t.Helper(); remove(t, path, path+"-wal", path+"-shm") }, wasDeleted, 60},
	"the WAL file deleted":    {func(t *testing.T, path, _ string) { t.Helper(); remove(t, path+"-wal") }, walGone, 60},
	"the -shm file deleted":   {func(t *testing.T, path, _ string) { t.Helper(); remove(t, path+"-shm") }, walGone, 60},
	"a backup moved over it":  {func(t *testing.T, path, backup string) { t.Helper(); renamed(t, backup, path) }, wasReplaced, 20},
	"a backup copied over it": {func(t *testing.T, path, backup string) { t.Helper(); copied(t, backup, path) }, wasOverwritten, 20},
	"deleted, and a backup copied there": {func(t *testing.T, path, backup string) {
		t.Helper()
		remove(t, path, path+"-wal", path+"-shm")
		copied(t, backup, path)
	}, wasReplaced, 20},
}

func TestAFileThatChangesWhileItIsOpen(t *testing.T) {
	t.Parallel()
	for name, test := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, backup := filepath.Join(t.TempDir(), "store.db"), filepath.Join(t.TempDir(), "backup.db")
			s, held := served(t, path)
			fillAndBackUp(t, s, backup)
			if done, err := s.Recover(t.Context()); done != "" || err != nil {
				t.Errorf("before: %q, %v", done, err)
			}
			other, err := sqlite.Open(t.Context(), path, sqlite.Options{}) // another process, such as a backfill
			if err != nil {
				t.Fatal(err)
			}
			test.do(t, path, backup)

			for _, one := range []*sqlite.Store{s, other} {
				_, err := one.Save(t.Context(), []store.Record{daily(shop, firstDay+100, 1)})
				// Without a lock there is no mark by which a copy written over the file could be recognized.
				if wrong := err == nil || !strings.Contains(err.Error(), test.what); wrong && (one == s || test.what != wasOverwritten) {
					t.Errorf("saving: %v, want %s", err, test.what)
				}
			}
			if err := s.Fault(); err == nil || !strings.Contains(err.Error(), test.what) {
				t.Errorf("fault %v", err)
			}
			if test.what == wasOverwritten {
				_ = other.Close()
			}
			done, err := s.Recover(t.Context())
			if err != nil || !strings.HasPrefix(done, test.what+": ") {
				t.Fatalf("recovered: %q, %v", done, err)
			}
			if got := stored(t, s); got != test.left {
				t.Errorf("%d days, want %d", got, test.left)
			}
			save(t, s, daily(shop, firstDay+200, 1))
			if done, err := s.Recover(t.Context()); done != "" || err != nil {
				t.Errorf("afterwards: %q, %v", done, err)
			}
			_ = other.Close()
			if err := errors.Join(s.Close(), held.Release()); err != nil {
				t.Error(err)
			}
			if got := contents(t, filepath.Dir(path)); len(got) != 1 {
				t.Errorf("something was left behind: %d files", len(got))
			}
			wantWhole(t, path, test.left+1)
		})
	}
}

// busyDay returns a day with traffic in each hour.
func busyDay() datacube.Hours {
	var hours datacube.Hours
	for hour := range hours {
		hours[hour] = datacube.Figures{Callbacks: 1}
	}
	return hours
}

// busyDays returns days with traffic in each hour.
func busyDays(n datacube.Date) []store.Record {
	var records []store.Record
	for day := range n {
		records = append(records, hourly(shop, firstDay+day, busyDay()), daily(shop, firstDay+day, 1))
	}
	return records
}

func TestAFileThatAnotherProcessCompacts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, _ := served(t, path)
	save(t, s, busyDays(100)...)
	if _, err := s.Prune(t.Context(), firstDay+90); err != nil {
		t.Fatal(err)
	}
	db := shell(t, path)
	run(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err := s.Fault(); err != nil {
		t.Fatal(err)
	}
	run(t, db, `VACUUM`)
	run(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if done, err := s.Recover(t.Context()); err != nil || done == "" {
		t.Errorf("recovered: %q, %v", done, err)
	}
	save(t, s, daily(shop, firstDay, 1))
}

// TestARestoreAfterACrash replaces the store of a killed process by a backup, and leaves the files beside
// it.
func TestARestoreAfterACrash(t *testing.T) {
	t.Parallel()
	restores := map[string]struct {
		do   func(t *testing.T, path, backup string)
		left int64
		keep func(t *testing.T, from, to string)
	}{
		"nothing": {func(*testing.T, string, string) {}, 60, copied},
		"moved":   {changes["a backup moved over it"].do, 20, renamed},
		"copied":  {changes["a backup copied over it"].do, 20, copied},
		"removed": {changes["deleted, and a backup copied there"].do, 20, renamed},
	}
	for name, test := range restores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			living, backup := filepath.Join(t.TempDir(), "store.db"), filepath.Join(t.TempDir(), "backup.db")
			s, _ := served(t, living)
			fillAndBackUp(t, s, backup)
			// A killed process leaves its files as they are at that moment. The lock of a dead process
			// is free, so it is a copy in any case.
			path := filepath.Join(filepath.Dir(living), "killed.db")
			for _, kind := range []string{"", "-wal", "-shm"} {
				test.keep(t, living+kind, path+kind)
			}
			copied(t, living+".lock", path+".lock")
			test.do(t, path, backup)
			next, _ := served(t, path)
			if got := stored(t, next); got != test.left {
				t.Errorf("%d days, want %d", got, test.left)
			}
			if err := next.Close(); err != nil {
				t.Error(err)
			}
			wantWhole(t, path, test.left)
			if _, err := os.Stat(path + "-wal.stale"); (err == nil) != (name == "moved" || name == "copied") {
				t.Errorf("the WAL file of the previous store: %v", err)
			}
		})
	}
}

// killed leaves the files of a store of 60 days as a killed process does, of which a backup has 20, and returns the path.
func killed(t *testing.T, backup string) string {
	t.Helper()
	living := filepath.Join(t.TempDir(), "store.db")
	s, held := served(t, living)
	fillAndBackUp(t, s, backup)
	path := filepath.Join(filepath.Dir(living), "killed.db")
	for _, kind := range []string{"", "-wal", "-shm"} {
		renamed(t, living+kind, path+kind)
	}
	copied(t, living+".lock", path+".lock")
	_ = errors.Join(s.Close(), held.Release()) // the process is dead
	return path
}

// TestARestoreAfterAFailedStart: a start that fails after a crash does not lose what tells the next one that the WAL file is
// stale.
func TestARestoreAfterAFailedStart(t *testing.T) {
	t.Parallel()
	backup := filepath.Join(t.TempDir(), "backup.db")
	path := killed(t, backup)
	remove(t, path)
	if err := os.Mkdir(path, 0o700); err != nil { // which no user can open as a file
		t.Fatal(err)
	}
	for range 2 {
		if _, err := sqlite.Serve(t.Context(), path, firstDay.Start()); err == nil {
			t.Fatal("a folder was opened")
		}
	}
	remove(t, path)
	copied(t, backup, path)
	next, _ := served(t, path)
	if got := stored(t, next); got != 20 {
		t.Errorf("%d days, want those of the backup", got)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	wantWhole(t, path, 20)
}

// TestARestoreWhoseStaleWALCannotBeMoved: the next start moves it, since it is still known that it is stale.
func TestARestoreWhoseStaleWALCannotBeMoved(t *testing.T) {
	t.Parallel()
	backup := filepath.Join(t.TempDir(), "backup.db")
	path := killed(t, backup)
	remove(t, path)
	copied(t, backup, path)
	inTheWay := path + "-wal.stale"
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := sqlite.Serve(t.Context(), path, firstDay.Start()); err == nil || !strings.Contains(err.Error(), "move aside") {
			t.Fatalf("opened, although the -wal file cannot be moved: %v", err)
		}
	}
	remove(t, inTheWay)
	next, _ := served(t, path)
	if got := stored(t, next); got != 20 {
		t.Errorf("%d days, want those of the backup", got)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	wantWhole(t, path, 20)
}

// TestDeliveryOfAReplacedFile: what was read of a file is not recorded in the one that has replaced it, although that one has
// reached its marks in the meantime, with other days.
func TestDeliveryOfAReplacedFile(t *testing.T) {
	t.Parallel()
	path, backup := filepath.Join(t.TempDir(), "store.db"), filepath.Join(t.TempDir(), "backup.db")
	s, _ := served(t, path)
	save(t, s, daily(shop, firstDay, 1))
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	save(t, s, daily(shop, firstDay+1, 1))
	save(t, s, daily(shop, firstDay+2, 1))
	held, err := s.ReadPending(t.Context(), receiver, beforeAll, 1000, shop)
	if err != nil || len(held) != 1 || len(held[0].Daily) != 3 {
		t.Fatal(held, err)
	}
	renamed(t, backup, path)
	if done, err := s.Recover(t.Context()); err != nil || done == "" {
		t.Fatalf("recovered: %q, %v", done, err)
	}
	for day := firstDay + 1; day < firstDay+5; day++ {
		save(t, s, daily(shop, day, 2))
	}
	if err := s.MarkDelivered(t.Context(), receiver, firstDay.End(), held...); err != nil {
		t.Fatal(err)
	}
	if days := deliver(t, s, shop); days[shop] != 5 {
		t.Errorf("%d days are sent, want all five", days[shop])
	}
	if days := deliver(t, s, shop); days[shop] != 0 {
		t.Errorf("%d days are sent again", days[shop])
	}
}

// TestAStoreThatReplacesThatOfAKilledProcess: the -wal file that comes with the new file belongs to it.
func TestAStoreThatReplacesThatOfAKilledProcess(t *testing.T) {
	t.Parallel()
	path := killed(t, filepath.Join(t.TempDir(), "backup.db"))
	s, _ := served(t, path)
	if got := stored(t, s); got != 60 {
		t.Fatalf("%d days after a crash", got)
	}
	source := filepath.Join(t.TempDir(), "other.db")
	other := open(t, source)
	save(t, other, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), daily(shop, firstDay+2, 1))
	moved := filepath.Join(t.TempDir(), "moved.db")
	for _, kind := range []string{"-wal", ""} {
		copied(t, source+kind, moved+kind)
		renamed(t, moved+kind, path+kind)
	}
	if done, err := s.Recover(t.Context()); err != nil || !strings.HasPrefix(done, wasReplaced) {
		t.Errorf("recovered: %q, %v", done, err)
	}
	if got := stored(t, s); got != 3 {
		t.Errorf("%d days, want those of the new file and its -wal", got)
	}
}

func TestADiskThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		thaw := make(chan struct{})
		var frozen atomic.Bool
		ctx := context.Background()
		path := filepath.Join(t.TempDir(), "store.db")
		s, err := sqlite.Open(ctx, path, sqlite.Options{Probe: func() {
			if frozen.Load() {
				<-thaw
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		save(t, s, daily(shop, firstDay, 1))
		frozen.Store(true)
		<-time.After(2 * time.Second) // of the bubble's clock
		for i, want := range []time.Duration{4 * time.Second, 0, 0} {
			began := time.Now()
			_, err := s.Save(ctx, []store.Record{daily(shop, firstDay+1, 1)})
			if took := time.Since(began); store.KindOf(err) != store.IO || took != want || !strings.Contains(err.Error(), "the disk does not respond") {
				t.Errorf("attempt %d: %v after %v, want an error after %v", i, err, took, want)
			}
		}
		if err := s.CheckDisk(); err == nil {
			t.Error("the disk does not hang")
		}
		if _, err := s.Recover(ctx); err == nil {
			t.Error("recovered")
		}
		frozen.Store(false)
		close(thaw)
		synctest.Wait()
		if err := s.CheckDisk(); err != nil {
			t.Error(err)
		}
		save(t, s, daily(shop, firstDay+1, 1))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRecoverWaitsForNoOne: while nothing is wrong, checking the files waits for no read, and no access waits for the check.
func TestRecoverWaitsForNoOne(t *testing.T) {
	t.Parallel()
	s, _ := served(t, filepath.Join(t.TempDir(), "store.db"))
	save(t, s, daily(shop, firstDay, 1))
	err := s.ReadFigures(t.Context(), func(*store.FigureReader) error {
		if done, err := s.Recover(t.Context()); done != "" || err != nil {
			t.Errorf("recovered: %q, %v", done, err)
		}
		save(t, s, daily(shop, firstDay+1, 1))
		return s.Fault()
	})
	if err != nil {
		t.Error(err)
	}
}
