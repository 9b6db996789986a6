package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Resend implements store.Store.
func (s *Store) Resend(ctx context.Context, endpoint string, since, until datacube.Date, appIDs ...string) (int64, error) {
	list, err := json.Marshal(appIDs)
	if err != nil {
		return 0, err
	}
	var days int64
	err = s.update(ctx, func(tx *transaction) error {
		if _, err := tx.ExecContext(ctx, `UPDATE mark SET latest = latest + 1`); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `
			INSERT INTO resend (endpoint, account, date, mark)
			SELECT DISTINCT ?1, day.account, day.date, mark.latest FROM mark, account
			JOIN delivery ON delivery.endpoint = ?1 AND delivery.account = account.id
			JOIN day ON day.account = account.id AND day.api IN (0, 1) AND day.status = 2 AND day.date BETWEEN ?2 AND ?3
				AND (day.changed < delivery.mark OR day.changed = delivery.mark AND day.date <= delivery.date)
			WHERE account.app_id IN (SELECT value FROM json_each(?4))
			ON CONFLICT DO UPDATE SET mark = excluded.mark`, endpoint, int64(since), int64(until), string(list))
		if err != nil {
			return err
		}
		days, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, s.failed(ctx, "schedule days to be sent again to "+endpoint, err)
	}
	return days, nil
}

// resend returns the account's days from since on that must be sent again, in the order of their dates, and
// the range that they cover. Days after the position of the endpoint are not among them: they are pending anyway.
func (c *pendingReader) resend(account int64, has store.Position) ([]store.PendingDay, store.Resent, error) {
	all := store.Resent{UpTo: store.LastDate}
	asked := int64(0)
	err := c.rows(`SELECT count(*), coalesce(max(mark), 0) FROM resend WHERE endpoint = ?1 AND account = ?2`,
		func(rows *sql.Rows) error { return rows.Scan(&asked, &all.Mark) }, c.endpoint, account)
	if err != nil || asked == 0 {
		return nil, store.Resent{}, err
	}
	var entries []store.PendingDay
	err = c.rows(`
		SELECT day.date, day.api FROM resend
		JOIN day ON day.account = resend.account AND day.api IN (0, 1) AND day.date = resend.date AND day.status = 2
			AND (day.changed < ?3 OR day.changed = ?3 AND day.date <= ?4)
		WHERE resend.endpoint = ?1 AND resend.account = ?2 AND resend.date >= ?5
		ORDER BY day.date, day.api LIMIT ?6`,
		func(rows *sql.Rows) error {
			var e store.PendingDay
			err := rows.Scan(&e.Position.Date, &e.API)
			entries = append(entries, e)
			return err
		}, c.endpoint, account, int64(has.Mark), int64(has.Date), int64(c.since), c.budget.MaxDays())
	return entries, all, err
}
