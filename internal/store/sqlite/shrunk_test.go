package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"weixin_exporter/weixin/datacube"
)

// TestATruncatedFile: a file that lost its end is not used any more, also if SQLite has all of it in memory.
func TestATruncatedFile(t *testing.T) {
	t.Parallel()
	for name, days := range map[string]datacube.Date{"larger than what SQLite keeps in memory": 100, "smaller": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			filled := open(t, path)
			save(t, filled, busyDays(days)...)
			if err := filled.Close(); err != nil {
				t.Fatal(err)
			}
			s, _ := served(t, path) // which examines the whole file
			if err := s.Fault(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 5*4096); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if done, err := s.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), wasShrunk) {
					t.Errorf("recovered: %q, %v", done, err)
				}
				if err := s.Fault(); err == nil || !strings.Contains(err.Error(), wasShrunk) {
					t.Errorf("fault %v", err)
				}
			}
		})
	}
}

// TestAFileThatIsEmptied: a shell empties a file long before the first byte of a backup arrives in it. Until then there is no new
// store, and nothing of the old one is removed.
func TestAFileThatIsEmptied(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 0) },
		"replaced":  func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			s, _ := served(t, path)
			save(t, s, busyDays(3)...)
			backup := filepath.Join(t.TempDir(), "backup.db")
			if err := s.Backup(t.Context(), backup); err != nil {
				t.Fatal(err)
			}
			save(t, s, busyDays(5)...)
			if err := empty(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if done, err := s.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "the file is empty") {
					t.Errorf("recovered: %q, %v", done, err)
				}
			}
			if wal, err := os.Stat(path + "-wal"); err != nil || wal.Size() == 0 {
				t.Errorf("the -wal file: %v", err)
			}
			copied(t, backup, path)
			if done, err := s.Recover(t.Context()); err != nil || done == "" {
				t.Errorf("recovered: %q, %v", done, err)
			}
			if got := load(t, s, beforeAll)[shop]; got == nil || got.Days[datacube.Daily] != 3 {
				t.Errorf("loaded %+v, want the 3 days of the backup", got)
			}
		})
	}
}

// TestAFileThatGrows: a file that grows between two checks at the same time was not truncated.
func TestAFileThatGrows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, _ := served(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var grown atomic.Bool
	var checks errgroup.Group
	for range 4 {
		checks.Go(func() error {
			for !grown.Load() {
				if err := s.Fault(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for n := range int64(20_000) {
		if err := os.Truncate(path, info.Size()+n); err != nil {
			t.Error(err)
		}
	}
	grown.Store(true)
	if err := checks.Wait(); err != nil {
		t.Error(err)
	}
}
