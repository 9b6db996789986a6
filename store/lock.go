package store

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Lock is held by the one process that serves from a store. Others may still open the store.
type Lock struct {
	file *os.File // nil where nothing is locked
}

// errHeld means that another process holds a lock.
var errHeld = errors.New("locked by another process")

// TakeLock takes the lock of the store at path for the process that serves from it, or fails and says
// who has it. Two of them would ask Weixin for everything twice. The lock is on a file beside the
// store, which names the holder; the kernel releases it when the process ends, however it ends.
// A store in memory and a file system without locks need none.
func TakeLock(path string, now time.Time) (*Lock, error) {
	if path == "" {
		return &Lock{}, nil
	}
	lockPath := resolved(path) + ".lock"
	for {
		file, err := os.OpenFile(lockPath, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			if _, missing := os.Stat(filepath.Dir(lockPath)); missing != nil {
				return &Lock{}, nil // to open the store fails, and says so better
			}
			return nil, fmt.Errorf("%s: lock it for this process: %w; allow this user to write to its folder or change store.path", name(path), err)
		}
		switch err := flock(file); {
		case errors.Is(err, errHeld):
			holder := holderOf(file)
			_ = file.Close() // nothing was written
			return nil, fmt.Errorf("%s: another weixin_exporter serves from it (%s), and both would ask Weixin for everything;"+
				" stop that one, or give this one another store.path", name(path), holder)
		case errors.Is(err, errors.ErrUnsupported):
			_ = file.Close() // nothing was written
			_ = os.Remove(lockPath)
			return &Lock{}, nil
		case err != nil:
			return nil, errors.Join(fmt.Errorf("%s: lock it for this process: %w", name(path), err), file.Close())
		}
		// The former holder removes the file before it lets go of it.
		if sameFile(file, lockPath) {
			l := &Lock{file: file}
			if err := l.sign(now); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: lock it for this process: %w", name(path), err), l.Release())
			}
			return l, nil
		}
		_ = file.Close() // nothing was written
	}
}

// sign writes who holds the lock.
func (l *Lock) sign(now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(fmt.Appendf(nil, "process %d on host %s since %s\n", os.Getpid(), host, now.UTC().Format(time.RFC3339)), 0)
	return err
}

// holderOf returns what the holder of a lock has written.
func holderOf(file *os.File) string {
	line, _ := bufio.NewReader(file).ReadString('\n') // what cannot be read says nothing
	if line = strings.TrimSpace(line); line == "" {
		return "it does not say which"
	}
	return line
}

// Release lets go of the lock and removes its file.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	var err error
	if sameFile(l.file, l.file.Name()) {
		err = os.Remove(l.file.Name())
	}
	return errors.Join(err, l.file.Close())
}

// sameFile reports whether the file that is open is the one at the path.
func sameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	present, err := os.Stat(path)
	return err == nil && os.SameFile(opened, present)
}

// resolved is where the file at path is, beside which SQLite has its other files.
func resolved(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			return filepath.Join(folder, filepath.Base(path))
		}
	}
	if err != nil {
		return path
	}
	return target
}
