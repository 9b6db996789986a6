package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// Backup writes a copy of the store as of one instant to a file, which must be empty or not exist.
// The store may be written to meanwhile. The copy is on the disk when Backup returns.
func (s *Store) Backup(ctx context.Context, path string) error {
	err := s.using(func(h *handle) error { return copyInto(ctx, h.read, path) })
	if err != nil {
		return s.failed(ctx, "copy", err)
	}
	return nil
}

// copyInto writes a compacted copy of a database to an empty file. The copy has no mark, so that it is
// recognized as a copy when it replaces the original.
func copyInto(ctx context.Context, db *sql.DB, path string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // this returns it to the pool
	var readsOnly bool
	if err := conn.QueryRowContext(ctx, `PRAGMA query_only`).Scan(&readsOnly); err != nil {
		return err
	}
	if readsOnly {
		// query_only forbids writing to any file.
		if _, err := conn.ExecContext(ctx, `PRAGMA query_only = OFF`); err != nil {
			return err
		}
		defer func() {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA query_only = ON`) // reading goes on either way
		}()
	}
	if _, err := conn.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(make([]byte, 4), markAt)
	return errors.Join(err, file.Sync(), file.Close())
}
