package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// OpenReadOnly opens a database file for reading alone. It creates no file and changes none: nothing
// is migrated, and whatever would write fails. Other processes may write to the file meanwhile. The
// file must be one that Open made. If it is one of an earlier version, History alone reads it as it
// is; the other methods may need what later versions added. The user need not be allowed to write:
// without a -wal file beside it, or with one and its -shm file, a file can be read as it is. What is
// damaged in it is found when it is read.
func OpenReadOnly(ctx context.Context, path string, o Options) (*Store, error) {
	s := newStore(path, o)
	if err := s.openReadOnly(ctx); err != nil {
		return nil, s.failed(ctx, "open for reading", errors.Join(err, s.Close())) //nolint:contextcheck // Close has its own time
	}
	return s, nil
}

func (s *Store) openReadOnly(ctx context.Context) error {
	if s.path == "" {
		return errors.New("it lives in the memory of the process that fills it")
	}
	found, err := statFile(s.path)
	if err != nil {
		return err
	}
	if found.fresh {
		return errors.New("the file does not exist; fill it first by running weixin_exporter, or change store.path")
	}
	further, only := readingWithoutWriting(s.path)
	unused, read, err := pools(s.path, s.busy, further)
	if err != nil {
		return err
	}
	s.write, s.read = read, read // whose connections are set up to write nothing
	if err := unused.Close(); err != nil {
		return err
	}
	err = s.retryBusy(ctx, func() error { return s.checkSchema(ctx) })
	if only && cannotOpen(err) {
		return fmt.Errorf("its -wal file holds the latest figures, and to read it this user must be allowed to write beside it;"+
			" copy the file and its -wal file to another folder, and name the copy as store.path: %w", err)
	}
	return err
}

// readingWithoutWriting returns the parameters with which SQLite reads a file that this user may not
// write, or beside which it may not; and whether it then needs the files beside it.
func readingWithoutWriting(path string) (string, bool) {
	target := resolved(path)
	if access(target) == nil && access(filepath.Dir(target)) == nil {
		return "", false
	}
	if wal, err := os.Stat(target + "-wal"); err == nil && wal.Size() > 0 {
		return "&mode=ro", true
	}
	return "&immutable=1", false
}

// cannotOpen reports whether SQLite could not open a file, or not write one.
func cannotOpen(err error) bool {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return false
	}
	kind := fault.Code() & 0xff
	return kind == sqlite3.SQLITE_CANTOPEN || kind == sqlite3.SQLITE_READONLY
}

// checkSchema fails for a file that is not one of this program's, or of a newer version.
func (s *Store) checkSchema(ctx context.Context) error {
	empty, err := s.identify(ctx)
	if err != nil {
		return err
	}
	if empty {
		return errors.New("the file is empty; fill it first by running weixin_exporter, or change store.path")
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.read, mustSub(migrations, "migrations"),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, err := examineVersion(ctx, provider)
	if isDamage(err) {
		return nil // what else can be read is worth reading
	}
	if err == nil && current == 0 {
		err = errors.New("the file holds nothing yet; fill it first by running weixin_exporter")
	}
	return err
}
