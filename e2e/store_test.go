package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// storedDays opens a store, which checks its integrity, and returns the number of days of an account.
func storedDays(t *testing.T, path string, a account) int64 {
	t.Helper()
	known, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	accounts, err := known.Load(t.Context(), datacube.FirstDate)
	if err != nil {
		t.Fatal(err)
	}
	if accounts[a.AppID] == nil {
		return 0
	}
	return accounts[a.AppID].Days[datacube.Daily]
}

// backup writes a copy of the store.
func (w *fixture) backup(t *testing.T, path string) {
	t.Helper()
	f := finish(t, nil, "--config.file="+w.config, "store", "backup", path)
	if want := path + ": a copy of " + filepath.Join(w.folder, "store.db"); f.code != 0 || !strings.HasPrefix(f.stdout, want) {
		t.Fatalf("backup: %+v, want %q", f, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}
}

// serveWithBackup runs an exporter with a complete store, and returns the paths of the store and a backup of it.
func serveWithBackup(t *testing.T) (w *fixture, x *exporter, path, backup string) { //nolint:nonamedreturns // two paths
	t.Helper()
	w = newFixture(t, newAccount("shop", 1, 9000))
	path, backup = filepath.Join(w.folder, "store.db"), filepath.Join(t.TempDir(), "backup.db")
	x = serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	w.backup(t, backup)
	return w, x, path, backup
}

// waitStatus waits until a path answers with a status, and returns the body.
func waitStatus(t *testing.T, x web, path string, status int) string {
	t.Helper()
	var body string
	eventually(t, fmt.Sprintf("%s to answer %d", path, status), func() error {
		p := x.ask(t, http.MethodGet, path)
		if p.status != status {
			return fmt.Errorf("status %d: %s", p.status, p.body)
		}
		body = p.body
		return nil
	})
	return body
}

// copyOver writes a part of the content of a file over another one, as cp does.
func copyOver(path, from string, part float64) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content[:int(float64(len(content))*part)], 0o600)
}

// TestPartOfACopy: while only a part of a copy is in place of the file, what is known stays on show, and page, metrics and readiness say what is
// wrong. Once the copy is complete, the exporter goes on.
func TestPartOfACopy(t *testing.T) {
	t.Parallel()
	const found = "the file was overwritten while it was open"
	w, x, path, backup := serveWithBackup(t)
	if err := copyOver(path, backup, 0.5); err != nil {
		t.Fatal(err)
	}
	x.logged(t, "level=error", "the store cannot be used", found)
	eventually(t, "weixin_store_usable to be 0", func() error {
		if x.metrics(t)["weixin_store_usable"] != 0 {
			return errNotYet
		}
		return nil
	})
	unready := waitStatus(t, x.web, "/-/ready", http.StatusServiceUnavailable)
	for _, body := range []string{unready, x.get(t, "/").body} {
		if !strings.Contains(body, found) {
			t.Errorf("the reason is not in %q", mask(body))
		}
	}
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.get(t, "/-/healthy")
	if err := copyOver(path, backup, 1); err != nil {
		t.Fatal(err)
	}
	x.logged(t, "level=error", "the store holds something else than before; it is read again")
	waitStatus(t, x.web, "/-/ready", http.StatusOK)
	w.waitComplete(t, x.web, w.accounts...)
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.stop(t, syscall.SIGTERM)
	if got := storedDays(t, path, w.accounts[0]); got < history {
		t.Errorf("%d days, want %d", got, history)
	}
}

// The files of a running exporter are deleted or replaced, and then it is killed or stopped.
func TestStoreFilesChangeWhileOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(path, backup string) error
		found string
	}{
		"deleted": {
			func(path, _ string) error { return os.Remove(path) },
			"the file was deleted while it was open",
		},
		"all of it deleted": {
			func(path, _ string) error {
				return errors.Join(os.Remove(path), os.Remove(path+"-wal"), os.Remove(path+"-shm"))
			},
			"the file was deleted while it was open",
		},
		"a backup copied over it": {
			func(path, backup string) error { return copyOver(path, backup, 1) },
			"the file was overwritten while it was open",
		},
		"its WAL file deleted": {
			func(path, _ string) error { return os.Remove(path + "-wal") },
			"the -wal or -shm file was deleted or replaced",
		},
		"a backup moved over it": {
			func(path, backup string) error { return os.Rename(backup, path) },
			"the file was replaced while it was open",
		},
	} {
		for _, kill := range []bool{true, false} {
			way := map[bool]string{true: "killed", false: "stopped"}[kill]
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				w, x, path, backup := serveWithBackup(t)
				before := storedDays(t, backup, w.accounts[0])
				if err := errors.Join(os.Remove(backup+"-wal"), os.Remove(backup+"-shm")); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if err := c.do(path, backup); err != nil {
					t.Fatal(err)
				}
				x.logged(t, "level=error", "the store holds something else than before; it is read again", c.found)
				w.waitComplete(t, x.web, w.accounts...)
				x.get(t, "/-/ready")
				if kill {
					x.kill(t)
				} else {
					x.stop(t, syscall.SIGTERM)
				}
				if got := storedDays(t, path, w.accounts[0]); got != before {
					t.Errorf("%d days, want %d", got, before)
				}
			})
		}
	}
}

// A backup replaces the store of a killed exporter, whose WAL file remains.
func TestBackupReplacesTheStoreOfAKilledExporter(t *testing.T) {
	t.Parallel()
	w, x, path, backup := serveWithBackup(t)
	x.kill(t)
	if err := os.Rename(backup, path); err != nil {
		t.Fatal(err)
	}
	x = serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	x.stop(t, syscall.SIGTERM)
	storedDays(t, path, w.accounts[0]) // fails if the store is damaged
	if _, err := os.Stat(path + "-wal.stale"); err != nil {
		t.Errorf("the WAL file of the killed exporter was not put aside: %v", err)
	}
}
