package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
)

func TestOpenReadOnlyFailsWithoutChangingAnything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string
	}{
		{"no file", func(*testing.T, string) {}, "the file does not exist; run weixin_exporter first, which creates it, or change store.path"},
		{"a folder", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "this is a folder; set store.path to a file in it"},
		{"an empty file", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the file is empty; run weixin_exporter first, or change store.path"},
		{"another program's", func(t *testing.T, path string) {
			t.Helper()
			run(t, shell(t, path), `CREATE TABLE t (x)`)
		}, "this is a database of another program; change store.path"},
		{"a newer version's", func(t *testing.T, path string) {
			t.Helper()
			makeStore(t, path)
			run(t, shell(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
		}, "a newer weixin_exporter wrote this file (schema 99, "},
		{"one that was never finished", func(t *testing.T, path string) {
			t.Helper()
			makeStore(t, path)
			run(t, shell(t, path), `DELETE FROM goose_db_version WHERE version_id > 0`)
		}, "the file has no tables yet; run weixin_exporter first"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "store.db")
			c.prepare(t, path)
			before, _ := os.ReadFile(path)
			s, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
			if err == nil {
				t.Fatal("it was opened", s.Close())
			}
			if want := fmt.Sprintf("store %q: open for reading: %s", path, c.want); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			after, _ := os.ReadFile(path)
			if string(after) != string(before) {
				t.Error("the file was changed")
			}
			_, err = os.Stat(path)
			if c.name == "no file" && !os.IsNotExist(err) {
				t.Errorf("a file was made: %v", err)
			}
		})
	}
	_, err := sqlite.OpenReadOnly(t.Context(), "", sqlite.Options{})
	if want := "store in memory: open for reading: a store in memory exists only in the process that fills it"; err == nil || err.Error() != want {
		t.Errorf("in memory: %v, want %s", err, want)
	}
}

// makeStore creates a store with one day.
func makeStore(t *testing.T, path string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	save(t, s, daily(shop, firstDay, 8))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenReadOnlyWritesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	makeStore(t, path)
	db := shell(t, path)
	for _, statement := range []string{ // as the first version made it
		`DROP TABLE mark`,
		`ALTER TABLE account DROP COLUMN changed`,
		`ALTER TABLE day DROP COLUMN changed`,
		`DELETE FROM goose_db_version WHERE version_id > 1`,
	} {
		run(t, db, statement)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.ReadFigures(t, s, func(h *store.FigureReader) {
		if days, _ := storetest.FiguresOf(t, h, shop, beforeAll, afterAll); len(days) != 1 || days[0].Figures.Callbacks != 8 {
			t.Errorf("got %v", days)
		}
	})
	if _, err := s.Prune(t.Context(), firstDay+1); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("deleting days: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file was changed (%v)", err)
	}
	for _, rest := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + rest); err == nil {
			t.Errorf("%s was left behind", rest)
		}
	}
}
