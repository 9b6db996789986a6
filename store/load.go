package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"weixin_exporter/summary"
)

// Load returns what is known of the accounts with these app ids, or of all where none is
// named, as of one instant. States reach back to since. Accounts that the store does not
// know are missing in the map. The caller owns what is returned.
func (s *Store) Load(ctx context.Context, since summary.Date, appIDs ...string) (map[string]*Account, error) {
	accounts := make(map[string]*Account)
	err := inTx(ctx, s.read, &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		l := loader{ctx: ctx, tx: tx, byNumber: make(map[int64]*Account)}
		if err := l.accounts(accounts, appIDs); err != nil {
			return err
		}
		for _, part := range []func() error{
			func() error { return l.states(since) }, l.daily, l.hourly,
		} {
			if err := part(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.failed(ctx, fmt.Sprintf("load what is known since %v", since), err)
	}
	return accounts, nil
}

// loader reads within one transaction, one query for each kind of thing.
type loader struct {
	ctx      context.Context // it lives as long as one call of Load
	tx       *sql.Tx
	byNumber map[int64]*Account
	// numbers are the keys of byNumber as a JSON array: a list of any length in one parameter.
	numbers string
}

// rows runs a query and scan for each row of its result.
func (l *loader) rows(query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := l.tx.QueryContext(l.ctx, query, args...)
	if err != nil {
		return err
	}
	return each(rows, func() error { return scan(rows) })
}

// each calls scan for each row and closes rows.
func each(rows *sql.Rows, scan func() error) error {
	defer func() { _ = rows.Close() }() // nothing is left to fail that Err does not tell
	for rows.Next() {
		if err := scan(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (l *loader) accounts(accounts map[string]*Account, appIDs []string) error {
	query, args := `SELECT id, app_id, daily_days, hourly_days FROM account`, []any(nil)
	if len(appIDs) > 0 {
		list, err := json.Marshal(appIDs)
		if err != nil {
			return err
		}
		query, args = query+` WHERE app_id IN (SELECT value FROM json_each(?))`, []any{string(list)}
	}
	numbers := []int64{}
	err := l.rows(query, func(rows *sql.Rows) error {
		var number int64
		var appID string
		account := &Account{}
		if err := rows.Scan(&number, &appID, &account.Days[summary.Daily], &account.Days[summary.Hourly]); err != nil {
			return err
		}
		accounts[appID], l.byNumber[number] = account, account
		numbers = append(numbers, number)
		return nil
	}, args...)
	if err != nil {
		return err
	}
	list, err := json.Marshal(numbers)
	l.numbers = string(list)
	return err
}

// states reads most of the rows there are. What a row costs is above all the number of its
// columns, so there are few, and all are read as what the driver gives: database/sql
// converts other types by way of strings.
func (l *loader) states(since summary.Date) error {
	return l.rows(`
		SELECT 2 * account + api, date, status + 4 * empty + 8 * rechecked + 16 * asks,
			coalesce(asked_at, 0), coalesce(known_at, 0)
		FROM day
		WHERE account IN (SELECT value FROM json_each(?)) AND api IN (0, 1) AND date >= ?`,
		func(rows *sql.Rows) error {
			var number, date, flags, askedAt, knownAt int64
			if err := rows.Scan(&number, &date, &flags, &askedAt, &knownAt); err != nil {
				return err
			}
			l.byNumber[number/2].States[number%2].Set(summary.Date(date), State{
				Status:    Status(flags & 3),
				Empty:     flags&4 != 0,
				Rechecked: flags&8 != 0,
				Asks:      int(flags / 16),
				AskedAt:   instant(askedAt),
				KnownAt:   instant(knownAt),
			})
			return nil
		}, l.numbers, int64(since))
}

// instant is the reverse of seconds; 0 stands for NULL.
func instant(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).In(summary.China)
}

// latest is the beginning of a query that needs the latest known day of each account. Its
// parameters are the accounts' numbers and the API.
const latest = `
	WITH latest (account, date) AS MATERIALIZED (
		SELECT value, (
			SELECT date FROM day
			WHERE account = value AND api = ?2 AND status = 2 ORDER BY date DESC LIMIT 1)
		FROM json_each(?1))`

func (l *loader) daily() error {
	return l.rows(latest+`
		SELECT latest.account, latest.date, coalesce(callbacks, 0), coalesce(failures, 0),
			coalesce(time_cost, 0), coalesce(max_time_cost, 0)
		FROM latest
		LEFT JOIN daily ON daily.account = latest.account AND daily.date = latest.date
		WHERE latest.date IS NOT NULL`,
		func(rows *sql.Rows) error {
			var number int64
			day := &summary.Day{}
			f := &day.Figures
			err := rows.Scan(&number, &day.Date, &f.Callbacks, &f.Failures, &f.TimeCostMillis, &f.MaxTimeCostMillis)
			if err != nil {
				return err
			}
			l.byNumber[number].Daily = day
			return nil
		}, l.numbers, int64(summary.Daily))
}

// hourly reads one row for each hour with traffic, and one without an hour for a day
// without traffic.
func (l *loader) hourly() error {
	return l.rows(latest+`
		SELECT latest.account, latest.date, coalesce(hour, 0), coalesce(callbacks, 0), coalesce(failures, 0),
			coalesce(time_cost, 0), coalesce(max_time_cost, 0)
		FROM latest
		LEFT JOIN hourly ON hourly.account = latest.account AND hourly.date = latest.date
		WHERE latest.date IS NOT NULL`,
		func(rows *sql.Rows) error {
			var number int64
			var date summary.Date
			var hour int
			var f summary.Figures
			err := rows.Scan(&number, &date, &hour, &f.Callbacks, &f.Failures, &f.TimeCostMillis, &f.MaxTimeCostMillis)
			if err != nil {
				return err
			}
			account := l.byNumber[number]
			if account.Hourly == nil {
				account.Hourly = &summary.HourlyDay{Date: date}
			}
			return put(&account.Hourly.Hours, hour, f)
		}, l.numbers, int64(summary.Hourly))
}
