package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store/sqlite"
)

// TestExamineChangesNothing: whether the file is closed, in use or left by a crash.
func TestExamineChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	examine := func(when, path string) {
		t.Helper()
		before := folderContent(t, filepath.Dir(path))
		if err := sqlite.Examine(t.Context(), path); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if diff := cmp.Diff(before, folderContent(t, filepath.Dir(path))); diff != "" {
			t.Errorf("%s, the folder changed (-before +after):\n%s", when, diff)
		}
	}
	examine("before the first start", path)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	examine("while it is in use", path)
	// The files after a crash, and a copy without the index of the WAL.
	crashed := filepath.Join(t.TempDir(), "store.db")
	copied := filepath.Join(t.TempDir(), "store.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if suffix == "-shm" {
			continue
		}
		if err := os.WriteFile(copied+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	examine("after a crash", crashed)
	examine("as a copy", copied)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	examine("at rest", path)
}

// folderContent returns the files of a folder without the index of a WAL, which contains no data of its own.
func folderContent(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if files[entry.Name()] = string(content); filepath.Ext(entry.Name()) == ".db-shm" {
			files[entry.Name()] = ""
		}
	}
	return files
}
