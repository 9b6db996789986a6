package store

import (
	"context"
	"time"
)

// RecordedTime returns the latest instant passed to RecordTime or, if there is none, the time of the
// latest response, in China time. It is zero if the store is empty.
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
	return fromUnix(recorded), nil
}

// RecordTime records an instant that has certainly passed. One before the latest changes nothing.
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
