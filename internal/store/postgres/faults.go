package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"weixin_exporter/internal/store"
)

// Codes of PostgreSQL's errors.
const (
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014"
	readOnlyTransaction  = "25006"
	insufficientRights   = "42501"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	serializationFailure = "40001"
	deadlock             = "40P01"
	dataCorrupted        = "XX001"
	indexCorrupted       = "XX002"
	undefinedTable       = "42P01"
	undefinedColumn      = "42703"
	idleInTransaction    = "25P03"
)

// unreachableError means that the database did not answer.
type unreachableError struct{ error }

func (e unreachableError) Unwrap() error { return e.error }

// failed wraps an error with what was being done to which database, and with what to do about it.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", s.name, doing, ctx.Err())
	}
	kind := kindOf(err)
	err = fmt.Errorf("%s: %s: %w", s.name, doing, s.explain(err, kind))
	if kind == store.Unreachable {
		text := err.Error()
		s.fault.Store(&text)
	}
	return store.WithKind(err, kind)
}

// code returns the code and the class of an error that the server returned; "" if it is another error.
func code(err error) (string, string) {
	fault, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return "", ""
	}
	const class = 2
	return fault.Code, fault.Code[:min(class, len(fault.Code))]
}

// kindOf returns the kind of an error.
func kindOf(err error) store.Kind {
	code, class := code(err)
	if _, ok := errors.AsType[*store.NotOwnedError](err); ok {
		return store.Locked
	}
	if _, ok := errors.AsType[*rightsError](err); ok {
		return store.ReadOnly
	}
	switch {
	case code == "":
		if isUnreachable(err) {
			return store.Unreachable
		}
		return store.Other
	case code == lockNotAvailable, code == queryCanceled, isRolledBack(err):
		return store.Locked
	case code == readOnlyTransaction, code == insufficientRights:
		return store.ReadOnly
	case code == diskFull:
		return store.Full
	case code == dataCorrupted, code == indexCorrupted:
		return store.Damaged
	case class == "58": // errors of the system, such as an I/O error
		return store.IO
	case class == "08", class == "57", class == "28", code == tooManyConnections, code == idleInTransaction, class == "3D":
		return store.Unreachable
	default:
		return store.Other
	}
}

// isUnreachable reports whether an error is one of the connection.
func isUnreachable(err error) bool {
	if _, ok := errors.AsType[unreachableError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "unexpected EOF")
}

// isRolledBack reports whether the server rolled a transaction back because of another one.
func isRolledBack(err error) bool {
	code, _ := code(err)
	return code == serializationFailure || code == deadlock
}

// explain adds to an error what it means for the operator.
func (s *Store) explain(err error, kind store.Kind) error {
	code, class := code(err)
	_, explained := errors.AsType[*rightsError](err)
	switch {
	case explained:
		return err
	case class == "28":
		return fmt.Errorf("the database refuses the user or the password; check store.url: %w", err)
	case class == "3D":
		return fmt.Errorf("there is no such database; create it or change store.url: %w", err)
	case code == tooManyConnections:
		return fmt.Errorf("the server has no free connection; raise max_connections there, or lower pool_max_conns in store.url: %w", err)
	case code == insufficientRights:
		return fmt.Errorf("the user of store.url lacks a right; it must own the schema %q, or be allowed to create it: %w", schema, err)
	case code == undefinedTable, code == undefinedColumn:
		return fmt.Errorf("a part of the schema %q is missing; restore a backup: %w", schema, err)
	case code == lockNotAvailable:
		return fmt.Errorf("another process has been writing for more than %v; look for it in pg_stat_activity: %w", s.busy, err)
	}
	switch kind {
	case store.Unreachable:
		return fmt.Errorf("the database cannot be reached; check the server and store.url: %w", oneLine(err))
	case store.ReadOnly:
		return fmt.Errorf("the server only reads, as a standby does; check store.url: %w", err)
	case store.Full:
		return fmt.Errorf("the disk of the server is full; free some space, or set store.retention: %w", err)
	case store.Damaged, store.IO:
		return fmt.Errorf("the database is damaged; see the log of the server: %w", err)
	default:
		return err
	}
}

// lineError is an error with its text in one line.
type lineError struct{ error }

func (e lineError) Unwrap() error { return e.error }

func (e lineError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// oneLine returns an error of a connection, which has a line for each address that was tried, in one line.
func oneLine(err error) error { return lineError{err} }
