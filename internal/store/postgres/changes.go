package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Changed implements store.Store.
func (s *Store) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
	var changed []string
	latest := after
	err := s.bounded(ctx, func(ctx context.Context) error {
		changed = nil
		// One statement reads as of one instant.
		rows, err := s.pool.Query(ctx, `SELECT latest, app_id FROM weixin_exporter.mark
			LEFT JOIN weixin_exporter.account ON changed > $1`, int64(after))
		if err != nil {
			return err
		}
		var appID *string
		return eachRow(rows, []any{&latest, &appID}, func() error {
			if appID != nil {
				changed = append(changed, *appID)
			}
			return nil
		})
	})
	if err != nil {
		return nil, after, s.failed(ctx, fmt.Sprintf("look for changes after mark %d", after), err)
	}
	return changed, latest, nil
}

// Version implements store.Store: it is the number of marks that other processes have made.
func (s *Store) Version(ctx context.Context) (int64, error) {
	own, before := s.own.Load(), s.latest.Load() // before the query, which may see more marks of this process
	var latest int64
	var standby bool
	err := s.bounded(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT latest, pg_catalog.pg_is_in_recovery() FROM weixin_exporter.mark`).Scan(&latest, &standby)
	})
	if err != nil {
		return 0, s.failed(ctx, "check for changes by other processes", err)
	}
	if !standby { // which may lag behind
		s.compare(memory{latest: before}, latest, 0)
	}
	return latest - own, nil
}

// RecordedTime implements store.Store.
func (s *Store) RecordedTime(ctx context.Context) (time.Time, error) {
	var recorded int64
	err := s.boundedBy(ctx, longTimeout, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT CASE WHEN seen > 0 THEN seen
			ELSE (SELECT coalesce(max(asked_at), 0) FROM weixin_exporter.day) END FROM weixin_exporter.clock`).Scan(&recorded)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "read the latest recorded time", err)
	}
	return store.FromUnix(recorded), nil
}

// RecordTime implements store.Store.
func (s *Store) RecordTime(ctx context.Context, at time.Time) error {
	err := s.bounded(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `UPDATE weixin_exporter.clock SET seen = $1 WHERE seen < $1`, at.Unix())
		return err
	})
	if err != nil {
		return s.failed(ctx, "record the time", err)
	}
	return nil
}

// SaveHolds implements store.Store.
func (s *Store) SaveHolds(ctx context.Context, holds []store.Hold) error {
	if len(holds) == 0 {
		return nil
	}
	err := s.updating(ctx, accessTimeout, func(ctx context.Context, tx pgx.Tx) error {
		appIDs := make([]string, len(holds))
		for i := range holds {
			appIDs[i] = holds[i].AppID
		}
		if err := s.checkOwned(ctx, tx, appIDs); err != nil {
			return err
		}
		numbers, err := accountNumbers(ctx, tx, appIDs)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		for i := range holds {
			h := &holds[i]
			batch.Queue(`
				INSERT INTO weixin_exporter.hold (account, api, since, until, date, attempts, fingerprint, detail)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT (account, api) DO UPDATE SET since = excluded.since, until = excluded.until, date = excluded.date,
					attempts = excluded.attempts, fingerprint = excluded.fingerprint, detail = excluded.detail`,
				numbers[h.AppID], int16(h.API), h.Since.Unix(), h.Until.Unix(), int32(h.Date), int32(h.Attempts), append([]byte{}, h.Fingerprint...), h.Detail)
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return s.failed(ctx, "save when failed calls may be repeated", err)
	}
	return nil
}

// Holds implements store.Store.
func (s *Store) Holds(ctx context.Context, appIDs ...string) ([]store.Hold, error) {
	var holds []store.Hold
	err := s.bounded(ctx, func(ctx context.Context) error {
		holds = nil
		rows, err := s.pool.Query(ctx, `
			SELECT app_id, api, since, until, date, attempts, fingerprint, detail
			FROM weixin_exporter.hold JOIN weixin_exporter.account ON account.id = hold.account WHERE app_id = ANY ($1)`, nonNil(appIDs))
		if err != nil {
			return err
		}
		var h store.Hold
		var api int16
		var date, attempts int32
		var since, until int64
		var fingerprint []byte
		return eachRow(rows, []any{&h.AppID, &api, &since, &until, &date, &attempts, &fingerprint, &h.Detail}, func() error {
			h.API, h.Since, h.Until = datacube.API(api), store.FromUnix(since), store.FromUnix(until)
			h.Date, h.Attempts, h.Fingerprint = datacube.Date(date), int(attempts), append([]byte(nil), fingerprint...)
			holds = append(holds, h)
			return nil
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "load when failed calls may be repeated", err)
	}
	return holds, nil
}

// nonNil returns a list that is an empty array rather than NULL.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
