package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

// openAsNobody opens a store with the permissions of a user who owns none of the files.
func openAsNobody(t *testing.T, path string) error {
	t.Helper()
	return asNobody(t, path, func() error {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err == nil {
			_ = s.Close()
		}
		return err
	})
}

// asNobody calls a function with the permissions of a user who owns none of the files. File modes do not
// apply to root, so this thread's file accesses are checked as those of another user.
func asNobody(t *testing.T, path string, do func() error) error {
	t.Helper()
	if os.Geteuid() == 0 {
		const otherUser = 65534
		// The folders around those of a test are root's alone.
		if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(otherUser); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Setfsuid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	return do()
}

func TestReadWithoutWritePermission(t *testing.T) {
	t.Parallel()
	const inWAL = "the -wal file holds the latest figures, and to read it this user needs write access to the folder; copy both files"
	for name, c := range map[string]struct {
		running bool   // another process has it open
		killed  bool   // it was copied without its -shm file, as a process that was killed may leave it
		want    string // "": it can be read
	}{
		"closed":                        {false, false, ""},
		"open":                          {true, false, ""},
		"a killed process left its WAL": {true, true, inWAL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "store.db")
			s := open(t, path)
			save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 2))
			if !c.running {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if c.killed {
				copied(t, path, path+".copy")
				copied(t, path+"-wal", path+".copy-wal")
				path += ".copy"
			}
			for _, kind := range []string{"", "-wal", "-shm"} {
				_ = os.Chmod(path+kind, 0o644) // if it is there
			}
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			before := modes(t, folder)
			var days []datacube.Day
			err := asNobody(t, path, func() error {
				r, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
				if err != nil {
					return err
				}
				defer r.Close()
				storetest.ReadFigures(t, r, func(h *store.FigureReader) { days, _ = storetest.FiguresOf(t, h, shop, firstDay, firstDay+9) })
				return nil
			})
			if c.want == "" && (err != nil || len(days) != 2) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d days, %v; want %s", len(days), err, c.want)
			}
			if diff := cmp.Diff(before, modes(t, folder)); diff != "" {
				t.Errorf("the folder changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	t.Parallel()
	const (
		denied   = `this user cannot read and write the file; allow it or change store.path: permission denied`
		readOnly = `the file or its folder is read-only for this user; allow writing to both or change store.path: attempt to write a readonly database (1544)`
		cannot   = `the file, or a file that SQLite keeps beside it, cannot be opened; allow this user to read and write it and its folder, or change store.path: unable to open database file (14)`
	)
	tests := map[string]struct {
		make         bool // the file, before
		file, folder os.FileMode
		want         string
	}{
		"read-only file":                  {true, 0o444, 0o777, denied},
		"unreadable file":                 {true, 0o000, 0o777, denied},
		"read-only folder":                {true, 0o666, 0o555, readOnly},
		"read-only file and folder":       {true, 0o444, 0o555, denied},
		"new file in a read-only folder":  {false, 0, 0o555, cannot},
		"new file in an unlistable place": {false, 0, 0o444, `cannot stat the file; give this user access or change store.path: stat %s: permission denied`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "store.db")
			if test.make {
				closed(t, path, 1)
				if err := os.Chmod(path, test.file); err != nil {
					t.Fatal(err)
				}
			}
			before := modes(t, folder)
			if err := os.Chmod(folder, test.folder); err != nil {
				t.Fatal(err)
			}
			err := openAsNobody(t, path)
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("store %q: open: ", path)
			if test.folder == 0o444 {
				want += fmt.Sprintf(test.want, path)
			} else {
				want += test.want
			}
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if diff := cmp.Diff(before, modes(t, folder)); diff != "" {
				t.Errorf("the folder changed (-before +after):\n%s", diff)
			}
		})
	}
}

// modes returns the files of a folder with their modes, sizes and modification times.
func modes(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(info.Name(), info.Mode(), info.Size(), info.ModTime()))
	}
	return list
}
