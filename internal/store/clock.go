package store

import (
	"context"
	"time"
)

// RecordedTime returns the latest instant that the store has seen: what RecordTime noted, or else when the latest
// answer came. It is zero where the store holds nothing, and in China time.
func (s *Store) RecordedTime(ctx context.Context) (time.Time, error) {
	var seen int64
	err := s.reading(ctx, func(tx *transaction) error {
		if err := tx.QueryRowContext(ctx, `SELECT seen FROM clock`).Scan(&seen); err != nil || seen > 0 {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT coalesce(max(asked_at), 0) FROM day`).Scan(&seen)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "look up the latest time in it", err)
	}
	return fromUnix(seen), nil
}

// RecordTime notes that an instant has passed for sure. One before the latest changes nothing.
func (s *Store) RecordTime(ctx context.Context, at time.Time) error {
	err := s.update(ctx, func(tx *transaction) error {
		_, err := tx.ExecContext(ctx, `UPDATE clock SET seen = ?1 WHERE seen < ?1`, at.Unix())
		return err
	})
	if err != nil {
		return s.failed(ctx, "note the time", err)
	}
	return nil
}
