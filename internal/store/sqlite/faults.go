package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"weixin_exporter/internal/store"
)

// name returns the name of the database in errors.
func name(path string) string {
	if path == "" {
		return "store in memory"
	}
	return fmt.Sprintf("store %q", path)
}

// failed wraps an error with what was being done to which file, and with what to do about it.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		// SQLite's error of an interrupted call explains nothing.
		err = ctx.Err()
	}
	err = s.explain(s.mounted(err))
	return store.WithKind(fmt.Errorf("%s: %s: %w", name(s.path), doing, err), kindOf(err))
}

// mounted marks an error of SQLite that is due to a file system which has become read-only. To SQLite it is a failed write,
// since its files were opened for writing.
func (s *Store) mounted(err error) error {
	fault, found := errors.AsType[*sqlite.Error](err)
	if !found || fault.Code()&0xff != sqlite3.SQLITE_IOERR || !s.options.Lock.held() {
		return err
	}
	if refused := s.options.Lock.touch(); errors.Is(refused, syscall.EROFS) {
		return errors.Join(errReadOnlyDisk, err)
	}
	return err
}

// errReadOnlyDisk means that the file system of an open store has become read-only.
var errReadOnlyDisk = errors.New("its file system has become read-only, as after an error of the disk; look into the system log, check the file system and" +
	" mount it again, for which the exporter must be stopped")

// explain adds to an error of SQLite what it means for the operator.
func (s *Store) explain(err error) error {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return err
	}
	kind := fault.Code() & 0xff // the other bits are details of it
	if errors.Is(err, errReadOnlyDisk) {
		return err
	}
	if fault.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
		kind = sqlite3.SQLITE_FULL
	}
	if strings.Contains(fault.Error(), "unsupported file format") {
		// The schema format number is part of the header. Every SQLite since 2005 knows all of them.
		kind = sqlite3.SQLITE_CORRUPT
	}
	switch kind {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another process has kept the file locked for more than %v;"+
			" let it finish or stop it: %w", s.busy, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return fmt.Errorf("the file or its folder is read-only for this user;"+
			" allow writing to both or change store.path: %w", err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file, or a file that SQLite keeps beside it, cannot be opened;"+
			" allow this user to read and write it and its folder, or change store.path: %w", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full; free some space, or set store.retention: %w", err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("this is not an SQLite database, or its header is damaged;"+
			" change store.path, or move the file away: %w", err)
	case sqlite3.SQLITE_CORRUPT:
		return damaged(err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("reading or writing failed; check the disk, its quota and the system log: %w", err)
	default:
		return err
	}
}

// kindOf returns the kind of an error of SQLite.
func kindOf(err error) store.Kind {
	if _, found := errors.AsType[damage](err); found {
		return store.Damaged
	}
	var fault *sqlite.Error
	switch {
	case errors.Is(err, errNoResponse):
		return store.IO
	case errors.Is(err, errReadOnlyDisk):
		return store.ReadOnly
	case !errors.As(err, &fault):
		return store.Other
	case fault.Code() == sqlite3.SQLITE_IOERR_SHMSIZE:
		return store.Full
	}
	switch fault.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return store.Locked
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN:
		return store.ReadOnly
	case sqlite3.SQLITE_FULL:
		return store.Full
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return store.Damaged
	case sqlite3.SQLITE_IOERR:
		return store.IO
	default:
		return store.Other
	}
}

// damage marks an error that means that the file is damaged.
type damage struct{ error }

func (d damage) Unwrap() error { return d.error }

// isDamage reports whether an error means that a part of the file cannot be read.
func isDamage(err error) bool {
	kind := kindOf(err)
	return kind == store.Damaged || kind == store.IO
}

func damaged(err error) error {
	err = damage{err}
	return fmt.Errorf("the file is damaged; stop the exporter, save what can still be read with weixin_exporter export,"+
		" remove the file with its -wal and -shm files, and restore a backup, or start without one: the exporter then fetches the days of"+
		" refresh.history again, and weixin_exporter backfill the older ones that Weixin still has: %w", err)
}

func isBusy(err error) bool {
	var fault *sqlite.Error
	return errors.As(err, &fault) && fault.Code()&0xff == sqlite3.SQLITE_BUSY
}
