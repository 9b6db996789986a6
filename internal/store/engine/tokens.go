package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store"
)

// Tokens returns where the processes that share an open store keep their tokens; nil if no other machine can
// share it.
func Tokens(db store.Store) store.Tokens {
	shared, _ := db.(store.Tokens)
	return shared
}

// DeferTokens returns the tokens of a store that is opened when it is first used, again if that failed, and closed by
// the function that it returns. It is for commands that may need no token.
func DeferTokens(c config.Store) (store.Tokens, func() error) {
	d := &deferred{open: func(ctx context.Context) (store.Store, error) { return Open(ctx, c, Options{}) }}
	return d, d.close
}

// deferred implements store.Tokens.
type deferred struct {
	open func(context.Context) (store.Store, error)

	mu     sync.Mutex
	db     store.Store // nil until it is open
	closed bool
}

// use calls do with the tokens of the store.
func (d *deferred) use(ctx context.Context, do func(store.Tokens) error) error {
	shared, err := d.opened(ctx)
	if err != nil {
		return err
	}
	return do(shared)
}

func (d *deferred) opened(ctx context.Context) (store.Tokens, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.New("the store is closed")
	}
	if d.db == nil {
		db, err := d.open(ctx)
		if err != nil {
			return nil, err
		}
		d.db = db
	}
	if shared := Tokens(d.db); shared != nil {
		return shared, nil
	}
	return nil, errors.New("tokens are kept in a database alone")
}

func (d *deferred) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.db == nil {
		return nil
	}
	return d.db.Close()
}

// LoadToken implements store.Tokens.
func (d *deferred) LoadToken(ctx context.Context, key store.TokenKey) (store.SealedToken, error) {
	var token store.SealedToken
	err := d.use(ctx, func(shared store.Tokens) error {
		var err error
		token, err = shared.LoadToken(ctx, key)
		return err
	})
	return token, err
}

// ReplaceToken implements store.Tokens.
func (d *deferred) ReplaceToken(ctx context.Context, key store.TokenKey, revision int64, sealed []byte, life time.Duration) (bool, error) {
	replaced := false
	err := d.use(ctx, func(shared store.Tokens) error {
		var err error
		replaced, err = shared.ReplaceToken(ctx, key, revision, sealed, life)
		return err
	})
	return replaced, err
}

// LockToken implements store.Tokens.
func (d *deferred) LockToken(ctx context.Context, key store.TokenKey, owner string, life time.Duration) (store.Lasts, error) {
	var locked store.Lasts
	err := d.use(ctx, func(shared store.Tokens) error {
		var err error
		locked, err = shared.LockToken(ctx, key, owner, life)
		return err
	})
	return locked, err
}

// UnlockToken implements store.Tokens.
func (d *deferred) UnlockToken(ctx context.Context, key store.TokenKey, owner string) error {
	return d.use(ctx, func(shared store.Tokens) error { return shared.UnlockToken(ctx, key, owner) })
}
