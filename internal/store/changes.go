package store

import (
	"context"
	"fmt"
)

// Changed returns the app IDs of the accounts for which any process has saved something after a
// mark, in no particular order, and the latest mark that they include.
func (s *Store) Changed(ctx context.Context, after Mark) ([]string, Mark, error) {
	var changed []string
	latest := after
	err := s.reading(ctx, func(tx *transaction) error {
		if err := tx.QueryRowContext(ctx, `SELECT latest FROM mark`).Scan(&latest); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT app_id FROM account WHERE changed > ?`, int64(after)) //nolint:sqlclosecheck // eachRow closes it
		if err != nil {
			return err
		}
		return eachRow(rows, func() error {
			var appID string
			err := rows.Scan(&appID)
			changed = append(changed, appID)
			return err
		})
	})
	if err != nil {
		return nil, after, s.failed(ctx, fmt.Sprintf("look for changes after mark %d", after), err)
	}
	return changed, latest, nil
}

// Version returns a number that changes, nearly always, when another process commits to the
// file. What this Store saves does not change it, so it is a cheap way to find out whether Changed
// can return anything new. The version of a store in memory never changes.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var version int64
	err := s.using(func(h *handle) error {
		// The number is per connection and does not change for the one that writes.
		return h.write.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version)
	})
	if err != nil {
		return 0, s.failed(ctx, "check for changes by other processes", err)
	}
	return version, nil
}
