package sqlite

import (
	"context"
	"errors"
	"time"

	"weixin_exporter/internal/store"
)

// Serve opens the file for an exporter, and holds its lock until it is closed.
func Serve(ctx context.Context, path string, now time.Time) (store.Store, error) {
	lock, err := TakeLock(path, now)
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, path, Options{Lock: lock})
	if err != nil {
		return nil, errors.Join(err, lock.abandon())
	}
	return served{s, lock}, nil
}

// served is a store with the lock that it was opened with.
type served struct {
	*Store

	lock *Lock
}

// Close implements store.Store.
func (s served) Close() error { return errors.Join(s.Store.Close(), s.lock.Release()) }
