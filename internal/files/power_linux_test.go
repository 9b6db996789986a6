package files_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"weixin_exporter/internal/disktest"
	"weixin_exporter/internal/files"
)

// After a loss of power in any step the old file is there or the new one, and after the last step the new one.
func TestLossOfPower(t *testing.T) {
	t.Parallel()
	old, replacement := bytes.Repeat([]byte("old "), 1<<17), bytes.Repeat([]byte("new content "), 1<<17)
	for name, c := range map[string]struct {
		create bool
		old    []byte // nil: there is none
	}{"replace": {false, old}, "first": {false, nil}, "create": {true, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := disktest.New(t)
			path := filepath.Join(d.Folder, "file")
			steps := 0
			r := files.Replacement{Create: c.create, CleanUp: true, BeforeStep: func(step string) {
				steps++
				got := left(t, d, "file")
				if isNew := bytes.Equal(got, replacement); !bytes.Equal(got, c.old) && (!isNew || step != files.StepSyncFolder) {
					t.Errorf("before the step %q a loss of power leaves %d bytes, neither the old ones nor, after the last one, the new ones", step, len(got))
				}
			}}
			if c.old != nil {
				put(t, files.Replacement{}, path, c.old)
			}
			put(t, r, path, replacement)
			if got := left(t, d, "file"); !bytes.Equal(got, replacement) || steps != 7 {
				t.Errorf("after %d steps a loss of power leaves %d bytes of %d", steps, len(got), len(replacement))
			}
		})
	}
}

// A loss of power is one: what was not synced is not there.
func TestLossOfPowerWithoutSync(t *testing.T) {
	t.Parallel()
	d := disktest.New(t)
	for range 10 { // a slow machine may write it in the meantime
		if err := os.WriteFile(filepath.Join(d.Folder, "file"), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(left(t, d, "file")) == 0 {
			return
		}
		if err := os.Remove(filepath.Join(d.Folder, "file")); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("what was not synced is still there")
}

func put(t *testing.T, r files.Replacement, path string, content []byte) {
	t.Helper()
	err := r.Replace(path, func(file *os.File) error {
		_, err := file.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// left returns what a loss of power at this moment leaves of a file; nil if it is not there.
func left(t *testing.T, d *disktest.Disk, name string) []byte {
	t.Helper()
	var content []byte
	d.LosePower(t, func(folder string) {
		var err error
		if content, err = os.ReadFile(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return content
}
