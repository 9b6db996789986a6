//go:build unix && !solaris && !illumos && !aix

package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/store/sqlite"
)

func TestLock(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	link := filepath.Join(t.TempDir(), "link.db")
	write(t, path, nil)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	noon := firstDay.Start()
	held, err := sqlite.TakeLock(path, noon)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	want := fmt.Sprintf("another weixin_exporter uses it (process %d on host %s since 2026-10-31T16:00:00Z)", os.Getpid(), host)
	for _, other := range []string{path, link} {
		if _, err := sqlite.TakeLock(other, noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got  %v\nwant %s", other, err, want)
		}
	}
	if info, err := os.Stat(path + ".lock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock file: %v, %v", info, err)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
	if got := contents(t, folder); len(got) != 1 {
		t.Errorf("something was left behind: %q", got)
	}
	// The file that a killed process left behind locks nothing.
	write(t, path+".lock", []byte("process 1 on host gone since 2014-12-01T00:00:00Z, and more than what comes now\n"))
	held, err = sqlite.TakeLock(link, noon)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path + ".lock"); strings.Contains(string(text), "gone") || strings.Count(string(text), "\n") != 2 {
		t.Errorf("content of the lock file: %q", text)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockThatIsNotNeeded(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"in memory": "", "no folder": filepath.Join(t.TempDir(), "missing", "store.db")} {
		for range 2 {
			held, err := sqlite.TakeLock(path, firstDay.Start())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			defer func() {
				if err := held.Release(); err != nil {
					t.Error(err)
				}
			}()
		}
	}
}
