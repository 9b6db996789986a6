package sqlite

import (
	"context"
	"fmt"

	"weixin_exporter/internal/store"
)

// Changed implements store.Store.
func (s *Store) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
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

// Version implements store.Store. What this Store saves does not change the number, and that of a store in memory
// never changes.
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
