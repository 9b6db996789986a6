package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error) {
	var accounts map[string]*store.Account
	err := s.reading(ctx, longTimeout, func(ctx context.Context, tx pgx.Tx) error {
		accounts = make(map[string]*store.Account)
		l := loader{ctx: ctx, tx: tx, byNumber: make(map[int32]*store.Account)}
		if err := l.accounts(accounts, appIDs); err != nil {
			return err
		}
		if err := l.states(since); err != nil {
			return err
		}
		if err := l.latestDaily(); err != nil {
			return err
		}
		return l.latestHourly()
	})
	if err != nil {
		return nil, s.failed(ctx, fmt.Sprintf("load figures and states since %v", since), err)
	}
	return accounts, nil
}

// loader reads within one transaction, with one query for each kind of data.
type loader struct {
	ctx      context.Context //nolint:containedctx // of the call of Load
	tx       pgx.Tx
	byNumber map[int32]*store.Account
	// numbers are the keys of byNumber; nil if these are all accounts.
	numbers []int32
}

// rows runs a query whose text has %s in place of the condition on a column with the number of the account; its
// first parameter are the numbers.
func (l *loader) rows(query, column string, targets []any, take func() error, args ...any) error {
	condition := "$1::integer[] IS NULL"
	if l.numbers != nil {
		condition = column + " = ANY ($1)"
	}
	rows, err := l.tx.Query(l.ctx, fmt.Sprintf(query, condition), append([]any{l.numbers}, args...)...)
	if err != nil {
		return err
	}
	return eachRow(rows, targets, take)
}

func (l *loader) accounts(accounts map[string]*store.Account, appIDs []string) error {
	query, args := `SELECT id, app_id, daily_days, hourly_days FROM weixin_exporter.account`, []any(nil)
	if len(appIDs) > 0 {
		query, args = query+` WHERE app_id = ANY ($1)`, []any{appIDs}
	}
	rows, err := l.tx.Query(l.ctx, query, args...)
	if err != nil {
		return err
	}
	var number int32
	var appID string
	var known [datacube.APIs]int64
	err = eachRow(rows, []any{&number, &appID, &known[datacube.Daily], &known[datacube.Hourly]}, func() error {
		account := &store.Account{Days: known}
		accounts[appID], l.byNumber[number] = account, account
		return nil
	})
	if len(appIDs) > 0 {
		l.numbers = make([]int32, 0, len(l.byNumber))
		for number := range l.byNumber {
			l.numbers = append(l.numbers, number)
		}
	}
	return err
}

// stateColumns are the columns of a day that a stateRow reads.
const stateColumns = `day.account, day.api, day.date, status, empty, rechecked, asks, damaged, rechecks, checksum, asked_at, known_at`

// stateRow is what is stored of a day.
type stateRow struct {
	account, date, asks            int32
	api, status, damaged, rechecks int16
	empty, rechecked               bool
	checksum, askedAt, knownAt     int64
}

func (r *stateRow) targets() []any {
	return []any{
		&r.account, &r.api, &r.date, &r.status, &r.empty, &r.rechecked, &r.asks, &r.damaged, &r.rechecks, &r.checksum, &r.askedAt, &r.knownAt,
	}
}

func (r *stateRow) state() store.State {
	return store.State{
		Status: store.Status(r.status), Empty: r.empty, Rechecked: r.rechecked, Asks: int(r.asks), Damaged: int(r.damaged),
		Rechecks: int(r.rechecks), Checksum: uint32(r.checksum), AskedAt: store.FromUnix(r.askedAt), KnownAt: store.FromUnix(r.knownAt),
	}
}

func (l *loader) states(since datacube.Date) error {
	var row stateRow
	return l.rows(`SELECT `+stateColumns+` FROM weixin_exporter.day WHERE %s AND date >= $2`, "account", row.targets(),
		func() error {
			known := l.byNumber[row.account]
			if known == nil || row.api < 0 || row.api >= int16(datacube.APIs) {
				return fmt.Errorf("a day of account number %d and API %d, which do not exist", row.account, row.api)
			}
			known.States[row.api].Set(datacube.Date(row.date), row.state())
			return nil
		}, int32(since))
}

// latestQuery is the beginning of a query for the figures of the latest known day of each account.
const latestQuery = `FROM weixin_exporter.account
	CROSS JOIN LATERAL (
		SELECT date FROM weixin_exporter.day
		WHERE day.account = account.id AND api = $2 AND status = 2 ORDER BY date DESC LIMIT 1) AS latest`

func (l *loader) latestDaily() error {
	var account, date int32
	var f datacube.Figures
	return l.rows(`SELECT account.id, latest.date, `+dailyColumns+` `+latestQuery+`
		LEFT JOIN weixin_exporter.daily ON daily.account = account.id AND daily.date = latest.date WHERE %s`, "account.id",
		append([]any{&account, &date}, dailyTargets(&f)...),
		func() error {
			l.byNumber[account].Daily = &datacube.Day{Date: datacube.Date(date), Figures: f}
			return nil
		}, int16(datacube.Daily))
}

func (l *loader) latestHourly() error {
	var account, date int32
	var row hoursRow
	return l.rows(`SELECT account.id, latest.date, `+hourlyColumns+` `+latestQuery+`
		LEFT JOIN weixin_exporter.hourly ON hourly.account = account.id AND hourly.date = latest.date WHERE %s`, "account.id",
		append([]any{&account, &date}, row.targets()...),
		func() error {
			day := &datacube.HourlyDay{Date: datacube.Date(date)}
			if err := row.read(&day.Hours); err != nil {
				return err
			}
			l.byNumber[account].Hourly = day
			return nil
		}, int16(datacube.Hourly))
}
