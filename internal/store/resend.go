package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"weixin_exporter/weixin/datacube"
)

// again is how far the days that an endpoint is to get once more are read: those up to a date that were asked
// for up to a mark. The zero value is none.
type resendRange struct {
	upto datacube.Date
	mark Mark
}

// Resend has days that an endpoint has, or that it refused, sent to it once more: those from since
// to until of the accounts with these app ids. It returns how many days of accounts that are. Whoever sends
// finds out by the mark, which changes.
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
		return 0, s.failed(ctx, "have days sent again to "+endpoint, err)
	}
	return days, nil
}

// again returns the account's days from since on that the endpoint is to get once more, in the order of their
// dates, and how far that goes. Those that it lacks in any case, after its place, are not among them.
func (c *dueReader) resend(account int64, has Position) ([]entry, resendRange, error) {
	all := resendRange{upto: lastDate}
	asked := int64(0)
	err := c.rows(`SELECT count(*), coalesce(max(mark), 0) FROM resend WHERE endpoint = ?1 AND account = ?2`,
		func(rows *sql.Rows) error { return rows.Scan(&asked, &all.mark) }, c.endpoint, account)
	if err != nil || asked == 0 {
		return nil, resendRange{}, err
	}
	var entries []entry
	err = c.rows(`
		SELECT day.date, day.api FROM resend
		JOIN day ON day.account = resend.account AND day.api IN (0, 1) AND day.date = resend.date AND day.status = 2
			AND (day.changed < ?3 OR day.changed = ?3 AND day.date <= ?4)
		WHERE resend.endpoint = ?1 AND resend.account = ?2 AND resend.date >= ?5
		ORDER BY day.date, day.api LIMIT ?6`,
		func(rows *sql.Rows) error {
			var e entry
			err := rows.Scan(&e.position.Date, &e.api)
			entries = append(entries, e)
			return err
		}, c.endpoint, account, int64(has.Mark), int64(has.Date), int64(c.since), c.left/samplesOf(datacube.Daily)+3)
	return entries, all, err
}
