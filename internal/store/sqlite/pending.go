package sqlite

import (
	"context"
	"database/sql"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Undelivered implements store.Store.
func (s *Store) Undelivered(ctx context.Context, endpoint string) ([]string, error) {
	var appIDs []string
	err := s.reading(ctx, func(tx *transaction) error {
		//nolint:sqlclosecheck // eachRow closes them
		rows, err := tx.QueryContext(ctx, `
			SELECT app_id FROM account
			LEFT JOIN delivery ON delivery.endpoint = ?1 AND delivery.account = account.id
			WHERE delivery.mark IS NULL OR account.changed > delivery.mark OR delivery.date < ?2
				OR EXISTS (SELECT 1 FROM resend WHERE resend.endpoint = ?1 AND resend.account = account.id)`,
			endpoint, int64(store.LastDate))
		if err != nil {
			return err
		}
		err = eachRow(rows, func() error {
			var appID string
			err := rows.Scan(&appID)
			appIDs = append(appIDs, appID)
			return err
		})
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "list the accounts with days to send to "+endpoint, err)
	}
	return appIDs, nil
}

// ReadPending implements store.Store.
func (s *Store) ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error) {
	var pending []store.Pending
	err := s.reading(ctx, func(tx *transaction) error {
		c := pendingReader{ctx: ctx, tx: tx, endpoint: endpoint, since: since, budget: store.NewBudget(limit), prepared: make(map[string]*sql.Stmt)}
		for _, appID := range appIDs {
			if c.budget.Spent() {
				break
			}
			p, damage := c.account(appID)
			if damage == nil && p.More && p.IsEmpty() {
				break // it did not fit, so its figures were not read
			}
			if err := s.damages.notePending(endpoint, appID, damage); err != nil {
				return err
			}
			if damage != nil {
				p = nothingOf(appID)
			}
			p.Done.Incarnation = s.incarnation
			pending = append(pending, p)
			if p.More {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.failed(ctx, "read the days to send to "+endpoint, err)
	}
	return pending, nil
}

// pendingReader reads pending days within one transaction.
type pendingReader struct {
	ctx      context.Context // of the call of ReadPending
	tx       *transaction
	endpoint string
	since    datacube.Date
	budget   *store.Budget
	prepared map[string]*sql.Stmt
}

// rows runs a query and scan for each row of its result. Each query runs once per account, so it is
// prepared; the end of the transaction closes it.
func (c *pendingReader) rows(query string, scan func(*sql.Rows) error, args ...any) error {
	statement := c.prepared[query]
	if statement == nil {
		var err error
		if statement, err = c.tx.PrepareContext(c.ctx, query); err != nil {
			return err
		}
		c.prepared[query] = statement
	}
	rows, err := statement.QueryContext(c.ctx, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, func() error { return scan(rows) })
}

func (c *pendingReader) account(appID string) (store.Pending, error) {
	p := store.Pending{AppID: appID}
	var account int64
	var latest store.Mark
	from := store.Position{Mark: -1}
	found := false
	err := c.rows(`
		SELECT id, changed, coalesce(mark, -1), coalesce(date, 0) FROM account
		LEFT JOIN delivery ON endpoint = ? AND account = id
		WHERE app_id = ?`,
		func(rows *sql.Rows) error {
			found = true
			return rows.Scan(&account, &latest, &from.Mark, &from.Date)
		}, c.endpoint, appID)
	if err != nil || !found { // there has been no response for it yet
		return p, err
	}
	again, resent, err := c.resend(account, from)
	if err != nil {
		return p, err
	}
	fresh, err := c.entries(account, from)
	if err != nil {
		return p, err
	}
	everything := store.Progress{Position: store.Position{Mark: latest, Date: store.LastDate}, Resent: resent}
	chosen, passes := c.budget.Choose(&p, from, everything, again, fresh)
	if passes {
		if p.TooOld, err = c.tooOld(account, from, p.Done.Position); err != nil {
			return p, err
		}
	}
	return p, c.figures(account, chosen, &p)
}

// entries returns the account's days from since on that are after a position, in the order of their positions.
func (c *pendingReader) entries(account int64, after store.Position) ([]store.PendingDay, error) {
	var entries []store.PendingDay
	err := c.rows(`
		SELECT changed, date, api FROM day
		WHERE account = ?1 AND api IN (0, 1) AND date >= ?2 AND status = 2
			AND (changed > ?3 OR changed = ?3 AND date > ?4)
		ORDER BY changed, date, api LIMIT ?5`,
		func(rows *sql.Rows) error {
			var e store.PendingDay
			err := rows.Scan(&e.Position.Mark, &e.Position.Date, &e.API)
			entries = append(entries, e)
			return err
		}, account, int64(c.since), int64(after.Mark), int64(after.Date), c.budget.MaxDays())
	return entries, err
}

// tooOld counts the account's days before since that are after one position and not after another.
func (c *pendingReader) tooOld(account int64, after, upto store.Position) ([datacube.APIs]int64, error) {
	var days [datacube.APIs]int64
	err := c.rows(`
		SELECT api, count(*) FROM day
		WHERE account = ?1 AND api IN (0, 1) AND date < ?2 AND status = 2
			AND (changed > ?3 OR changed = ?3 AND date > ?4)
			AND (changed < ?5 OR changed = ?5 AND date <= ?6)
		GROUP BY api`,
		func(rows *sql.Rows) error {
			var api, count int64
			err := rows.Scan(&api, &count)
			if err == nil {
				days[api] = count
			}
			return err
		}, account, int64(c.since), int64(after.Mark), int64(after.Date), int64(upto.Mark), int64(upto.Date))
	return days, err
}

// figures reads the days of the entries, in the order of their dates.
func (c *pendingReader) figures(account int64, entries []store.PendingDay, p *store.Pending) error {
	dates := store.Dates(entries)
	return c.tx.figures(func(r *figureCursors) error {
		err := r.days(c.ctx, datacube.Daily, account, dates[datacube.Daily], func(date datacube.Date, f []datacube.Figures) error {
			p.Daily = append(p.Daily, datacube.Day{Date: date, Figures: f[0]})
			return nil
		})
		if err != nil {
			return err
		}
		return r.days(c.ctx, datacube.Hourly, account, dates[datacube.Hourly], func(date datacube.Date, f []datacube.Figures) error {
			p.Hourly = append(p.Hourly, datacube.HourlyDay{Date: date, Hours: datacube.Hours(f)})
			return nil
		})
	})
}

// CountPending implements store.Store.
func (s *Store) CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error) {
	counts := make(map[string][datacube.APIs]int64)
	err := s.reading(ctx, func(tx *transaction) error {
		//nolint:sqlclosecheck // eachRow closes them
		rows, err := tx.QueryContext(ctx, `
			WITH behind (id, app_id, mark, date) AS MATERIALIZED (
				SELECT account.id, app_id, coalesce(mark, -1), coalesce(date, 0) FROM account
				LEFT JOIN delivery ON delivery.endpoint = ?1 AND delivery.account = account.id
				WHERE mark IS NULL OR account.changed > mark OR delivery.date < ?2)
			SELECT app_id, api, count(*) FROM behind
			JOIN day ON day.account = behind.id AND day.api IN (0, 1) AND day.date >= ?3 AND day.status = 2
				AND (day.changed > behind.mark OR day.changed = behind.mark AND day.date > behind.date)
			GROUP BY behind.id, api
			UNION ALL
			SELECT app_id, api, count(*) FROM resend
			JOIN account ON account.id = resend.account
			JOIN delivery ON delivery.endpoint = ?1 AND delivery.account = resend.account
			JOIN day ON day.account = resend.account AND day.api IN (0, 1) AND day.date = resend.date AND day.status = 2
				AND (day.changed < delivery.mark OR day.changed = delivery.mark AND day.date <= delivery.date)
			WHERE resend.endpoint = ?1 AND resend.date >= ?3
			GROUP BY resend.account, api`, endpoint, int64(store.LastDate), int64(since))
		if err != nil {
			return err
		}
		return eachRow(rows, func() error {
			var appID string
			var api, days int64
			if err := rows.Scan(&appID, &api, &days); err != nil {
				return err
			}
			count := counts[appID]
			count[api] += days
			counts[appID] = count
			return nil
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "count the days to send to "+endpoint, err)
	}
	return counts, nil
}

// MarkDelivered implements store.Store. What was read of another file is recognized by its incarnation, and what was read of a later
// state that no one has noticed yet by its marks, which the present one has not reached.
func (s *Store) MarkDelivered(ctx context.Context, endpoint string, at time.Time, pending ...store.Pending) error {
	err := s.update(ctx, func(tx *transaction) error {
		for i := range pending {
			if isLeftOut(&pending[i]) || pending[i].Done.Incarnation != s.incarnation {
				continue
			}
			_, err := tx.ExecContext(ctx, `
				INSERT INTO delivery (endpoint, account, mark, date, sent_at)
				SELECT ?1, id, ?3, ?4, ?5 FROM account WHERE app_id = ?2 AND changed >= ?3
				ON CONFLICT DO UPDATE SET
					mark = max(mark, excluded.mark),
					date = CASE WHEN excluded.mark > mark OR excluded.mark = mark AND excluded.date > date THEN excluded.date ELSE date END,
					sent_at = coalesce(excluded.sent_at, sent_at)`,
				endpoint, pending[i].AppID, int64(pending[i].Done.Position.Mark), int64(pending[i].Done.Position.Date), toUnix(at))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `
				DELETE FROM resend WHERE endpoint = ?1 AND account = (SELECT id FROM account WHERE app_id = ?2) AND date <= ?3 AND mark <= ?4
					AND ?4 <= (SELECT latest FROM mark)
					AND ?5 <= (SELECT delivery.mark FROM delivery WHERE delivery.endpoint = ?1 AND delivery.account = resend.account)`,
				endpoint, pending[i].AppID, int64(pending[i].Done.Resent.UpTo), int64(pending[i].Done.Resent.Mark), int64(pending[i].Done.Position.Mark))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s.failed(ctx, "record what was sent to "+endpoint, err)
	}
	return nil
}

// LastDelivery implements store.Store.
func (s *Store) LastDelivery(ctx context.Context, endpoint string) (time.Time, error) {
	var at int64
	err := s.reading(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT coalesce(max(sent_at), 0) FROM delivery WHERE endpoint = ?`, endpoint).Scan(&at)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "read when samples were last sent to "+endpoint, err)
	}
	return store.FromUnix(at), nil
}
