package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// OpenReadOnly opens a database file for reading alone. It creates no file and changes none: nothing
// is migrated, and whatever would write fails. Other processes may write to the file meanwhile. The
// file must be one that Open made. If it is one of an earlier version, History alone reads it as it
// is; the other methods may need what later versions added. SQLite needs to write the files that it
// puts beside it, so the user must be allowed to write all the same.
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
	found, err := inspect(s.path)
	if err != nil {
		return err
	}
	if found.fresh {
		return errors.New("the file does not exist; fill it first by running weixin_exporter, or change store.path")
	}
	unused, read, err := pools(s.path, s.busy)
	if err != nil {
		return err
	}
	s.write, s.read = read, read // whose connections are set up to write nothing
	if err := unused.Close(); err != nil {
		return err
	}
	return s.patiently(ctx, func() error { return s.recognise(ctx) })
}

// recognise fails for a file that is not one of this program's, or of a newer version.
func (s *Store) recognise(ctx context.Context) error {
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
	if err == nil && current == 0 {
		err = errors.New("the file holds nothing yet; fill it first by running weixin_exporter")
	}
	return err
}
