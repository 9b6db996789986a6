package store

import (
	"context"
	"errors"
)

// Kind is the reason why an access to the store failed, in one word.
type Kind string

// The kinds of errors.
const (
	Locked   Kind = "locked"    // by another process, for longer than the busy timeout
	ReadOnly Kind = "read_only" // the file, its folder or the disk; a standby; a missing right
	Full     Kind = "full"      // the disk or a quota
	Damaged  Kind = "damaged"   // the file or database
	IO       Kind = "io"        // reading or writing failed
	// Unreachable means that the server of the database did not answer, or refused to.
	Unreachable Kind = "unreachable"
	Other       Kind = "other"
)

// kindError is an error with a kind.
type kindError struct {
	error

	kind Kind
}

func (e *kindError) Unwrap() error { return e.error }

// WithKind returns the error with a kind, for KindOf. Its text stays the same.
func WithKind(err error, kind Kind) error {
	if err == nil {
		return nil
	}
	return &kindError{err, kind}
}

// KindOf returns the kind of an error of a store. What took longer than its context allows was locked.
func KindOf(err error) Kind {
	if errors.Is(err, context.DeadlineExceeded) {
		return Locked
	}
	if known, ok := errors.AsType[*kindError](err); ok {
		return known.kind
	}
	return Other
}
