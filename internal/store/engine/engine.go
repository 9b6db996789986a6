// Package engine opens the store that the configuration names. It is the only package that knows which
// database engines there are.
package engine

import (
	"context"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
)

// Serve opens the store for an exporter, and creates it or migrates its schema if necessary. It fails if the store
// cannot be shared and another exporter uses it.
func Serve(ctx context.Context, c config.Store, now time.Time) (store.Store, error) {
	return sqlite.Serve(ctx, c.Path, now)
}

// Open opens the store for a command that writes to it beside an exporter. Writes wait for those of other
// processes for busy; 0 is the default of the engine.
func Open(ctx context.Context, c config.Store, busy time.Duration) (store.Store, error) {
	return sqlite.Open(ctx, c.Path, sqlite.Options{BusyTimeout: busy})
}

// Reader is a store that is open for reading figures only.
type Reader interface {
	store.Figures
	Close() error
}

// OpenReadOnly opens an existing store for reading figures. Nothing is created, migrated or changed.
func OpenReadOnly(ctx context.Context, c config.Store) (Reader, error) {
	return sqlite.OpenReadOnly(ctx, c.Path, sqlite.Options{})
}

// Examine fails if Serve would fail, as far as that can be found out without changing anything.
func Examine(ctx context.Context, c config.Store) error { return sqlite.Examine(ctx, c.Path) }
