package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"weixin_exporter/internal/access"
)

// Examine fails if Open would fail, as far as that can be found out without changing anything: no
// file is created, not even those that SQLite puts beside a database, and no lock is taken. Other
// processes may have the file open.
func Examine(ctx context.Context, path string) error {
	s := newStore(path, Options{})
	if err := s.examineAt(ctx); err != nil {
		return s.failed(ctx, "open", err)
	}
	return nil
}

func (s *Store) examineAt(ctx context.Context) error {
	found, err := inspect(s.path)
	if err != nil || s.path == "" {
		return err
	}
	target := s.path
	if linked, err := filepath.EvalSymlinks(s.path); err == nil {
		target = linked
	}
	if err := access.Write(filepath.Dir(target)); err != nil {
		return fmt.Errorf("this user cannot create files in the folder %q; allow it or change store.path: %w", filepath.Dir(target), err)
	}
	if found.fresh {
		return nil
	}
	option, whole := "&immutable=1", true // takes no lock and creates no file
	if _, err := os.Stat(target + "-wal"); err == nil {
		_, err = os.Stat(target + "-shm")
		// The file without its WAL may be behind, and look damaged although it is not.
		if whole = err == nil; whole {
			option = "&mode=ro"
		}
	}
	dsn, err := dsnOf(s.path, s.busy)
	if err != nil {
		return err
	}
	base, err := sqlite.NewConnector(dsn + option)
	if err != nil {
		return err
	}
	s.read = pool(connector{base, reading}, 1)
	s.write = s.read
	return errors.Join(s.examineContent(ctx, found, whole), s.read.Close())
}

// examineContent checks the content of the file; unless it is whole, only which program it belongs to.
func (s *Store) examineContent(ctx context.Context, f found, whole bool) error {
	empty, err := s.identify(ctx)
	if err != nil || empty || !whole {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.read, migrationFiles(),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return s.examine(ctx, provider, f.check)
}
