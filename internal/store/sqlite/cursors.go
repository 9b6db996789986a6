package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"

	"weixin_exporter/weixin/datacube"
)

// figureCursors reads figures on one connection of the driver: all figures that leave the store are
// read here. It bypasses database/sql, which takes longer for a row than SQLite does.
type figureCursors struct {
	conn driver.ConnPrepareContext
	// These are prepared when they are first needed.
	known, stored, latest [datacube.APIs]*cursor

	accounts *cursor
	hours    datacube.Hours // of the day read last; the first element alone for datacube.Daily
}

// knownQuery returns a query for known days.
func knownQuery(api datacube.API) string {
	return fmt.Sprintf(`SELECT date, digest, checksum FROM day
		WHERE account = ? AND api = %d AND status = 2 AND date BETWEEN ? AND ? ORDER BY date`, api)
}

// latestQuery returns a query for known days and when they became known, in descending order.
func latestQuery(api datacube.API) string {
	return fmt.Sprintf(`SELECT date, coalesce(known_at, 0) FROM day
		WHERE account = ? AND api = %d AND status = 2 AND date <= ? ORDER BY date DESC`, api)
}

// storedQuery returns a query for figures, in ascending order of their times. Days and hours without traffic have no row.
func storedQuery(api datacube.API) string {
	if api == datacube.Hourly {
		return `SELECT date, hour, callbacks, failures, time_cost, max_time_cost
			FROM hourly WHERE account = ? AND date BETWEEN ? AND ? ORDER BY date, hour`
	}
	return `SELECT date, 0, callbacks, failures, time_cost, max_time_cost
		FROM daily WHERE account = ? AND date BETWEEN ? AND ? ORDER BY date`
}

// eachDay is called with the figures of one day after the other: one for datacube.Daily, 24 for
// datacube.Hourly. They are overwritten by those of the next day.
type eachDay func(datacube.Date, []datacube.Figures) error

// knownDays calls each for the known days of an account from one date to another, in ascending order.
func (c *figureCursors) knownDays(ctx context.Context, api datacube.API, account int64, from, to datacube.Date, each eachDay) error {
	known, err := c.open(ctx, &c.known[api], knownQuery, api, account, from, to)
	if err != nil {
		return err
	}
	defer known.close()
	return c.join(ctx, api, account, from, to, func() (knownDay, bool, error) {
		err := known.next()
		return known.day(), !known.done, err
	}, each)
}

// days calls each for the days of an account on these dates, which are known and in ascending order.
func (c *figureCursors) days(ctx context.Context, api datacube.API, account int64, dates []datacube.Date, each eachDay) error {
	for len(dates) > 0 {
		// One query reads days that are close to each other: reading a few more rows is cheaper than another query.
		const gap = 3
		n := 1
		for n < len(dates) && dates[n]-dates[n-1] <= gap {
			n++
		}
		if err := c.daysNear(ctx, api, account, dates[:n], each); err != nil {
			return err
		}
		dates = dates[n:]
	}
	return nil
}

// daysNear is days for dates that are close to each other.
func (c *figureCursors) daysNear(ctx context.Context, api datacube.API, account int64, dates []datacube.Date, each eachDay) error {
	first, last := dates[0], dates[len(dates)-1]
	known, err := c.open(ctx, &c.known[api], knownQuery, api, account, first, last)
	if err != nil {
		return err
	}
	defer known.close()
	return c.join(ctx, api, account, first, last, func() (knownDay, bool, error) {
		if len(dates) == 0 {
			return knownDay{}, false, nil
		}
		wanted := dates[0]
		dates = dates[1:]
		for {
			if err := known.next(); err != nil {
				return knownDay{}, false, err
			}
			switch day := known.day(); {
			case known.done || day.date > wanted:
				return knownDay{}, false, damaged(fmt.Errorf("%v is not among the known days", wanted))
			case day.date == wanted:
				return day, true, nil
			}
		}
	}, each)
}

// join calls each for the days that next returns, together with the stored figures: both are in ascending order.
func (c *figureCursors) join(ctx context.Context, api datacube.API, account int64, from, to datacube.Date,
	next func() (knownDay, bool, error), each eachDay,
) error {
	stored, err := c.open(ctx, &c.stored[api], storedQuery, api, account, from, to)
	if err != nil {
		return err
	}
	defer stored.close()
	if err := stored.next(); err != nil {
		return err
	}
	figures := c.hours[:1]
	if api == datacube.Hourly {
		figures = c.hours[:]
	}
	for {
		day, ok, err := next()
		if err := errors.Join(ctx.Err(), err); err != nil || !ok {
			return err
		}
		clear(figures)
		for !stored.done && stored.row[0] <= int64(day.date) {
			if r := &stored.row; r[0] == int64(day.date) {
				if r[1] < 0 || r[1] >= int64(len(figures)) { // the schema forbids it, but the file may be damaged
					return damaged(fmt.Errorf("hour %d", r[1]))
				}
				figures[r[1]] = datacube.Figures{Callbacks: r[2], Failures: r[3], TimeCostMillis: r[4], MaxTimeCostMillis: r[5]}
			}
			if err := stored.next(); err != nil {
				return err
			}
		}
		if err := day.verify(api, account, figures); err != nil {
			return err
		}
		if err := each(day.date, figures); err != nil {
			return err
		}
	}
}

// open runs a query for the days of an account, and prepares it the first time.
func (c *figureCursors) open(ctx context.Context, prepared **cursor, query func(datacube.API) string, api datacube.API,
	account int64, from, to datacube.Date,
) (*cursor, error) {
	if *prepared == nil {
		cursor, err := newCursor(ctx, c.conn, query(api))
		if err != nil {
			return nil, err
		}
		*prepared = cursor
	}
	return *prepared, (*prepared).open(ctx, account, int64(from), int64(to))
}

// account returns the number of an account, or false if the store does not know it.
func (c *figureCursors) account(ctx context.Context, appID string) (int64, bool, error) {
	if c.accounts == nil {
		var err error
		if c.accounts, err = newCursor(ctx, c.conn, `SELECT id FROM account WHERE app_id = ?`); err != nil {
			return 0, false, err
		}
	}
	if err := c.accounts.open(ctx, appID); err != nil {
		return 0, false, err
	}
	defer c.accounts.close()
	err := c.accounts.next()
	return c.accounts.row[0], !c.accounts.done, err
}

// appIDs returns the app IDs of all accounts in ascending order; not nil.
func (c *figureCursors) appIDs(ctx context.Context) ([]string, error) {
	all, err := newCursor(ctx, c.conn, `SELECT app_id FROM account ORDER BY app_id`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = all.statement.Close() }() // it only read
	if err := all.open(ctx); err != nil {
		return nil, err
	}
	defer all.close()
	appIDs := []string{}
	for {
		switch err := all.rows.Next(all.values); {
		case errors.Is(err, io.EOF):
			return appIDs, nil
		case err != nil:
			return nil, err
		}
		appID, ok := all.values[0].(string)
		if !ok {
			return nil, damaged(fmt.Errorf("%T in the place of an app ID", all.values[0]))
		}
		appIDs = append(appIDs, appID)
	}
}

// close closes the prepared statements.
func (c *figureCursors) close() {
	for _, prepared := range slices.Concat(c.known[:], c.stored[:], c.latest[:], []*cursor{c.accounts}) {
		if prepared != nil {
			_ = prepared.statement.Close() // it only read
		}
	}
}

// cursor iterates over the rows of a prepared statement with integer columns.
type cursor struct {
	statement driver.Stmt
	query     driver.StmtQueryContext // the same
	args      [3]driver.NamedValue
	rows      driver.Rows
	values    []driver.Value
	// row holds the columns of the present row, unless done.
	row  [6]int64
	done bool
}

func newCursor(ctx context.Context, conn driver.ConnPrepareContext, text string) (*cursor, error) {
	statement, err := conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	query, ok := statement.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver cannot query with a context"), statement.Close())
	}
	return &cursor{statement: statement, query: query}, nil
}

// open runs the statement. Its rows are read with a context that does not end: for one that can
// end, the driver does more for a row than to read it.
func (c *cursor) open(ctx context.Context, args ...driver.Value) error {
	for i, arg := range args {
		c.args[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	rows, err := c.query.QueryContext(context.WithoutCancel(ctx), c.args[:len(args)])
	if err != nil {
		return err
	}
	if c.values == nil {
		c.values = make([]driver.Value, len(rows.Columns()))
	}
	c.rows, c.done = rows, false
	return nil
}

func (c *cursor) close() { _ = c.rows.Close() } // it only read

// day returns the present row of knownQuery.
func (c *cursor) day() knownDay {
	return knownDay{datacube.Date(c.row[0]), c.row[1], c.row[2]}
}

// next advances to the next row, or sets done if there is none.
func (c *cursor) next() error {
	switch err := c.rows.Next(c.values); {
	case errors.Is(err, io.EOF):
		c.done = true
		return nil
	case err != nil:
		return err
	}
	for i, value := range c.values {
		number, ok := value.(int64)
		if !ok {
			return damaged(fmt.Errorf("%T in the place of an integer", value))
		}
		c.row[i] = number
	}
	return nil
}
