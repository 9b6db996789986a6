package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"weixin_exporter/weixin/datacube"
)

// position is how far an endpoint has got with the days of an account, which are sent in the order of their
// marks and, for the same mark, of their dates.
type position struct {
	Mark Mark
	// Date is the last day with the mark that is done; lastDate if all of them are.
	Date datacube.Date
}

// lastDate is a date after all days.
const lastDate datacube.Date = math.MaxInt32

// Pending are days of one account that one endpoint does not have yet. The caller owns it.
type Pending struct {
	AppID string
	// Daily and Hourly are Known days in the order of their dates.
	Daily  []datacube.Day
	Hourly []datacube.HourlyDay
	// TooOld is, for each API, the number of days up to upTo that are before the requested date.
	TooOld [datacube.APIs]int64
	// upTo is the position of the endpoint once all these days are done.
	upTo position
	// More is true if there are further days after upTo.
	More bool
	// resend is the range of the days among them that are sent again.
	resend resendRange
}

// Undelivered returns the app IDs of the accounts for which an endpoint may lack days, in no particular
// order. The endpoint is a name that stays the same across restarts.
func (s *Store) Undelivered(ctx context.Context, endpoint string) ([]string, error) {
	var appIDs []string
	err := s.reading(ctx, func(tx *transaction) error {
		//nolint:sqlclosecheck // eachRow closes them
		rows, err := tx.QueryContext(ctx, `
			SELECT app_id FROM account
			LEFT JOIN delivery ON delivery.endpoint = ?1 AND delivery.account = account.id
			WHERE delivery.mark IS NULL OR account.changed > delivery.mark OR delivery.date < ?2
				OR EXISTS (SELECT 1 FROM resend WHERE resend.endpoint = ?1 AND resend.account = account.id)`,
			endpoint, int64(lastDate))
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

// ReadPending returns the days that an endpoint lacks of the accounts with these app IDs, as of one
// instant and in the order of the app IDs, up to limit samples, of which each hour and day has four, but
// at least one day. Only the last account can have More. Days before since are only counted.
func (s *Store) ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]Pending, error) {
	var pending []Pending
	err := s.reading(ctx, func(tx *transaction) error {
		c := pendingReader{ctx: ctx, tx: tx, endpoint: endpoint, since: since, left: limit, whole: true, prepared: make(map[string]*sql.Stmt)}
		for _, appID := range appIDs {
			if c.left <= 0 {
				break
			}
			p, err := c.account(appID)
			if err != nil {
				return err
			}
			if p.More && p.empty() {
				break // it did not fit
			}
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

func (p *Pending) empty() bool {
	return len(p.Daily)+len(p.Hourly) == 0 && p.TooOld == [datacube.APIs]int64{}
}

// samplesOf returns the number of samples that a day has in the history.
func samplesOf(api datacube.API) int {
	if api == datacube.Hourly {
		return 4 * datacube.HoursPerDay
	}
	return 4
}

// pendingReader reads pending days within one transaction.
type pendingReader struct {
	ctx      context.Context // of the call of ReadPending
	tx       *transaction
	endpoint string
	since    datacube.Date
	left     int // samples that still fit
	prepared map[string]*sql.Stmt
	whole    bool // nothing was taken yet, so one day is taken even if it does not fit
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

// entry is a row of the table day.
type entry struct {
	position position
	api      datacube.API
}

func (c *pendingReader) account(appID string) (Pending, error) {
	p := Pending{AppID: appID}
	var account int64
	from := position{Mark: -1}
	found := false
	err := c.rows(`
		SELECT id, changed, coalesce(mark, -1), coalesce(date, 0) FROM account
		LEFT JOIN delivery ON endpoint = ? AND account = id
		WHERE app_id = ?`,
		func(rows *sql.Rows) error {
			found = true
			return rows.Scan(&account, &p.upTo.Mark, &from.Mark, &from.Date)
		}, c.endpoint, appID)
	if err != nil || !found { // there has been no response for it yet
		return p, err
	}
	p.upTo.Date = lastDate
	repeated, all, err := c.resend(account, from)
	if err != nil {
		return p, err
	}
	p.resend = all
	if taken := c.take(repeated); taken < len(repeated) {
		p.resend.upto, p.upTo, p.More = 0, from, true
		if taken > 0 {
			p.resend.upto = repeated[taken-1].position.Date
		}
		return p, c.figures(account, repeated[:taken], &p)
	}
	entries, err := c.entries(account, from)
	if err != nil {
		return p, err
	}
	if taken := c.take(entries); taken < len(entries) {
		p.More = true
		p.upTo = from
		if taken > 0 {
			p.upTo = entries[taken-1].position
		}
		entries = entries[:taken]
	}
	if p.TooOld, err = c.tooOld(account, from, p.upTo); err != nil {
		return p, err
	}
	return p, c.figures(account, append(repeated, entries...), &p)
}

// entries returns the account's days from since on that are after a position, in the order of their positions.
func (c *pendingReader) entries(account int64, after position) ([]entry, error) {
	var entries []entry
	err := c.rows(`
		SELECT changed, date, api FROM day
		WHERE account = ?1 AND api IN (0, 1) AND date >= ?2 AND status = 2
			AND (changed > ?3 OR changed = ?3 AND date > ?4)
		ORDER BY changed, date, api LIMIT ?5`,
		func(rows *sql.Rows) error {
			var e entry
			err := rows.Scan(&e.position.Mark, &e.position.Date, &e.api)
			entries = append(entries, e)
			return err
		}, account, int64(c.since), int64(after.Mark), int64(after.Date), c.left/samplesOf(datacube.Daily)+3)
	return entries, err
}

// take returns how many of the entries fit. Those of both APIs at the same position stay together.
func (c *pendingReader) take(entries []entry) int {
	taken := 0
	for taken < len(entries) {
		next, samples := taken, 0
		for next < len(entries) && entries[next].position == entries[taken].position {
			samples += samplesOf(entries[next].api)
			next++
		}
		if samples > c.left && !c.whole {
			break
		}
		c.whole = false
		c.left -= samples
		taken = next
	}
	return taken
}

// tooOld counts the account's days before since that are after one position and not after another.
func (c *pendingReader) tooOld(account int64, after, upto position) ([datacube.APIs]int64, error) {
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
func (c *pendingReader) figures(account int64, entries []entry, p *Pending) error {
	var dates [datacube.APIs][]datacube.Date
	for _, e := range entries {
		dates[e.api] = append(dates[e.api], e.position.Date)
	}
	for api := range dates {
		slices.Sort(dates[api])
		dates[api] = slices.Compact(dates[api])
	}
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

// CountPending returns the number of days from since on that an endpoint lacks, by app ID and API. Accounts
// without such days are missing.
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
			GROUP BY resend.account, api`, endpoint, int64(lastDate), int64(since))
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

// MarkDelivered records that an endpoint is done with days that ReadPending returned: they were accepted,
// permanently refused or skipped. at is when samples of them were accepted; zero if none were.
func (s *Store) MarkDelivered(ctx context.Context, endpoint string, at time.Time, pending ...Pending) error {
	err := s.update(ctx, func(tx *transaction) error {
		for i := range pending {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO delivery (endpoint, account, mark, date, sent_at)
				SELECT ?1, id, ?3, ?4, ?5 FROM account WHERE app_id = ?2
				ON CONFLICT DO UPDATE SET mark = excluded.mark, date = excluded.date,
					sent_at = coalesce(excluded.sent_at, sent_at)`,
				endpoint, pending[i].AppID, int64(pending[i].upTo.Mark), int64(pending[i].upTo.Date), toUnix(at))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `
				DELETE FROM resend WHERE endpoint = ?1 AND account = (SELECT id FROM account WHERE app_id = ?2) AND date <= ?3 AND mark <= ?4`,
				endpoint, pending[i].AppID, int64(pending[i].resend.upto), int64(pending[i].resend.mark))
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

// LastDelivery returns when an endpoint last accepted samples, in China time; zero if never.
func (s *Store) LastDelivery(ctx context.Context, endpoint string) (time.Time, error) {
	var at int64
	err := s.reading(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT coalesce(max(sent_at), 0) FROM delivery WHERE endpoint = ?`, endpoint).Scan(&at)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "read when samples were last sent to "+endpoint, err)
	}
	return fromUnix(at), nil
}
