package files_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"weixin_exporter/internal/files"
)

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	path, link := filepath.Join(folder, "file"), filepath.Join(folder, "link")
	fill := func(text string, err error) func(*os.File) error {
		return func(f *os.File) error {
			if _, failed := f.WriteString(text); failed != nil {
				return failed
			}
			return err
		}
	}
	check := func(text string, mode fs.FileMode) {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil || string(content) != text {
			t.Errorf("content %q, %v; want %q", content, err, text)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, mode)
		}
	}
	if err := files.Replace(path, fill("new", nil)); err != nil {
		t.Fatal(err)
	}
	check("new", 0o600)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := files.Replace(link, fill("through the link", nil)); err != nil {
		t.Fatal(err)
	}
	check("through the link", 0o640)
	bad := errors.New("bad")
	if err := files.Replace(path, fill("partial", bad)); !errors.Is(err, bad) {
		t.Errorf("error %v, want %v", err, bad)
	}
	check("through the link", 0o640)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v; want the file and the link alone", entries, err)
	}
}

func TestCause(t *testing.T) {
	bad := errors.New("bad")
	wrapped := fmt.Errorf("more: %w", &fs.PathError{Op: "open", Path: "p", Err: bad})
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "p", Err: bad}, "bad"},
		{&fs.PathError{Op: "write", Path: "p", Err: bad}, "write: bad"},
		{&os.LinkError{Op: "rename", Old: "p", New: "q", Err: bad}, "rename: bad"},
		{wrapped, wrapped.Error()},
	} {
		if got := files.Cause(c.err); got.Error() != c.want || !errors.Is(got, bad) {
			t.Errorf("Cause(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}
