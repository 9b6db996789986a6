// Package files replaces files atomically and shortens the errors of the file system.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Replace lets fill write a temporary file and, once its content is on the disk, renames it to path.
// The file gets the mode of the one it replaces; a new one is readable by its owner only. After an error
// path is unchanged and the temporary file is removed. If path is a symbolic link to a file, that file
// is replaced.
func Replace(path string, fill func(*os.File) error) error {
	mode := fs.FileMode(0o600)
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Cause(err)
	case info.IsDir():
		return errors.New("this is a folder; name a file in it")
	case !info.Mode().IsRegular():
		return errors.New("this is not a regular file, so it cannot be replaced; write to standard output and redirect it")
	default:
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return Cause(err)
		}
	}
	folder, name := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	temporary, err := os.CreateTemp(folder, "."+name+".tmp-*")
	if err != nil {
		return Cause(err)
	}
	err = complete(temporary, mode, fill)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return Cause(err)
	}
	return SyncFolder(folder)
}

// complete fills the file and syncs it to the disk.
func complete(file *os.File, mode fs.FileMode, fill func(*os.File) error) error {
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

// SyncFolder makes a rename in the folder survive a crash of the machine. Systems that cannot sync a
// folder report EINVAL or that it is unsupported, which is ignored.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // nothing was written
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Cause returns an error of package os without the names of files in it, for messages that name the file
// themselves. It keeps the operation unless that is obvious, as in "open: permission denied". An error
// that wraps one of package os is returned as it is, since it says more.
func Cause(err error) error {
	switch fault := err.(type) { //nolint:errorlint // see above
	case *fs.PathError:
		switch fault.Op {
		case "stat", "lstat", "open", "read":
			return fault.Err
		}
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	case *os.LinkError:
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	default:
		return err
	}
}
