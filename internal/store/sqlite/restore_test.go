package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

// TestRestoreLeavesOneFile: beside the new file there is nothing, also of a process that was killed before.
func TestRestoreLeavesOneFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	for _, leftover := range []string{".store.db.tmp-1", ".store.db.tmp-1-wal", ".store.db.tmp-1-journal"} {
		if err := os.WriteFile(filepath.Join(folder, leftover), []byte("something"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := errors.New("bad")
	for _, want := range []error{bad, nil} {
		err := sqlite.Restore(t.Context(), path, storetest.Asked(), func(r store.Restorer) error {
			return errors.Join(r.PutHead(t.Context(), store.ImageHead{Mark: 7}), want)
		})
		if !errors.Is(err, want) {
			t.Fatalf("error %v, want %v", err, want)
		}
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) != 0 && want != nil || want == nil && (len(entries) != 1 || entries[0].Name() != "store.db") {
			t.Errorf("after %v: %v, %v", want, entries, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var mode string
	if err := shell(t, path).QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	used := filepath.Join(folder, "used.db")
	lock, err := sqlite.TakeLock(used, storetest.Asked())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release() })
	stale := filepath.Join(folder, "stale.db")
	if err := os.WriteFile(stale+"-wal", []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "in memory", used: "another weixin_exporter uses it", stale: "stale.db-wal", folder: "this is a folder",
		filepath.Join(folder, "missing", "store.db"): "does not exist",
	} {
		err := sqlite.Restore(t.Context(), path, storetest.Asked(), func(store.Restorer) error {
			t.Errorf("%q is filled", path)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", path, err, want)
		}
	}
}

// TestImageOfAnEarlierVersion: what a later version added is missing in it, so it is not copied.
func TestImageOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	run(t, shell(t, path), `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	s, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.ReadImage(t.Context(), func(store.Image) error {
		t.Error("it was read")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "start this version with it once") {
		t.Errorf("error %v", err)
	}
}

// TestCopyOfADamagedFile: a copy is complete, or there is none and the error names the account and where the damage begins.
func TestCopyOfADamagedFile(t *testing.T) {
	t.Parallel()
	const pageSize, days = 4096, 200
	whole := filepath.Join(t.TempDir(), "store.db")
	s := open(t, whole)
	save(t, s, busyDays(days)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pages := len(contents(t, filepath.Dir(whole))["store.db"]) / pageSize
	named := 0
	for page := pages / 4; page < pages; page += 5 { // the first ones hold the schema
		folder := t.TempDir()
		path, to := filepath.Join(folder, "store.db"), filepath.Join(folder, "copy.db")
		copied(t, whole, path)
		change(t, path, func(b []byte) []byte { clear(b[page*pageSize : (page+1)*pageSize]); return b })
		r, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = r.ReadImage(t.Context(), func(image store.Image) error {
			return sqlite.Restore(t.Context(), to, storetest.Asked(), func(target store.Restorer) error {
				_, err := store.Copy(t.Context(), image, target, nil)
				return err
			})
		})
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err == nil {
			if got := load(t, open(t, to), beforeAll)[shop].Days; got != [datacube.APIs]int64{days, days} {
				t.Errorf("page %d: a copy of %v days", page, got)
			}
			continue
		}
		if store.KindOf(err) != store.Damaged || !strings.Contains(err.Error(), path) {
			t.Errorf("page %d: %v", page, err)
		}
		if strings.Contains(err.Error(), "days of "+shop+" by the ") && strings.Contains(err.Error(), " call, from 20") {
			named++
		}
		if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("page %d: there is a copy: %v", page, err)
		}
	}
	if named == 0 {
		t.Error("no error names the day")
	}
}
