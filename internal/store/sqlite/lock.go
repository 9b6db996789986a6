package sqlite

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

// Lock is held by the one exporter that uses a store. Other commands may still open the store.
type Lock struct {
	file   *os.File // nil if nothing is locked
	holder string   // the line that identifies the holder
	mu     sync.Mutex
	text   string // content of the file
	// previous is what the last holder recorded if it did not release the lock: the files it had open. It is "" once this
	// process has opened the store.
	previous string
}

// held reports whether something is locked; l may be nil.
func (l *Lock) held() bool { return l != nil && l.file != nil }

// errHeld means that another process holds a lock.
var errHeld = errors.New("locked by another process")

// TakeLock takes the lock of the store at path for an exporter, or fails with an error that identifies
// the holder. Two exporters would send every request to Weixin twice. The lock is on a file beside the
// store, which identifies the holder; the kernel releases it when the process ends, however it ends.
// Nothing is locked for a store in memory or on a file system without locks.
func TakeLock(path string, now time.Time) (*Lock, error) {
	if path == "" {
		return &Lock{}, nil
	}
	lockPath := resolved(path) + ".lock"
	for {
		file, err := os.OpenFile(lockPath, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			if _, missing := os.Stat(filepath.Dir(lockPath)); missing != nil {
				return &Lock{}, nil //nolint:nilerr // opening the store fails with a better error
			}
			return nil, fmt.Errorf("%s: lock it for this process: %w; allow this user to write to its folder or change store.path", name(path), err)
		}
		switch err := flock(file); {
		case errors.Is(err, errHeld):
			holder := holderOf(file)
			_ = file.Close() // nothing was written
			return nil, fmt.Errorf("%s: another weixin_exporter uses it (%s), and both would send every request to Weixin;"+
				" stop that one, or give this one another store.path", name(path), holder)
		case errors.Is(err, errors.ErrUnsupported):
			_ = file.Close() // nothing was written
			_ = os.Remove(lockPath)
			return &Lock{}, nil
		case err != nil:
			return nil, errors.Join(fmt.Errorf("%s: lock it for this process: %w", name(path), err), file.Close())
		}
		// The previous holder removes the file before it releases it.
		if sameFile(file, lockPath) {
			l := &Lock{file: file}
			if err := l.writeHolder(now); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: lock it for this process: %w", name(path), err), l.abandon())
			}
			return l, nil
		}
		_ = file.Close() // nothing was written
	}
}

// writeHolder writes the holder of the lock.
func (l *Lock) writeHolder(now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	_, l.previous = readLock(l.file)
	l.holder = fmt.Sprintf("process %d on host %s since %s", os.Getpid(), host, now.UTC().Format(time.RFC3339))
	return l.write(l.previous) // which stays valid until this process has opened the store
}

// record writes which files are open, in a way that survives a crash. It replaces what the last holder recorded, so SQLite must
// have opened the store before.
func (l *Lock) record(files string) error {
	if !l.held() {
		return nil
	}
	err := l.write(files)
	if err == nil {
		err = l.touch()
	}
	if err != nil {
		return fmt.Errorf("record in %s which files are open: %w", l.file.Name(), err)
	}
	l.previous = ""
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

// touch writes the file again, to the disk.
func (l *Lock) touch() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.file.WriteAt([]byte(l.text), 0)
	return errors.Join(err, l.file.Sync())
}

// dropStaleWAL moves aside a WAL file that does not belong to the database beside it: the process that
// wrote it was killed, and the store has since been replaced or overwritten. SQLite would apply the WAL
// to the wrong database.
func (l *Lock) dropStaleWAL(path string) error {
	if !l.held() || l.previous == "" {
		return nil
	}
	var file, wal string
	var mark uint32
	if _, err := fmt.Sscanf(l.previous, "file %s wal %s mark %d", &file, &wal, &mark); err != nil {
		return nil // a truncated record is ignored
	}
	path = resolved(path)
	header, err := os.Open(path)
	if err != nil {
		return nil // without a database SQLite ignores the WAL file
	}
	defer func() { _ = header.Close() }() // SQLite does not have it open yet
	present, err := header.Stat()
	if err != nil {
		return nil // opening it fails as well
	}
	left, err := os.Stat(path + "-wal")
	if err != nil {
		return nil // there is no WAL file
	}
	found, err := readMark(header)
	moved := fileID(present) != file && fileID(left) == wal // unless all of the files were copied
	if err == nil && found == mark && !moved {
		return nil
	}
	if err := moveAside(path); err != nil {
		return err // what was recorded stays for the next start
	}
	l.previous = ""
	return nil
}

// User describes the exporter that uses the store at a path; "" if none does, or if that cannot be found out.
func User(path string) string {
	file, err := os.Open(resolved(path) + ".lock")
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }() // which releases the lock
	if !errors.Is(flock(file), errHeld) {
		return ""
	}
	return holderOf(file)
}

// holderOf returns the holder of a lock.
func holderOf(file *os.File) string {
	holder, _ := readLock(file)
	return cmp.Or(holder, "unknown process")
}

// readLock returns the two lines of a lock file: the holder, and the files that it has open.
func readLock(file *os.File) (holder, files string) { //nolint:nonamedreturns // two of a kind need names
	const maxSize = 1000
	text := make([]byte, maxSize)
	n, _ := file.ReadAt(text, 0) // a file that cannot be read counts as empty
	holder, rest, _ := strings.Cut(string(text[:n]), "\n")
	files, _, _ = strings.Cut(rest, "\n")
	return holder, files
}

// Release releases the lock and removes its file.
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

// abandon releases the lock of a store that could not be opened. What the last holder recorded stays: its WAL file may still be
// there when the next process opens the store.
func (l *Lock) abandon() error {
	if l.previous == "" {
		return l.Release()
	}
	return l.file.Close()
}

// sameFile reports whether the open file is the one at the path.
func sameFile(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	present, err := os.Stat(path)
	return err == nil && os.SameFile(opened, present)
}

// resolved returns path with symbolic links resolved: SQLite keeps its other files beside the target.
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
