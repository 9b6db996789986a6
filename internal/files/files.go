// Package files replaces files atomically and shortens the errors of the file system.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// The steps of a Replacement, in their order.
const (
	StepCleanUp    = "clean up"
	StepCreate     = "create"
	StepFill       = "fill"
	StepSync       = "sync"
	StepClose      = "close"
	StepRename     = "rename"
	StepSyncFolder = "sync folder"
)

// maxLinks bounds how many symbolic links are followed, as the system does.
const maxLinks = 40

// Replacement says how a file is replaced.
type Replacement struct {
	// Mode is the mode of the new file; 0 keeps the mode of the replaced file, and makes a file that did not
	// exist readable by its owner only.
	Mode fs.FileMode
	// CleanUp removes temporary files of earlier crashes first. No other process may replace the file at the
	// same time.
	CleanUp bool
	// Create fails with fs.ErrExist if there is a file at the path, at the beginning or at the end.
	Create bool
	// BeforeStep is called before each step, so that a test can end the process there. Nil in production.
	BeforeStep func(step string)
}

// Replace replaces the file at path as the zero Replacement does.
func Replace(path string, fill func(*os.File) error) error { return Replacement{}.Replace(path, fill) }

// Replace lets fill write a temporary file and, once its content is on the disk, renames it to path. After an
// error path is unchanged and the temporary file is removed; after a crash path has the old content or the new
// one. If path is a symbolic link, its target is replaced. Errors do not name the file.
func (r Replacement) Replace(path string, fill func(*os.File) error) error {
	target, err := resolveLinks(path)
	if err != nil {
		return Cause(err)
	}
	mode, err := r.mode(target)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil && r.Create {
		return fs.ErrExist
	}
	if r.CleanUp {
		r.before(StepCleanUp)
		removeLeftovers(target)
	}
	r.before(StepCreate)
	temporary, err := CreateBeside(target)
	if err != nil {
		return Cause(err)
	}
	err = r.complete(temporary, mode, fill)
	r.before(StepClose)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		r.before(StepRename)
		err = r.rename(temporary.Name(), target)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return Cause(err)
	}
	r.before(StepSyncFolder)
	return SyncFolder(filepath.Dir(target))
}

// rename gives the file its name.
func (r Replacement) rename(file, target string) error {
	if r.Create {
		// Unlike a rename, a link does not replace a file.
		switch err := os.Link(file, target); {
		case err == nil:
			return os.Remove(file)
		case errors.Is(err, fs.ErrExist):
			return fs.ErrExist
		}
		// The file system has no links.
		if _, err := os.Lstat(target); err == nil {
			return fs.ErrExist
		}
	}
	return os.Rename(file, target)
}

// mode returns the mode of the new file, or an error if target cannot be replaced.
func (r Replacement) mode(target string) (fs.FileMode, error) {
	mode := fs.FileMode(0o600)
	switch info, err := os.Stat(target); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, Cause(err)
	case info.IsDir():
		return 0, errors.New("this is a folder; name a file in it")
	case !info.Mode().IsRegular():
		return 0, errors.New("this is not a regular file, so it cannot be replaced; write to standard output and redirect it")
	default:
		mode = info.Mode().Perm()
	}
	if r.Mode != 0 {
		mode = r.Mode
	}
	return mode, nil
}

func (r Replacement) before(step string) {
	if r.BeforeStep != nil {
		r.BeforeStep(step)
	}
}

// complete fills the file and syncs it to the disk.
func (r Replacement) complete(file *os.File, mode fs.FileMode, fill func(*os.File) error) error {
	r.before(StepFill)
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	r.before(StepSync)
	return file.Sync()
}

// CreateBeside creates a temporary file, of mode 0600, in the folder of the file that path refers to through
// symbolic links. The caller must close and remove it.
func CreateBeside(path string) (*os.File, error) {
	target, err := resolveLinks(path)
	if err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Dir(target), temporaryPrefix(target)+"*")
}

// temporaryPrefix is the prefix of the names of the temporary files that replace target.
func temporaryPrefix(target string) string { return "." + filepath.Base(target) + ".tmp-" }

// resolveLinks returns the file that path refers to through symbolic links; the file need not exist.
func resolveLinks(path string) (string, error) {
	for range maxLinks {
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(folder, filepath.Base(path))
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // it is not a link
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(folder, link)
		}
		path = link
	}
	return "", errors.New("too many symbolic links")
}

// removeLeftovers removes the temporary files of earlier crashes. Those that cannot be removed do no harm.
func removeLeftovers(target string) {
	folder, prefix := filepath.Dir(target), temporaryPrefix(target)
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) && entry.Type().IsRegular() {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
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
