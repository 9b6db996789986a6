package sqlite

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

// What can happen to the files while they are open.
var (
	errDeleted     = errors.New("the file was deleted while it was open")
	errReplaced    = errors.New("the file was replaced while it was open")
	errWALGone     = errors.New("the -wal or -shm file was deleted or replaced while the file was open")
	errOverwritten = errors.New("the file was overwritten while it was open")
	errShrunk      = errors.New("the file was truncated while it was open")
)

// markAt is the offset of the field user_version in SQLite's header. The exporter writes another number
// there each time it opens the file, so that a copy written over the file has a different one.
const markAt = 60

// files identifies the files of an open store.
type files struct {
	path, target string // target has its symbolic links resolved; the other files are beside it
	main         os.FileInfo
	wal, shm     os.FileInfo // nil if there is none
	header       *os.File    // nil without a mark
	mark         uint32
	size         atomic.Int64
	closed       atomic.Bool
}

// openFiles records which files are open. With a lock it marks the file.
func openFiles(ctx context.Context, path string, db *sql.DB, lock *Lock) (*files, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	f := &files{path: path, target: resolved(path)}
	if f.main, err = os.Stat(path); err != nil {
		return nil, fmt.Errorf("stat the file: %w", err)
	}
	f.wal, _ = os.Stat(f.target + "-wal") // some file systems work without them
	f.shm, _ = os.Stat(f.target + "-shm")
	if lock.held() {
		if err := f.writeMark(ctx, db, lock); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	f.size.Store(f.main.Size())
	return f, nil
}

// writeMark marks the file and records in the lock file which file it is.
func (f *files) writeMark(ctx context.Context, db *sql.DB, lock *Lock) error {
	if err := lock.record(""); err != nil {
		return err
	}
	f.mark = rand.Uint32N(1<<31-2) + 1 // it only has to differ each time
	if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, f.mark)); err != nil {
		return err
	}
	var busy, frames, moved int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &frames, &moved); err != nil && !isBusy(err) {
		return err
	}
	var err error
	// It stays open as long as SQLite has the file open, since closing it would release POSIX locks.
	if f.header, err = os.Open(f.target); err != nil {
		return err
	}
	if f.main, err = f.header.Stat(); err != nil {
		return err
	}
	if mark, err := readMark(f.header); err != nil || mark != f.mark {
		f.mark = 0 // another process still reads older content, so the mark is only in the WAL file
		return err
	}
	return lock.record(f.String())
}

// String identifies the files for the next process that takes the lock.
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

// check fails if the files at the path are not those that are open.
func (f *files) check() error {
	if f.closed.Load() {
		return nil // SQLite reports it
	}
	size := f.size.Load() // before the file is looked at: another check may find it larger in the meantime
	main, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errDeleted
	case err != nil:
		return fmt.Errorf("cannot stat the file: %w", err)
	case !os.SameFile(main, f.main):
		return errReplaced
	}
	if f.mark != 0 {
		if mark, err := readMark(f.header); err != nil || mark != f.mark {
			return errors.Join(errOverwritten, err)
		}
	}
	if main.Size() < size {
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
