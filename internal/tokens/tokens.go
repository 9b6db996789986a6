// Package tokens keeps the access and refresh tokens of accounts, sealed, in the store that several processes share, so
// that each of them can go on where another one has ended.
package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"weixin_exporter/internal/seal"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/secret"
)

// accessTime bounds an access to the store for an access token, without which an account can do.
const accessTime = 5 * time.Second

// replacements is how often a change is tried again because another process has changed the same token.
const replacements = 10

// Options of a Keeper.
type Options struct {
	// Store has the tokens.
	Store store.Tokens
	// Keys seal the tokens.
	Keys *seal.Keys
	// State remembers what was reported; several Keepers in a row have the same one.
	State *State
}

// State is what is known of the access tokens that could not be kept. It is safe for concurrent use.
type State struct {
	report func(error)

	mu sync.Mutex
	// away means that the store cannot be used; sealed has the app IDs whose tokens cannot be opened.
	away   bool
	sealed map[string]bool
}

// NewState returns a State. report is called when access tokens cannot be kept, once for each cause, and with nil when
// they can again.
func NewState(report func(error)) *State { return &State{report: report, sealed: map[string]bool{}} }

// observe takes note of the result of an access.
func (s *State) observe(appID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.away || len(s.sealed) > 0
	known := s.away
	if _, isSealed := errors.AsType[*sealedError](err); isSealed {
		known = len(s.sealed) > 0
		s.sealed[appID] = true
	} else if s.away = err != nil; err == nil {
		delete(s.sealed, appID)
	}
	switch {
	case err != nil && !known:
		s.report(err)
	case err == nil && failed && len(s.sealed) == 0:
		s.report(nil)
	}
}

// Keeper keeps the tokens of all accounts of a configuration. It is safe for concurrent use.
type Keeper struct{ Options }

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o} }

// load reads a token into content and returns its row. Nothing is read if the row has no token.
func (k *Keeper) load(ctx context.Context, key store.TokenKey, content any) (row store.SealedToken, current bool, err error) { //nolint:nonamedreturns // a boolean needs a name
	row, err = k.Store.LoadToken(ctx, key)
	if err != nil || row.Sealed == nil {
		return row, true, err
	}
	plain, current, err := k.Keys.Open(row.Sealed, string(key.Kind), key.AppID)
	if err != nil {
		return row, false, &sealedError{key, err}
	}
	if err := json.Unmarshal(plain, content); err != nil {
		return row, false, &sealedError{key, errors.New("written by another version of this program")} // err quotes it
	}
	return row, current, nil
}

// replace stores content in place of a row. It reports whether the row was still the same.
func (k *Keeper) replace(ctx context.Context, key store.TokenKey, row store.SealedToken, content any, life time.Duration) (bool, error) {
	plain, err := json.Marshal(content)
	if err != nil {
		return false, err
	}
	return k.Store.ReplaceToken(ctx, key, row.Revision, k.Keys.Seal(plain, string(key.Kind), key.AppID), life)
}

// sealedError means that a token cannot be opened.
type sealedError struct {
	key   store.TokenKey
	cause error
}

func (e *sealedError) Error() string {
	return fmt.Sprintf("the %s token of %s in the database cannot be opened: %v", e.key.Kind, e.key.AppID, e.cause)
}

func (e *sealedError) Unwrap() error { return e.cause }

// plainText is a secret that is written as it is, to be sealed.
type plainText struct{ secret.Value }

// MarshalText returns the secret itself.
func (p plainText) MarshalText() ([]byte, error) { return []byte(p.Reveal()), nil }
