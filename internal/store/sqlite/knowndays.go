package sqlite

import (
	"context"
	"fmt"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// KnownDays implements store.Store.
func (s *Store) KnownDays(ctx context.Context, api datacube.API, appID string, upTo datacube.Date,
	each func(date datacube.Date, knownAt time.Time) bool,
) error {
	err := s.reading(ctx, func(tx *transaction) error {
		rows, err := tx.QueryContext(ctx, `SELECT date, coalesce(known_at, 0) FROM day
			WHERE account = (SELECT id FROM account WHERE app_id = ?) AND api = ? AND status = 2 AND date <= ?
			ORDER BY date DESC`, appID, int64(api), int64(upTo))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // it only read
		for rows.Next() {
			var date datacube.Date
			var knownAt int64
			if err := rows.Scan(&date, &knownAt); err != nil {
				return err
			}
			if !each(date, store.FromUnix(knownAt)) {
				return nil
			}
		}
		return rows.Err()
	})
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("read when the days of %s up to %v became known", appID, upTo), err)
	}
	return nil
}
