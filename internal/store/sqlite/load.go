package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error) {
	accounts := make(map[string]*store.Account)
	err := s.reading(ctx, func(tx *transaction) error {
		l := loader{
			ctx: ctx, tx: tx, byNumber: make(map[int64]*store.Account), appIDs: make(map[int64]string),
			damaged: make(map[leftOut]error),
		}
		if err := l.accounts(accounts, appIDs); err != nil {
			return err
		}
		for _, part := range []func() error{
			func() error { return l.states(since) },
			func() error { return l.latest(datacube.Daily) },
			func() error { return l.latest(datacube.Hourly) },
		} {
			if err := part(); err != nil {
				return err
			}
		}
		s.damages.noteLoaded(accounts, l.damaged)
		return nil
	})
	if err != nil {
		return nil, s.failed(ctx, fmt.Sprintf("load figures and states since %v", since), err)
	}
	return accounts, nil
}

// loader reads within one transaction, with one query for each kind of data.
type loader struct {
	ctx      context.Context // of the call of Load
	tx       *transaction
	byNumber map[int64]*store.Account
	appIDs   map[int64]string // by number
	// damaged are the days that were left out, with the reasons.
	damaged map[leftOut]error
	// numbers are the keys of byNumber as a JSON array: a list of any length in one parameter.
	numbers string
}

// rows runs a query and scan for each row of its result.
func (l *loader) rows(query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := l.tx.QueryContext(l.ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, func() error { return scan(rows) })
}

// eachRow calls scan for each row and closes rows.
func eachRow(rows *sql.Rows, scan func() error) error {
	defer func() { _ = rows.Close() }() // Err reports what failed
	for rows.Next() {
		if err := scan(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (l *loader) accounts(accounts map[string]*store.Account, appIDs []string) error {
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
		var text any
		account := &store.Account{}
		if err := rows.Scan(&number, &text, &account.Days[datacube.Daily], &account.Days[datacube.Hourly]); err != nil {
			return err
		}
		appID, ok := text.(string)
		if !ok {
			return damaged(fmt.Errorf("%T in the place of an app ID", text))
		}
		accounts[appID], l.byNumber[number], l.appIDs[number] = account, account, appID
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

// integers runs a query for integer columns, and take for each row of its result; NULL is 0. The cost of
// a row is mostly that of its columns, which database/sql reads fastest without a conversion.
func (l *loader) integers(columns int, query string, take func([]int64) error, args ...any) error {
	row, values, targets := make([]int64, columns), make([]any, columns), make([]any, columns)
	for i := range values {
		targets[i] = &values[i]
	}
	return l.rows(query, func(rows *sql.Rows) error {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		for i, v := range values {
			row[i], _ = v.(int64)
		}
		return take(row)
	}, args...)
}

// stateColumns are the columns of a day from which stateOf makes its state. They are few, since no other query reads as many rows as
// that for states.
const stateColumns = `status + 4 * empty + 8 * rechecked + 16 * damaged + 256 * rechecks + 4096 * asks, checksum, asked_at, known_at`

func stateOf(flags, checksum, askedAt, knownAt int64) store.State {
	return store.State{
		Status:    store.Status(flags & 3),
		Empty:     flags&4 != 0,
		Rechecked: flags&8 != 0,
		Damaged:   int(flags / 16 % 16),
		Rechecks:  int(flags / 256 % 16),
		Asks:      int(flags / 4096),
		Checksum:  uint32(checksum),
		AskedAt:   store.FromUnix(askedAt),
		KnownAt:   store.FromUnix(knownAt),
	}
}

func (l *loader) states(since datacube.Date) error {
	return l.integers(6, `
		SELECT 2 * account + api, date, `+stateColumns+`
		FROM day
		WHERE account IN (SELECT value FROM json_each(?)) AND api IN (0, 1) AND date >= ?`,
		func(row []int64) error {
			number := row[0]
			account := l.byNumber[number/2]
			if account == nil {
				return damaged(fmt.Errorf("a day of account %d, which was not asked for", number/2))
			}
			account.States[number%2].Set(datacube.Date(row[1]), stateOf(row[2], row[3], row[4], row[5]))
			return nil
		}, l.numbers, int64(since))
}

// latestDay is the latest known day of an account.
type latestDay struct {
	account int64
	date    datacube.Date
}

// latest reads the latest known day of each account whose figures match their checksum.
func (l *loader) latest(api datacube.API) error {
	var days []latestDay
	err := l.integers(2, `
		SELECT value, (
			SELECT date FROM day
			WHERE account = value AND api = ?2 AND status = 2 ORDER BY date DESC LIMIT 1) AS latest
		FROM json_each(?1) WHERE latest IS NOT NULL`,
		func(row []int64) error {
			days = append(days, latestDay{row[0], datacube.Date(row[1])})
			return nil
		}, l.numbers, int64(api))
	for err == nil && len(days) > 0 {
		if days, err = l.read(api, days); err == nil {
			days, err = l.before(api, days)
		}
	}
	return err
}

// read sets the figures of days as the latest ones of their accounts, and returns those days whose figures do not match
// their checksum.
func (l *loader) read(api datacube.API, days []latestDay) ([]latestDay, error) {
	var wrong []latestDay
	err := l.tx.figures(func(c *figureCursors) error {
		for _, day := range days {
			account := l.byNumber[day.account]
			err := c.days(l.ctx, api, day.account, []datacube.Date{day.date}, func(date datacube.Date, f []datacube.Figures) error {
				if api == datacube.Hourly {
					account.Hourly = &datacube.HourlyDay{Date: date, Hours: datacube.Hours(f)}
				} else {
					account.Daily = &datacube.Day{Date: date, Figures: f[0]}
				}
				return nil
			})
			if _, found := errors.AsType[wrongFiguresError](err); found {
				l.damaged[leftOut{appID: l.appIDs[day.account], api: api, date: day.date}] = err
				wrong = append(wrong, day)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return wrong, err
}

// before returns for each day the latest known one before it, if there is one.
func (l *loader) before(api datacube.API, days []latestDay) ([]latestDay, error) {
	var found []latestDay
	for _, day := range days {
		err := l.integers(1, `
			SELECT date FROM day
			WHERE account = ? AND api = ? AND status = 2 AND date < ? ORDER BY date DESC LIMIT 1`,
			func(row []int64) error {
				found = append(found, latestDay{day.account, datacube.Date(row[0])})
				return nil
			}, day.account, int64(api), int64(day.date))
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
