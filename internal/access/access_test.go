package access_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"weixin_exporter/internal/access"
)

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, file} {
		if err := access.Write(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := access.Write(file + "-missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestWriteWithoutPermission(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() == 0 {
		t.Skip("needs Linux and a user without all permissions")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := access.Write(file); !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), file) {
		t.Errorf("a read-only file: %v", err)
	}
}
