package store

import (
	"context"
	"time"
)

// TokenKind is what a token is for.
type TokenKind string

// The kinds of tokens.
const (
	AccessToken  TokenKind = "access"
	RefreshToken TokenKind = "refresh"
)

// TokenKey identifies a token.
type TokenKey struct {
	AppID string
	Kind  TokenKind
}

// SealedToken is a token as it is stored.
type SealedToken struct {
	// Sealed is the token, which its user has encrypted; nil if there is none.
	Sealed []byte
	// Revision grows each time the token is replaced; 0 if there has never been one.
	Revision int64
	// Left is the time until the token expires, by the clock of the store; 0 if it never does. Of a token that has
	// expired Sealed is nil.
	Left time.Duration
}

// Lasts returns how long a lock of a token lasts at least, as far as it can end before its own time; 0 from when it may have
// ended on. It does not wait, and is safe for concurrent use.
type Lasts func() time.Duration

// Tokens keeps tokens for all processes that share a store. Only a store that several machines can share has this
// interface. It knows nothing of what a token contains.
//
// Writes do not need the ownership of a slot: a process that has received the successor of a
// refresh token must be able to store it.
type Tokens interface {
	// LoadToken returns a token.
	LoadToken(ctx context.Context, key TokenKey) (SealedToken, error)
	// ReplaceToken stores a token, or removes it if sealed is nil, unless its revision has changed from this one. It
	// reports whether it was stored. life is how long the token is valid from now on; 0 if it never expires.
	ReplaceToken(ctx context.Context, key TokenKey, revision int64, sealed []byte, life time.Duration) (bool, error)
	// LockToken keeps others from locking a token for this time, by the clock of the store. It returns nil if another owner
	// has it locked. The owner must be unique. The lock does not keep anyone from replacing the token. That of a process with
	// a duty also ends when others can claim its slots, so that they need not wait for what it was doing.
	LockToken(ctx context.Context, key TokenKey, owner string, life time.Duration) (Lasts, error)
	// UnlockToken ends the lock of this owner; it does nothing if there is none.
	UnlockToken(ctx context.Context, key TokenKey, owner string) error
}
