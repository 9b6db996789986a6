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
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
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

// daysAtOnce is how many days of an account are read by one query, whose result is in memory before the caller
// gets it. So a slow caller does not keep a query from ending.
const daysAtOnce = 400

// figureSource implements store.FigureSource within one transaction.
type figureSource struct {
	ctx   context.Context //nolint:containedctx // of the call of ReadFigures
	store *Store
	tx    pgx.Tx
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

func (f *figureSource) Days(ctx context.Context, api datacube.API, appID string, from, to datacube.Date,
	each func(datacube.Date, []datacube.Figures) error,
) error {
	for {
		days, err := f.read(ctx, api, appID, from, to)
		if err != nil {
			return err
		}
		for i := range days {
			figures := days[i].Hours[:1]
			if api == datacube.Hourly {
				figures = days[i].Hours[:]
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := each(days[i].Date, figures); err != nil {
				return err
			}
		}
		if len(days) < daysAtOnce || days[len(days)-1].Date >= to {
			return ctx.Err()
		}
		from = days[len(days)-1].Date + 1
	}
}

// read returns the first days from one date to another, with the figures of datacube.Daily in the first hour.
func (f *figureSource) read(ctx context.Context, api datacube.API, appID string, from, to datacube.Date) ([]datacube.HourlyDay, error) {
	var days []datacube.HourlyDay
	var date int32
	const known = `FROM weixin_exporter.account
		JOIN weixin_exporter.day ON day.account = account.id AND api = $2 AND status = 2 AND day.date BETWEEN $3 AND $4`
	args := []any{appID, int16(api), int32(from), int32(to), daysAtOnce}
	if api == datacube.Daily {
		var figures datacube.Figures
		err := f.query(ctx, `SELECT day.date, `+dailyColumns+` `+known+`
			LEFT JOIN weixin_exporter.daily ON daily.account = account.id AND daily.date = day.date
			WHERE app_id = $1 ORDER BY day.date LIMIT $5`, append([]any{&date}, dailyTargets(&figures)...), func() error {
			days = append(days, datacube.HourlyDay{Date: datacube.Date(date), Hours: datacube.Hours{figures}})
			return nil
		}, args...)
		return days, err
	}
	var row hoursRow
	err := f.query(ctx, `SELECT day.date, `+hourlyColumns+` `+known+`
		LEFT JOIN weixin_exporter.hourly ON hourly.account = account.id AND hourly.date = day.date
		WHERE app_id = $1 ORDER BY day.date LIMIT $5`, append([]any{&date}, row.targets()...), func() error {
		day := datacube.HourlyDay{Date: datacube.Date(date)}
		err := row.read(&day.Hours)
		days = append(days, day)
		return err
	}, args...)
	return days, err
}

// KnownDays implements store.Store.
func (s *Store) KnownDays(ctx context.Context, api datacube.API, appID string, upTo datacube.Date,
	each func(date datacube.Date, knownAt time.Time) bool,
) error {
	more := true
	err := s.reading(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for last := int64(upTo) + 1; more; {
			type known struct {
				date datacube.Date
				at   time.Time
			}
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
			for i := 0; i < len(found) && more; i++ {
				more = each(found[i].date, found[i].at)
				last = int64(found[i].date)
			}
			if len(found) < daysAtOnce {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("read when the days of %s up to %v became known", appID, upTo), err)
	}
	return nil
}
