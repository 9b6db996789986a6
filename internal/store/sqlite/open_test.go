package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

// contents returns the files of a folder and their content.
func contents(tb testing.TB, folder string) map[string]string {
	tb.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	files := make(map[string]string)
	for _, entry := range entries {
		if entry.IsDir() {
			files[entry.Name()] = "(folder)"
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			tb.Fatal(err)
		}
		files[entry.Name()] = string(data)
	}
	return files
}

// closed creates a store with a day of many accounts and closes it.
func closed(tb testing.TB, path string, accounts int) {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	save(tb, s, storetest.Round(accounts, firstDay)...)
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func write(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// change applies a function to the bytes of a file.
func change(tb testing.TB, path string, edit func([]byte) []byte) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, path, edit(data))
}

const (
	notOurs      = `this is not an SQLite database, or its header is damaged; change store.path, or move the file away: file is not a database (26)`
	isDamaged    = `the file is damaged; stop the exporter, save what can still be read with weixin_exporter export, remove the file with its -wal and -shm files, and restore a backup, or start without one: the exporter then fetches the days of refresh.history again, and weixin_exporter backfill the older ones that Weixin still has: `
	otherProgram = `this is a database of another program; change store.path`
)

// schemas returns the numbers of the migrations, in order.
func schemas(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("migrations")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	numbers := make([]string, len(files))
	for i, file := range files {
		number, _, _ := strings.Cut(file.Name(), "_")
		numbers[i] = strings.TrimLeft(number, "0")
	}
	return numbers
}

func latestSchema(t *testing.T) string {
	t.Helper()
	numbers := schemas(t)
	return numbers[len(numbers)-1]
}

func TestOpenFailsWithoutChangingAnything(t *testing.T) {
	t.Parallel()
	const pageSize = 4096
	tests := map[string]struct {
		prepare func(t *testing.T, path string)
		want    string // %[1]q is the path, %[2]q its folder
	}{
		"a folder": {
			func(t *testing.T, path string) {
				t.Helper()
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			},
			`this is a folder; set store.path to a file in it`,
		},
		"text": {
			func(t *testing.T, path string) { t.Helper(); write(t, path, []byte("accounts:\n- name: shop\n")) },
			notOurs,
		},
		"garbage": {
			func(t *testing.T, path string) {
				t.Helper()
				write(t, path, bytes.Repeat([]byte("garbage "), pageSize))
			},
			notOurs,
		},
		"a header with garbage behind it": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 1)
				change(t, path, func(b []byte) []byte { copy(b[16:100], bytes.Repeat([]byte{0x5a}, 84)); return b })
			},
			notOurs,
		},
		"cut off": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 50)
				change(t, path, func(b []byte) []byte { return b[:len(b)/2] })
			},
			isDamaged + `database disk image is malformed (11)`,
		},
		"a page of zeros": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 50)
				change(t, path, func(b []byte) []byte { clear(b[len(b)-pageSize:]); return b })
			},
			isDamaged + `Tree N page N: btreeInitPage() returns error code 11`,
		},
		"the schema is damaged": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 1)
				change(t, path, func(b []byte) []byte { clear(b[100:pageSize]); return b })
			},
			isDamaged + `database disk image is malformed (11)`,
		},
		"tables of another program": {
			func(t *testing.T, path string) {
				t.Helper()
				db := shell(t, path)
				run(t, db, `CREATE TABLE bookmarks (url TEXT)`)
				_ = db.Close()
			},
			otherProgram,
		},
		"tables of another program in WAL mode": {
			func(t *testing.T, path string) {
				t.Helper()
				db := shell(t, path)
				run(t, db, `PRAGMA journal_mode = WAL`)
				run(t, db, `CREATE TABLE bookmarks (url TEXT)`)
				_ = db.Close()
			},
			otherProgram,
		},
		"restored from a dump": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 1)
				db := shell(t, path)
				run(t, db, `PRAGMA application_id = 0`)
				_ = db.Close()
			},
			`this has the tables of weixin_exporter but not its application id, which is lost in a restore from .dump; if it is complete, set the id: sqlite3 FILE 'PRAGMA application_id = 1465402744'`,
		},
		"a format of the future": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 1)
				change(t, path, func(b []byte) []byte { b[47] = 9; return b })
			},
			isDamaged + `SQL logic error: unsupported file format (1)`,
		},
		"a mark of another program": {
			func(t *testing.T, path string) {
				t.Helper()
				db := shell(t, path)
				run(t, db, `PRAGMA application_id = 252006675`)
				_ = db.Close()
			},
			`this is a database of another program (application id 252006675); change store.path`,
		},
		"a newer version": {
			func(t *testing.T, path string) {
				t.Helper()
				closed(t, path, 1)
				db := shell(t, path)
				run(t, db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
				_ = db.Close()
			},
			fmt.Sprintf(`a newer weixin_exporter wrote this file (schema 99, this one knows up to %s); run the newer one or change store.path`, latestSchema(t)),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "store.db")
			test.prepare(t, path)
			before := contents(t, folder)
			_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			where := regexp.MustCompile(`Tree \d+ page \d+`) // depends on the schema
			if want := fmt.Sprintf("store %q: open: %s", path, test.want); err == nil || where.ReplaceAllString(err.Error(), "Tree N page N") != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if diff := cmp.Diff(before, contents(t, folder)); diff != "" {
				t.Error("the folder changed")
			}
		})
	}
}

func TestOpenNeedsAFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	missing := filepath.Join(folder, "missing")
	file := filepath.Join(folder, "file")
	write(t, file, nil)
	for path, want := range map[string]string{
		filepath.Join(missing, "store.db"):    fmt.Sprintf("the folder %q does not exist; create it or change store.path", missing),
		filepath.Join(file, "store.db"):       fmt.Sprintf("%q is not a folder; change store.path", file),
		filepath.Join(file, "sub", "s.db"):    fmt.Sprintf("cannot stat its folder; give this user access or change store.path: stat %s: not a directory", filepath.Join(file, "sub")),
		filepath.Join(folder, "nul\x00.db"):   fmt.Sprintf("cannot stat the file; give this user access or change store.path: stat %s: invalid argument", filepath.Join(folder, "nul\x00.db")),
		strings.Repeat("x", 300) + "store.db": fmt.Sprintf("cannot stat the file; give this user access or change store.path: stat %sstore.db: file name too long", strings.Repeat("x", 300)),
	} {
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if want := fmt.Sprintf("store %q: open: %s", path, want); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if got := contents(t, folder); len(got) != 1 {
		t.Errorf("something was created: %q", got)
	}
}

func TestOpenAnEmptyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	write(t, path, nil)
	save(t, open(t, path), daily(shop, firstDay, 1))
}

// Opening may have been interrupted, by a full disk or a crash, after the file was marked.
func TestOpenAfterAnInterruptedOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := shell(t, path)
	run(t, db, fmt.Sprintf(`PRAGMA application_id = %d`, sqlite.ApplicationID))
	_ = db.Close()
	save(t, open(t, path), daily(shop, firstDay, 1))
}

func TestFileHeader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, daily(shop, firstDay, 1))
	if got := table(t, shell(t, path), `PRAGMA journal_mode`); got != "wal\n" {
		t.Errorf("journal mode %s", got)
	}
	if runtime.GOOS != "windows" {
		for _, file := range []string{path, path + "-wal", path + "-shm"} {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("%s has mode %v", info.Name(), info.Mode())
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	header := contents(t, filepath.Dir(path))["store.db"]
	// SQLite's file format keeps the application id at offset 68.
	if got := header[68:72]; got != "WXEx" {
		t.Errorf("application id %q", got)
	}
}

func TestPathsWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"a b.db", "what?mode=ro.db", "who?", "?_txlock=bad", "no#5.db", "100%.db", "p%41.db", "a&b=c;d.db",
		"微信.db", ":memory:", "file:x.db", "'quotes\".db", "plus+.db",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, file)
			closed(t, path, 1)
			if got := contents(t, folder); len(got) != 1 || got[file] == "" {
				t.Errorf("the folder has %d files, but not this one", len(got))
			}
			if got := load(t, open(t, path), firstDay, storetest.AppID(0))[storetest.AppID(0)]; got == nil || got.Hourly.Date != firstDay {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A relative path stays the same file when the working directory changes.
func TestRelativePath(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	s := open(t, "store.db")
	t.Chdir(t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // several connections
			if _, err := s.Load(t.Context(), firstDay); err != nil {
				t.Error(err)
			}
		})
	}
	save(t, s, daily(shop, firstDay, 1))
	wg.Wait()
	if _, err := os.Stat(filepath.Join(folder, "store.db")); err != nil {
		t.Error(err)
	}
}

func TestOpenEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sqlite.Open(ctx, path, sqlite.Options{})
	if want := fmt.Sprintf("store %q: open: context canceled", path); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if !errors.Is(err, context.Canceled) {
		t.Error("the error is not context.Canceled")
	}
}

func TestOpenOnAFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "room-for-2-pages.db")
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	want := fmt.Sprintf("store %q: open: the disk is full; free some space, or set store.retention: failed to create version table \"goose_db_version\": database or disk is full (13)", path)
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	// With room again, the file is good.
	roomy := filepath.Join(filepath.Dir(path), "store.db")
	if err := os.Rename(path, roomy); err != nil {
		t.Fatal(err)
	}
	save(t, open(t, roomy), daily(shop, firstDay, 1))
}

func TestSaveOnAFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "room-for-30-pages.db")
	s := open(t, path)
	save(t, s, storetest.Round(3, firstDay)...)
	before := load(t, s, firstDay)
	_, err := s.Save(t.Context(), storetest.Round(500, firstDay+1))
	want := fmt.Sprintf("store %q: save 500 records: the disk is full; free some space, or set store.retention: database or disk is full (13)", path)
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if diff := cmp.Diff(before, load(t, s, firstDay)); diff != "" {
		t.Errorf("partly stored (-before +after):\n%s", diff)
	}
	// What fits is stored, and deleting makes room.
	save(t, s, storetest.Round(3, firstDay+1)...)
	if days, err := s.Prune(t.Context(), firstDay+2); err != nil || days != 6 {
		t.Errorf("deleted %d days: %v", days, err)
	}
	save(t, s, storetest.Round(3, firstDay+2)...)
}

// Damage that the check of Open did not reach is found when it is used.
func TestDamageDuringWork(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	closed(t, path, 50)
	s := open(t, path)
	db := shell(t, path)
	run(t, db, `PRAGMA writable_schema = ON`)
	run(t, db, `UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'hourly'`)
	want := fmt.Sprintf("store %q: load figures and states since 2026-11-01: %sdatabase disk image is malformed: malformed database schema (hourly) - invalid rootpage (11)", path, isDamaged)
	if _, err := s.Load(t.Context(), firstDay); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAnInvalidHour(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}}))
	db := shell(t, path)
	run(t, db, `PRAGMA ignore_check_constraints = ON`)
	run(t, db, `UPDATE hourly SET hour = 24`)
	want := fmt.Sprintf("store %q: load figures and states since 2026-11-01: %shour 24", path, isDamaged)
	if _, err := s.Load(t.Context(), firstDay); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	want = fmt.Sprintf("store %q: save 2026-11-01 of wx0123456789abcdef, hourly: %shour 24", path, isDamaged)
	if _, err := s.Save(t.Context(), []store.Record{hourly(shop, firstDay, datacube.Hours{})}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	want = fmt.Sprintf("store %q: open: %sCHECK constraint failed in hourly", path, isDamaged)
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestOpenWhileAnotherProcessHoldsTheFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	closed(t, path, 1)
	db := shell(t, path)
	run(t, db, `PRAGMA locking_mode = EXCLUSIVE`)
	run(t, db, `BEGIN EXCLUSIVE`)
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	want := fmt.Sprintf("store %q: open: another process has kept the file locked for more than 20ms; let it finish or stop it: database is locked (5) (SQLITE_BUSY)", path)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_ = db.Close()
	if got := load(t, open(t, path), firstDay); len(got) != 1 {
		t.Errorf("%d accounts after that", len(got))
	}
}

// All that open a file that does not exist yet get a working store.
func TestManyCreateTheSameFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	stores := make([]*sqlite.Store, 8)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			if _, err := s.Save(t.Context(), []store.Record{daily(storetest.AppID(i), firstDay, 1)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			continue
		}
		if got := load(t, s, firstDay); len(got) != len(stores) {
			t.Errorf("%d accounts", len(got))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	want := "0," + strings.Join(schemas(t), ",") + "\n"
	if got := table(t, shell(t, path), `SELECT group_concat(version_id) FROM goose_db_version`); got != want {
		t.Errorf("migrations: %s, want %s", got, want)
	}
}
