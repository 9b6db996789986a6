package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Lock is held by the one process that serves from a store. Others may still open the store.
type Lock struct {
	file   *os.File // nil where nothing is locked
	holder string   // the line that names the holder
	mu     sync.Mutex
	text   string // of the file
	// previous is what the last process noted that did not release the lock: the files it had open.
	previous string
}

// held reports whether something is locked; nil is no lock.
func (l *Lock) held() bool { return l != nil && l.file != nil }

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
				return &Lock{}, nil //nolint:nilerr // to open the store fails, and says so better
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
			if err := l.writeHolder(now); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: lock it for this process: %w", name(path), err), l.Release())
			}
			return l, nil
		}
		_ = file.Close() // nothing was written
	}
}

// writeHolder writes who holds the lock.
func (l *Lock) writeHolder(now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	_, l.previous = readLock(l.file)
	l.holder = fmt.Sprintf("process %d on host %s since %s", os.Getpid(), host, now.UTC().Format(time.RFC3339))
	return l.write(l.previous) // which holds until this process has opened the store
}

// record puts down which files are open, so that it survives a crash.
func (l *Lock) record(files string) error {
	if !l.held() {
		return nil
	}
	err := l.write(files)
	if err == nil {
		err = l.touch()
	}
	if err != nil {
		return fmt.Errorf("note in %s which files are open: %w", l.file.Name(), err)
	}
	return nil
}

func (l *Lock) write(files string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = l.holder + "\n" + files + "\n"
	if _, err := l.file.WriteAt([]byte(l.text), 0); err != nil {
		return err
	}
	return l.file.Truncate(int64(len(l.text)))
}

// touch writes the file once more, to the disk.
func (l *Lock) touch() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.file.WriteAt([]byte(l.text), 0)
	return errors.Join(err, l.file.Sync())
}

// dropStaleWAL puts a WAL file aside that does not belong to the file beside it: the process that
// wrote it was killed, and since then another file was put in the place of the store or written over
// it. SQLite would carry out in the one what was meant for the other.
func (l *Lock) dropStaleWAL(path string) error {
	if !l.held() || l.previous == "" {
		return nil
	}
	var file, wal string
	var mark uint32
	if _, err := fmt.Sscanf(l.previous, "file %s wal %s mark %d", &file, &wal, &mark); err != nil {
		return nil // a note that was cut off says nothing
	}
	path = resolved(path)
	header, err := os.Open(path)
	if err != nil {
		return nil // without the file there is nothing to protect; SQLite ignores the rest
	}
	defer func() { _ = header.Close() }() // SQLite does not have it open yet
	present, err := header.Stat()
	if err != nil {
		return nil // to open it fails, too
	}
	left, err := os.Stat(path + "-wal")
	if err != nil {
		return nil // there is none
	}
	found, err := readMark(header)
	moved := fileID(present) != file && fileID(left) == wal // and not all of them copied elsewhere
	if err == nil && found == mark && !moved {
		return nil
	}
	l.previous = ""
	return moveAside(path)
}

// holderOf returns who holds a lock.
func holderOf(file *os.File) string {
	holder, _ := readLock(file)
	return cmp.Or(holder, "it does not say which")
}

// readLock returns the two lines of a lock file: the holder, and which files it has open.
func readLock(file *os.File) (holder, files string) { //nolint:nonamedreturns // two of a kind need names
	const most = 1000
	text := make([]byte, most)
	n, _ := file.ReadAt(text, 0) // what cannot be read says nothing
	holder, rest, _ := strings.Cut(string(text[:n]), "\n")
	files, _, _ = strings.Cut(rest, "\n")
	return holder, files
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
