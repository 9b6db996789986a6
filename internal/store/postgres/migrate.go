package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// schema is the schema of all tables.
	schema = "weixin_exporter"
	// versions is the table with the applied migrations.
	versions = schema + ".goose_db_version"
	// migrationLock is the table with the lock that a process holds while it migrates.
	migrationLock = schema + ".goose_lock"
	// migrationWait is how often, in seconds, a process looks whether another one has finished its migration.
	migrationWait = time.Second
	// migrationWaits is how often it looks.
	migrationWaits = 60
)

// examine fails for a database of a newer version and, unless it may be empty, for one without tables.
func (s *Store) examine(ctx context.Context, mayBeEmpty bool) error {
	current, err := s.version(ctx)
	if err != nil {
		return err
	}
	known, err := latestMigration()
	switch {
	case err != nil:
		return err
	case current > known:
		return fmt.Errorf("a newer weixin_exporter wrote this database (schema %d, this one knows up to %d); run the newer one or change store.url", current, known)
	case current < known && !mayBeEmpty:
		return fmt.Errorf("the database has an older schema (%d of %d) or none; run weixin_exporter first, which migrates it, or change store.url", current, known)
	}
	return nil
}

// version returns the number of the latest migration that was applied; 0 if there is none.
func (s *Store) version(ctx context.Context) (int64, error) {
	exists, err := s.exists(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'goose_db_version')`)
	if err != nil || !exists {
		return 0, err
	}
	var current int64
	err = s.bounded(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM weixin_exporter.goose_db_version`).Scan(&current)
	})
	return current, err
}

// exists runs a query about the schema.
func (s *Store) exists(ctx context.Context, query string) (bool, error) {
	var exists bool
	err := s.bounded(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, query, schema).Scan(&exists)
	})
	return exists, err
}

// latestMigration returns the number of the latest migration of this program.
func latestMigration() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, name := range names {
		number, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		latest = max(latest, number)
	}
	return latest, nil
}

// prepared reports whether the tables are complete. It fails if they cannot be used or, if they are not complete, cannot be
// created or migrated.
func (s *Store) prepared(ctx context.Context) (bool, error) {
	r, err := s.rights(ctx)
	if err != nil {
		return false, err
	}
	complete := false
	if r.mayRead {
		if err := s.examine(ctx, true); err != nil {
			return false, err
		}
		complete = s.examine(ctx, false) == nil
	}
	return complete, r.missing(complete)
}

// migrate applies the missing migrations. Of several processes that start at the same time one applies them, and
// the others wait for it.
func (s *Store) migrate(ctx context.Context) error {
	if complete, err := s.prepared(ctx); complete || err != nil {
		return err
	}
	if err := s.createSchema(ctx); err != nil {
		return err
	}
	locker, err := lock.NewPostgresTableLocker(lock.WithTableName(migrationLock),
		lock.WithTableLockTimeout(migrationWait, migrationWaits), lock.WithTableUnlockTimeout(migrationWait, migrationWaits))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { _ = db.Close() }() // the pool stays open
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, folder, goose.WithTableName(versions), goose.WithLocker(locker),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}

// createSchema creates the schema unless there is one, which needs no right to create schemas.
func (s *Store) createSchema(ctx context.Context) error {
	const query = `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)`
	exists, err := s.exists(ctx, query)
	if err != nil || exists {
		return err
	}
	_, err = s.pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS weixin_exporter`)
	if err != nil {
		// Another process may have created it at the same moment.
		if exists, again := s.exists(ctx, query); again == nil && exists {
			return nil
		}
	}
	return err
}
