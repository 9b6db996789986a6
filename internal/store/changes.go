package store

import (
	"context"
	"fmt"
)

// Changed returns the app ids of the accounts about which any process has saved something
// after a mark, in no particular order, and the mark up to which that is all.
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
		return nil, after, s.failed(ctx, fmt.Sprintf("look what has changed after mark %d", after), err)
	}
	return changed, latest, nil
}

// Version returns a number that stays the same as long as no other process commits anything
// to the file, and nearly always differs afterwards. What this Store saves leaves it alone,
// so comparing two of them is a cheap way to find out whether a look at Changed can bring
// anything that is not known. A store in memory has one version.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var version int64
	err := s.using(func(h *handle) error {
		// The number belongs to a connection, so it has to be the one that writes.
		return h.write.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version)
	})
	if err != nil {
		return 0, s.failed(ctx, "look whether another process has changed anything", err)
	}
	return version, nil
}
