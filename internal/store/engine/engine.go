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

// Reader is a store that is open for reading only.
type Reader interface {
	store.Figures
	store.Imager
	Close() error
}

// Copier is a store that is open for a copy.
type Copier interface {
	// Backup writes a copy of the store as of one instant to a file.
	Backup(ctx context.Context, path string) error
	Close() error
}

// engine opens the stores of one engine.
type engine interface {
	// serve opens the store for an exporter, and creates it or migrates its schema if necessary.
	serve(ctx context.Context, o ServeOptions) (store.Store, error)
	// open opens the store for a command.
	open(ctx context.Context, o Options) (store.Store, error)
	read(ctx context.Context) (Reader, error)
	examine(ctx context.Context) error
	// backup opens the store for a copy into a file; it fails if that is a matter of other tools.
	backup(ctx context.Context) (Copier, error)
	// restore fills a new store.
	restore(ctx context.Context, now func() time.Time, fill func(store.Restorer) error) error
	// user describes an exporter that uses the store; "" if none does.
	user(ctx context.Context) (string, error)
	// files are the files that the store consists of, its main file first.
	files() []string
	// describe returns what people need to know about the store.
	describe() (name, place string)
}

func of(c config.Store) engine {
	if database := c.Database(); !database.IsZero() {
		return inDatabase{database}
	}
	return inFile(c.Path)
}

// ServeOptions are how an exporter opens the store.
type ServeOptions struct {
	Now func() time.Time
	// Lease is how long other exporters wait before they take over the accounts of one that does not answer, if they can
	// share the store; 0 is the default of the engine.
	Lease time.Duration
}

// Serve opens the store for an exporter, and creates it or migrates its schema if necessary. Exporters that can use the
// same store share the work by the methods of store.Sharing; otherwise it fails if another exporter uses it.
func Serve(ctx context.Context, c config.Store, o ServeOptions) (store.Store, error) {
	return of(c).serve(ctx, o)
}

// Options are how a command opens the store.
type Options struct {
	// Busy is how long writes wait for those of other processes; 0 is the default of the engine.
	Busy time.Duration
	// Duty is the work that the command shares with other processes, by the methods of store.Sharing; "" if it does none.
	Duty store.Duty
	// Now is the clock of a command with a duty.
	Now func() time.Time
}

// Open opens the store for a command that writes to it beside an exporter.
func Open(ctx context.Context, c config.Store, o Options) (store.Store, error) {
	return of(c).open(ctx, o)
}

// OpenReadOnly opens an existing store for reading figures. Nothing is created, migrated or changed.
func OpenReadOnly(ctx context.Context, c config.Store) (Reader, error) { return of(c).read(ctx) }

// OpenBackup opens an existing store for a copy into a file. It fails if the store is copied by other tools.
func OpenBackup(ctx context.Context, c config.Store) (Copier, error) { return of(c).backup(ctx) }

// Restore fills a new store with what fill puts: all of it, or nothing if fill returns an error. It fails if there is a
// store already.
func Restore(ctx context.Context, c config.Store, now func() time.Time, fill func(store.Restorer) error) error {
	return of(c).restore(ctx, now, fill)
}

// User describes an exporter that uses an existing store, for people; "" if none does, as far as that can be found out.
func User(ctx context.Context, c config.Store) (string, error) { return of(c).user(ctx) }

// Examine fails if Serve would fail, as far as that can be found out without changing anything.
func Examine(ctx context.Context, c config.Store) error { return of(c).examine(ctx) }

// Files returns the files that the store consists of, its main file first; none if it is in memory or on a server.
func Files(c config.Store) []string { return of(c).files() }

// inFile is the engine of a store in a file, or in memory if the path is "".
type inFile string

func (f inFile) serve(ctx context.Context, o ServeOptions) (store.Store, error) {
	return sqlite.Serve(ctx, string(f), o.Now())
}

func (f inFile) open(ctx context.Context, o Options) (store.Store, error) {
	return sqlite.Open(ctx, string(f), sqlite.Options{BusyTimeout: o.Busy})
}

func (f inFile) read(ctx context.Context) (Reader, error) {
	return sqlite.OpenReadOnly(ctx, string(f), sqlite.Options{})
}

func (f inFile) backup(ctx context.Context) (Copier, error) {
	return sqlite.OpenReadOnly(ctx, string(f), sqlite.Options{})
}

func (f inFile) restore(ctx context.Context, now func() time.Time, fill func(store.Restorer) error) error {
	return sqlite.Restore(ctx, string(f), now(), fill)
}

func (f inFile) user(context.Context) (string, error) { return sqlite.User(string(f)), nil }

func (f inFile) examine(ctx context.Context) error { return sqlite.Examine(ctx, string(f)) }

func (f inFile) files() []string {
	if f == "" {
		return nil
	}
	return []string{string(f), string(f) + "-wal", string(f) + "-shm", string(f) + ".lock"}
}

func (f inFile) describe() (string, string) { return "SQLite", string(f) }
