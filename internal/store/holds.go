package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"weixin_exporter/weixin/datacube"
)

// Hold describes failed attempts to call one API for one account, which must survive a restart.
type Hold struct {
	AppID string
	API   datacube.API
	// Until is when the call may be repeated, as determined at Since; both to the second.
	Since, Until time.Time
	// Date is the day in China on which Attempts failed.
	Date     datacube.Date
	Attempts int
	// Fingerprint is a salted hash of the credentials with which the attempts failed.
	Fingerprint []byte
	// Detail is JSON that describes what failed. It contains no secret.
	Detail string
}

// SaveHolds replaces the stored holds of the same accounts and APIs; all of them or none.
func (s *Store) SaveHolds(ctx context.Context, holds []Hold) error {
	if len(holds) == 0 {
		return nil
	}
	err := s.update(ctx, func(tx *transaction) error {
		w := writer{ctx: ctx, tx: tx, statements: &s.statements, accounts: make(map[string]int64)}
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
				account, int64(h.API), h.Since.Unix(), h.Until.Unix(), int64(h.Date), int64(h.Attempts), h.Fingerprint, h.Detail); err != nil {
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

// Holds returns the stored holds of the accounts with these app IDs.
func (s *Store) Holds(ctx context.Context, appIDs ...string) ([]Hold, error) {
	var holds []Hold
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
			var h Hold
			var api, since, until, date int64
			err := rows.Scan(&h.AppID, &api, &since, &until, &date, &h.Attempts, &h.Fingerprint, &h.Detail)
			h.API, h.Since, h.Until, h.Date = datacube.API(api), fromUnix(since), fromUnix(until), datacube.Date(date)
			holds = append(holds, h)
			return err
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "load when failed calls may be repeated", err)
	}
	return holds, nil
}
