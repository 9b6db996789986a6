package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Changed returns the app ids of the accounts about which any process has saved something
// after a mark, in no particular order, and the mark up to which that is all.
func (s *Store) Changed(ctx context.Context, after Mark) ([]string, Mark, error) {
	var changed []string
	latest := after
	err := inTx(ctx, s.read, &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT latest FROM mark`).Scan(&latest); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT app_id FROM account WHERE changed > ?`, int64(after))
		if err != nil {
			return err
		}
		return each(rows, func() error {
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
