package sqlite

import (
	"context"
	"time"

	"weixin_exporter/internal/store"
)

// RecordedTime implements store.Store.
func (s *Store) RecordedTime(ctx context.Context) (time.Time, error) {
	var recorded int64
	err := s.reading(ctx, func(tx *transaction) error {
		if err := tx.QueryRowContext(ctx, `SELECT seen FROM clock`).Scan(&recorded); err != nil || recorded > 0 {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT coalesce(max(asked_at), 0) FROM day`).Scan(&recorded)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "read the latest recorded time", err)
	}
	return store.FromUnix(recorded), nil
}

// RecordTime implements store.Store.
func (s *Store) RecordTime(ctx context.Context, at time.Time) error {
	err := s.update(ctx, func(tx *transaction) error {
		_, err := tx.ExecContext(ctx, `UPDATE clock SET seen = ?1 WHERE seen < ?1`, at.Unix())
		return err
	})
	if err != nil {
		return s.failed(ctx, "record the time", err)
	}
	return nil
}
