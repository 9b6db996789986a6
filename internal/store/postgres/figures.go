package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// dailyColumns are the figures of a day; zeros for a day without a row.
const dailyColumns = `coalesce(daily.callbacks, 0), coalesce(daily.failures, 0), coalesce(daily.time_cost, 0), coalesce(daily.max_time_cost, 0)`

func dailyTargets(f *datacube.Figures) []any {
	return []any{&f.Callbacks, &f.Failures, &f.TimeCostMillis, &f.MaxTimeCostMillis}
}

// hourlyColumns are the figures of the hours of a day; NULL for a day without a row.
const hourlyColumns = `hourly.callbacks, hourly.failures, hourly.time_cost, hourly.max_time_cost`

// hoursRow is what is scanned for hourlyColumns.
type hoursRow struct {
	callbacks, failures, timeCost, maxTimeCost []int64
}

func (r *hoursRow) targets() []any {
	return []any{&r.callbacks, &r.failures, &r.timeCost, &r.maxTimeCost}
}

// read copies the row to the hours, which are zero for a day without one.
func (r *hoursRow) read(hours *datacube.Hours) error {
	*hours = datacube.Hours{}
	if r.callbacks == nil {
		return nil
	}
	const all = datacube.HoursPerDay
	if len(r.callbacks) != all || len(r.failures) != all || len(r.timeCost) != all || len(r.maxTimeCost) != all {
		return store.WithKind(fmt.Errorf("a day of %d hours", len(r.callbacks)), store.Damaged) // the schema forbids it
	}
	for h := range hours {
		hours[h] = datacube.Figures{Callbacks: r.callbacks[h], Failures: r.failures[h], TimeCostMillis: r.timeCost[h], MaxTimeCostMillis: r.maxTimeCost[h]}
	}
	return nil
}

// ReadFigures implements store.Store.
func (s *Store) ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error {
	source := figureSource{ctx: ctx, store: s}
	r := store.NewFigureReader(ctx, &source)
	var readErr error
	err := pgx.BeginTxFunc(ctx, s.pool, begin(readOneInstant, readerTimeout), func(tx pgx.Tx) error {
		source.tx = tx
		// The first query fixes the instant.
		if _, err := tx.Exec(ctx, `SELECT latest FROM weixin_exporter.mark`); err != nil {
			return err
		}
		if readErr = read(r); readErr == nil {
			readErr = r.Incomplete()
		}
		return readErr
	})
	if readErr != nil {
		return readErr
	}
	if err != nil {
		return source.Failed(err)
	}
	return nil
}

const (
	// daysAtOnce is how many days are read by one query, whose result is in memory before the caller gets it. So a
	// slow caller does not keep a query from ending.
	daysAtOnce = 2000
	// accountsAtOnce is of how many accounts they are at most.
	accountsAtOnce = 100
)

// figureSource implements store.FigureSource within one transaction.
type figureSource struct {
	ctx   context.Context //nolint:containedctx // of the call of ReadFigures
	store *Store
	tx    pgx.Tx
	ahead readAhead
}

// accountDays are days of one account, with one element of figures for each of datacube.Daily and 24 for each of
// datacube.Hourly.
type accountDays struct {
	dates   []datacube.Date
	figures []datacube.Figures
}

// readAhead has the days of accounts that were read together with those of another account.
type readAhead struct {
	api      datacube.API
	from, to datacube.Date
	days     map[string]accountDays
	// longest is the largest number of days that an account had in the latest read; 0 before the first one.
	longest int64
}

func (f *figureSource) Failed(err error) error { return f.store.failed(f.ctx, "read the figures", err) }

// query runs a query and calls take after each row was scanned into targets.
func (f *figureSource) query(ctx context.Context, query string, targets []any, take func() error, args ...any) error {
	return f.store.bounded(ctx, func(ctx context.Context) error {
		rows, err := f.tx.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return eachRow(rows, targets, take)
	})
}

func (f *figureSource) AppIDs(ctx context.Context) ([]string, error) {
	appIDs := []string{}
	var appID string
	err := f.query(ctx, `SELECT app_id FROM weixin_exporter.account ORDER BY app_id COLLATE "C"`, []any{&appID}, func() error {
		appIDs = append(appIDs, appID)
		return nil
	})
	return appIDs, err
}

func (f *figureSource) Days(ctx context.Context, q store.FigureQuery, each func(datacube.Date, []datacube.Figures) error) error {
	appID := q.Accounts[0]
	for {
		days, ok := f.ahead.take(q, appID)
		more := false
		if !ok {
			var err error
			if days, more, err = f.read(ctx, q); err != nil {
				return err
			}
		}
		for i, date := range days.dates {
			if err := ctx.Err(); err != nil {
				return err
			}
			size := len(days.figures) / len(days.dates)
			if err := each(date, days.figures[i*size:(i+1)*size]); err != nil {
				return err
			}
		}
		if !more {
			return ctx.Err()
		}
		q.From = days.dates[len(days.dates)-1] + 1
	}
}

// take returns the days of an account if they were read ahead, and forgets them.
func (a *readAhead) take(q store.FigureQuery, appID string) (accountDays, bool) {
	if a.api != q.API || a.from != q.From || a.to != q.To {
		return accountDays{}, false
	}
	days, ok := a.days[appID]
	delete(a.days, appID)
	return days, ok
}

// read returns the first days of the first account of a query, and whether it has more. It reads further accounts ahead if
// their days fit.
func (f *figureSource) read(ctx context.Context, q store.FigureQuery) (accountDays, bool, error) {
	// Accounts mostly have about as many days as others. More than fit would be sorted for nothing.
	expected := int64(q.To) - int64(q.From) + 1
	if f.ahead.longest > 0 {
		expected = min(expected, f.ahead.longest)
	}
	asked := q.Accounts[:min(int64(len(q.Accounts)), accountsAtOnce, max(1, daysAtOnce/max(1, expected+1)))]
	days := make([]accountDays, len(asked))
	if err := f.readDays(ctx, q, asked, days); err != nil {
		return accountDays{}, false, err
	}
	read, longest := 0, 1
	for i := range days {
		read += len(days[i].dates)
		longest = max(longest, len(days[i].dates))
	}
	complete := len(asked)
	if read == daysAtOnce { // the last account with days may have more, and so may those after it
		for complete > 0 && len(days[complete-1].dates) == 0 {
			complete--
		}
		complete--
	}
	f.ahead = readAhead{api: q.API, from: q.From, to: q.To, longest: int64(longest), days: make(map[string]accountDays, len(asked))}
	for i := 1; i < complete; i++ {
		f.ahead.days[asked[i]] = days[i]
	}
	return days[0], complete == 0, nil
}

// readDays reads the first days of some accounts.
func (f *figureSource) readDays(ctx context.Context, q store.FigureQuery, asked []string, days []accountDays) error {
	var n int64
	var date int32
	const known = `FROM unnest($1::text[]) WITH ORDINALITY AS asked (app_id, n)
		JOIN weixin_exporter.account ON account.app_id = asked.app_id
		JOIN weixin_exporter.day ON day.account = account.id AND api = $2 AND status = 2 AND day.date BETWEEN $3 AND $4`
	args := []any{asked, int16(q.API), int32(q.From), int32(q.To), daysAtOnce}
	if q.API == datacube.Daily {
		var figures datacube.Figures
		return f.query(ctx, `SELECT n, day.date, `+dailyColumns+` `+known+`
			LEFT JOIN weixin_exporter.daily ON daily.account = account.id AND daily.date = day.date
			ORDER BY n, day.date LIMIT $5`, append([]any{&n, &date}, dailyTargets(&figures)...), func() error {
			d := &days[n-1]
			d.dates, d.figures = append(d.dates, datacube.Date(date)), append(d.figures, figures)
			return nil
		}, args...)
	}
	var row hoursRow
	var hours datacube.Hours
	return f.query(ctx, `SELECT n, day.date, `+hourlyColumns+` `+known+`
		LEFT JOIN weixin_exporter.hourly ON hourly.account = account.id AND hourly.date = day.date
		ORDER BY n, day.date LIMIT $5`, append([]any{&n, &date}, row.targets()...), func() error {
		err := row.read(&hours)
		d := &days[n-1]
		d.dates, d.figures = append(d.dates, datacube.Date(date)), append(d.figures, hours[:]...)
		return err
	}, args...)
}

// KnownDays implements store.Store.
func (s *Store) KnownDays(ctx context.Context, api datacube.API, appIDs []string, upTo datacube.Date,
	each func(appID string, date datacube.Date, knownAt time.Time) bool,
) error {
	err := s.reading(ctx, longTimeout, func(ctx context.Context, tx pgx.Tx) error {
		for _, appID := range appIDs {
			err := daysBefore(ctx, tx, api, appID, upTo, func(date datacube.Date, knownAt time.Time) bool { return each(appID, date, knownAt) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("read when the days %s up to %v became known", store.OfAccounts(appIDs), upTo), err)
	}
	return nil
}

// daysBefore calls each with the known days of an account up to a date, the latest one first, until it returns false.
func daysBefore(ctx context.Context, tx pgx.Tx, api datacube.API, appID string, upTo datacube.Date, each func(datacube.Date, time.Time) bool) error {
	type known struct {
		date datacube.Date
		at   time.Time
	}
	for last := int64(upTo) + 1; ; {
		var found []known
		rows, err := tx.Query(ctx, `SELECT date, known_at FROM weixin_exporter.day
			WHERE account = (SELECT id FROM weixin_exporter.account WHERE app_id = $1) AND api = $2 AND status = 2 AND date < $3
			ORDER BY date DESC LIMIT $4`, appID, int16(api), last, daysAtOnce)
		if err != nil {
			return err
		}
		var date int32
		var knownAt int64
		if err := eachRow(rows, []any{&date, &knownAt}, func() error {
			found = append(found, known{datacube.Date(date), store.FromUnix(knownAt)})
			return nil
		}); err != nil {
			return err
		}
		for _, f := range found {
			if last = int64(f.date); !each(f.date, f.at) {
				return nil
			}
		}
		if len(found) < daysAtOnce {
			return nil
		}
	}
}
