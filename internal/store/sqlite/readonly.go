package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"weixin_exporter/internal/access"
)

// OpenReadOnly opens a database file for reading only. It creates and changes no file: nothing is
// migrated, and methods that write fail. Other processes may write to the file meanwhile. The file must
// have been created by Open. If it was written by an earlier version, only ReadFigures and Backup can be used;
// the other methods may need what later versions added. The user need not have write access: a file
// can be read if there is no -wal file beside it, or both a -wal and a -shm file. Damage is found when
// it is read.
func OpenReadOnly(ctx context.Context, path string, o Options) (*Store, error) {
	s := newStore(path, o)
	if err := s.openReadOnly(ctx); err != nil {
		return nil, s.failed(ctx, "open for reading", errors.Join(err, s.Close())) //nolint:contextcheck // Close has its own time
	}
	return s, nil
}

func (s *Store) openReadOnly(ctx context.Context) error {
	if s.path == "" {
		return errors.New("a store in memory exists only in the process that fills it")
	}
	found, err := statFile(s.path)
	if err != nil {
		return err
	}
	if found.fresh {
		return errors.New("the file does not exist; run weixin_exporter first, which creates it, or change store.path")
	}
	further, only := readingWithoutWriting(s.path)
	unused, read, err := pools(s.path, s.busy, further)
	if err != nil {
		return err
	}
	s.write, s.read = read, read // its connections are read-only
	if err := unused.Close(); err != nil {
		return err
	}
	err = s.retryBusy(ctx, func() error { return s.checkSchema(ctx) })
	if only && cannotOpen(err) {
		return fmt.Errorf("the -wal file holds the latest figures, and to read it this user needs write access to the folder;"+
			" copy both files to another folder, and set store.path to the copy: %w", err)
	}
	return err
}

// readingWithoutWriting returns the URI parameters with which SQLite reads a file if this user has no
// write access to it or its folder, and whether it then needs the files beside it.
func readingWithoutWriting(path string) (string, bool) {
	target := resolved(path)
	if access.Write(target) == nil && access.Write(filepath.Dir(target)) == nil {
		return "", false
	}
	if wal, err := os.Stat(target + "-wal"); err == nil && wal.Size() > 0 {
		return "&mode=ro", true
	}
	return "&immutable=1", false
}

// cannotOpen reports whether SQLite could not open a file or could not write to one.
func cannotOpen(err error) bool {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return false
	}
	kind := fault.Code() & 0xff
	return kind == sqlite3.SQLITE_CANTOPEN || kind == sqlite3.SQLITE_READONLY
}

// checkSchema fails for a file of another program or of a newer version.
func (s *Store) checkSchema(ctx context.Context) error {
	empty, err := s.identify(ctx)
	if err != nil {
		return err
	}
	if empty {
		return errors.New("the file is empty; run weixin_exporter first, or change store.path")
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.read, migrationFiles(),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, err := examineVersion(ctx, provider)
	if isDamage(err) {
		return nil // the rest may still be readable
	}
	if err == nil && current == 0 {
		err = errors.New("the file has no tables yet; run weixin_exporter first")
	}
	return err
}
