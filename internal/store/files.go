package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
)

// What can become of a file that is open.
var (
	errDeleted     = errors.New("the file was deleted while it was open")
	errReplaced    = errors.New("another file was put in the place of the open one")
	errWALGone     = errors.New("its -wal or -shm file was deleted or replaced while it was open")
	errOverwritten = errors.New("the file was overwritten while it was open")
	errShrunk      = errors.New("the file was cut off while it was open")
)

// markAt is where SQLite's header has the field user_version. The process that serves puts another
// number there each time it opens the file. A copy that is written over the file has another one.
const markAt = 60

// files are the files of an open store, by which it is known again.
type files struct {
	path, target string // as it is named; and with links resolved, beside which the others are
	main         os.FileInfo
	wal, shm     os.FileInfo // nil where there is none
	header       *os.File    // nil without a mark
	mark         uint32
	size         atomic.Int64
	closed       atomic.Bool
}

// openFiles notes which files are open. With a lock it marks the file.
func openFiles(ctx context.Context, path string, db *sql.DB, lock *Lock) (*files, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find its folder: %w", err)
	}
	f := &files{path: path, target: resolved(path)}
	if f.main, err = os.Stat(path); err != nil {
		return nil, fmt.Errorf("look at the file: %w", err)
	}
	f.wal, _ = os.Stat(f.target + "-wal") // some file systems do without
	f.shm, _ = os.Stat(f.target + "-shm")
	if lock.held() {
		if err := f.writeMark(ctx, db, lock); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	f.size.Store(f.main.Size())
	return f, nil
}

// writeMark marks the file and notes in the lock which file it is.
func (f *files) writeMark(ctx context.Context, db *sql.DB, lock *Lock) error {
	if err := lock.record(""); err != nil {
		return err
	}
	f.mark = rand.Uint32N(1<<31-2) + 1 // it only has to be another one each time
	if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, f.mark)); err != nil {
		return err
	}
	var busy, frames, moved int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &frames, &moved); err != nil && !isBusy(err) {
		return err
	}
	var err error
	// It stays open as long as SQLite has the file open: to close it takes away POSIX locks.
	if f.header, err = os.Open(f.target); err != nil {
		return err
	}
	if f.main, err = f.header.Stat(); err != nil {
		return err
	}
	if mark, err := readMark(f.header); err != nil || mark != f.mark {
		f.mark = 0 // another process still reads what was there before, so the mark is in the WAL file alone
		return err
	}
	return lock.record(f.String())
}

// String names the files for the next process that takes the lock.
func (f *files) String() string {
	return fmt.Sprintf("file %s wal %s mark %d", fileID(f.main), fileID(f.wal), f.mark)
}

func readMark(file *os.File) (uint32, error) {
	var mark [4]byte
	if _, err := file.ReadAt(mark[:], markAt); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(mark[:]), nil
}

// check fails if the files at the path are others than those that are open.
func (f *files) check() error {
	if f.closed.Load() {
		return nil // SQLite says so
	}
	main, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errDeleted
	case err != nil:
		return fmt.Errorf("cannot look at the file: %w", err)
	case !os.SameFile(main, f.main):
		return errReplaced
	}
	if f.mark != 0 {
		if mark, err := readMark(f.header); err != nil || mark != f.mark {
			return errors.Join(errOverwritten, err)
		}
	}
	if main.Size() < f.size.Load() {
		return errShrunk
	}
	f.size.Store(main.Size())
	if isGone(f.wal, f.target+"-wal") || isGone(f.shm, f.target+"-shm") {
		return errWALGone
	}
	return nil
}

// isGone reports whether a file is no longer the one at the path.
func isGone(file os.FileInfo, path string) bool {
	if file == nil {
		return false
	}
	present, err := os.Stat(path)
	return err != nil || !os.SameFile(file, present)
}

// close must come after SQLite has closed the file.
func (f *files) close() error {
	f.closed.Store(true)
	if f.header == nil {
		return nil
	}
	return f.header.Close()
}
