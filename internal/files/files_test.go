package files_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

func TestReplacement(t *testing.T) {
	folder := t.TempDir()
	link, leftover := filepath.Join(folder, "link"), filepath.Join(folder, ".file.tmp-1")
	if err := os.Symlink("file", link); err != nil { // to a file that does not exist
		t.Fatal(err)
	}
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var steps []string
	r := files.Replacement{Mode: 0o640, CleanUp: true, BeforeStep: func(step string) { steps = append(steps, step) }}
	fill := func(f *os.File) error {
		_, err := f.WriteString("content")
		return err
	}
	if err := r.Replace(link, fill); err != nil {
		t.Fatal(err)
	}
	want := []string{
		files.StepCleanUp, files.StepCreate, files.StepFill, files.StepSync, files.StepClose, files.StepRename, files.StepSyncFolder,
	}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	info, err := os.Stat(filepath.Join(folder, "file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the target of the link: %v, %v", info, err)
	}
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover of a crash: %v", err)
	}
	temporary, err := files.CreateBeside(link)
	if err != nil || temporary.Close() != nil || filepath.Dir(temporary.Name()) != folder {
		t.Errorf("CreateBeside: %v", err)
	}
}

// TestCreate: a file that exists, or appears while the new one is written, is not replaced.
func TestCreate(t *testing.T) {
	create := files.Replacement{Create: true}
	for name, appears := range map[string]bool{"before": false, "meanwhile": true} {
		path := filepath.Join(t.TempDir(), "file")
		write := func() {
			if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !appears {
			write()
		}
		filled := false
		err := create.Replace(path, func(*os.File) error {
			filled = true
			write()
			return nil
		})
		content, _ := os.ReadFile(path)
		if !errors.Is(err, fs.ErrExist) || string(content) != "other" || filled != appears {
			t.Errorf("%s: %v, %q, filled: %v", name, err, content, filled)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := create.Replace(path, func(f *os.File) error { _, err := f.WriteString("new"); return err }); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(path)
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 || string(content) != "new" {
		t.Errorf("%v, %v, %q", entries, err, content)
	}
}

// Neither a loop of links nor a folder is replaced.
func TestReplaceRefuses(t *testing.T) {
	folder := t.TempDir()
	loop := filepath.Join(folder, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		loop: "too many symbolic links", folder: "this is a folder; name a file in it", filepath.Join(folder, "missing", "file"): "no such file or directory",
	} {
		err := files.Replace(path, func(*os.File) error { return nil })
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
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
