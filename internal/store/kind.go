package store

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kind is the reason why an access to the store failed, in one word.
type Kind string

// The kinds of errors.
const (
	Locked   Kind = "locked"    // by another process, for longer than the busy timeout
	ReadOnly Kind = "read_only" // the file, its folder or the disk
	Full     Kind = "full"      // the disk or a quota
	Damaged  Kind = "damaged"   // the file
	IO       Kind = "io"        // reading or writing failed
	Other    Kind = "other"
)

// KindOf returns the kind of an error of this package.
func KindOf(err error) Kind {
	var fault *sqlite.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Locked
	case !errors.As(err, &fault):
		return Other
	case fault.Code() == sqlite3.SQLITE_IOERR_SHMSIZE:
		return Full
	}
	switch fault.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return Locked
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN:
		return ReadOnly
	case sqlite3.SQLITE_FULL:
		return Full
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return Damaged
	case sqlite3.SQLITE_IOERR:
		return IO
	default:
		return Other
	}
}
