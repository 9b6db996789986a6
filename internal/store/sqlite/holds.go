package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// SaveHolds implements store.Store.
func (s *Store) SaveHolds(ctx context.Context, holds []store.Hold) error {
	if len(holds) == 0 {
		return nil
	}
	err := s.writing(ctx, func(tx *transaction, prepared *statements) error {
		w := newWriter(ctx, tx, prepared)
		for i := range holds {
			h := &holds[i]
			account, err := w.account(h.AppID)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO hold (account, api, since, until, date, attempts, fingerprint, detail)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET since = excluded.since, until = excluded.until, date = excluded.date,
					attempts = excluded.attempts, fingerprint = excluded.fingerprint, detail = excluded.detail`,
				account, int64(h.API), h.Since.Unix(), h.Until.Unix(), int64(h.Date), int64(h.Attempts), append([]byte{}, h.Fingerprint...), h.Detail); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s.failed(ctx, "save when failed calls may be repeated", err)
	}
	return nil
}

// Holds implements store.Store.
func (s *Store) Holds(ctx context.Context, appIDs ...string) ([]store.Hold, error) {
	var holds []store.Hold
	list, err := json.Marshal(appIDs)
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	err = s.reading(ctx, func(tx *transaction) error {
		rows, err := tx.QueryContext(ctx, `
			SELECT app_id, api, since, until, date, attempts, fingerprint, detail
			FROM hold JOIN account ON account.id = hold.account
			WHERE app_id IN (SELECT value FROM json_each(?))`, string(list))
		if err != nil {
			return err
		}
		return eachRow(rows, func() error {
			var h store.Hold
			var api, since, until, date int64
			err := rows.Scan(&h.AppID, &api, &since, &until, &date, &h.Attempts, &h.Fingerprint, &h.Detail)
			h.API, h.Since, h.Until, h.Date = datacube.API(api), store.FromUnix(since), store.FromUnix(until), datacube.Date(date)
			holds = append(holds, h)
			return err
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "load when failed calls may be repeated", err)
	}
	return holds, nil
}
