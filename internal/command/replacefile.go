package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// replaceFile lets fill write a file and puts it in the place of path once it is on the disk,
// with the mode of the former one, or readable by its owner only. Whatever fails leaves
// path as it was and nothing beside it. Where path is a symbolic link to a file, that file is
// replaced.
func replaceFile(path string, fill func(*os.File) error) error {
	mode := fs.FileMode(0o600)
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return withoutPath(err)
	case info.IsDir():
		return errors.New("this is a folder; name a file in it")
	case !info.Mode().IsRegular():
		return errors.New("this is not a regular file, which could be replaced; write to standard output and redirect it")
	default:
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return withoutPath(err)
		}
	}
	folder, name := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	temporary, err := os.CreateTemp(folder, "."+name+".tmp-*")
	if err != nil {
		return withoutPath(err)
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
		return withoutPath(err)
	}
	return syncFolder(folder)
}

// complete fills the file and brings it to the disk.
func complete(file *os.File, mode fs.FileMode, fill func(*os.File) error) error {
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

// withoutPath takes the name of a temporary file off an error: it says nothing to anybody.
func withoutPath(err error) error {
	switch fault := err.(type) { //nolint:errorlint // what wraps such an error has more to say
	case *fs.PathError:
		return fault.Err
	case *os.LinkError:
		return fault.Err
	default:
		return err
	}
}

// syncFolder makes a rename in the folder survive the end of the machine, where the system can
// do that for folders.
func syncFolder(path string) error {
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
