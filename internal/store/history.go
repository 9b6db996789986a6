package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"weixin_exporter/weixin/datacube"
)

// History reads the known days of all accounts as of one instant, day by day and in constant
// memory. It is for one goroutine and of no use once the call that made it has returned.
type History struct {
	ctx      context.Context // it lives as long as one call of Store.History
	store    *Store
	appIDs   []string
	numbers  map[string]int64 // by app id
	prepared [datacube.APIs]struct{ known, figures *cursor }
	damage   error           // the first that was found
	spoilt   map[string]bool // app ids of the accounts with damage
}

// History calls read with the known days as they are at this moment: what is saved in the
// meantime is not among them. Writers do not wait, but until read returns SQLite cannot reset
// its WAL file, which grows with what they save. What read returns is returned unchanged. Days that
// cannot be read in a damaged file are left out, and History says so at the end.
func (s *Store) History(ctx context.Context, read func(*History) error) error {
	return s.using(func(open *handle) error { return s.history(ctx, open.read, read) })
}

func (s *Store) history(ctx context.Context, db *sql.DB, read func(*History) error) error {
	h := &History{ctx: ctx, store: s, numbers: make(map[string]int64), spoilt: make(map[string]bool)}
	conn, err := db.Conn(ctx)
	if err != nil {
		return h.failed(err)
	}
	defer func() { _ = conn.Close() }() // nothing was written
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return h.failed(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if err := h.accounts(tx); err != nil {
		return h.failed(err)
	}
	// The rows come from the driver itself: database/sql takes longer for a row than SQLite.
	return conn.Raw(func(driverConn any) error {
		defer h.close()
		if err := h.prepare(driverConn); err != nil {
			return h.failed(err)
		}
		if err := read(h); err != nil {
			return err
		}
		return h.Incomplete()
	})
}

func (h *History) failed(err error) error { return h.store.failed(h.ctx, "read the history", err) }

// accounts is the first to read, and with that fixes the instant.
func (h *History) accounts(tx *sql.Tx) error {
	rows, err := tx.QueryContext(h.ctx, `SELECT app_id, id FROM account ORDER BY app_id`)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		var appID string
		var number int64
		err := rows.Scan(&appID, &number)
		h.appIDs, h.numbers[appID] = append(h.appIDs, appID), number
		return err
	})
}

func (h *History) prepare(driverConn any) error {
	conn, ok := driverConn.(driver.ConnPrepareContext)
	if !ok {
		return errors.New("the SQLite driver cannot prepare statements")
	}
	for api, figures := range map[datacube.API]string{
		datacube.Daily: `SELECT date, 0, callbacks, failures, time_cost, max_time_cost
			FROM daily WHERE account = ? AND date BETWEEN ? AND ? ORDER BY date`,
		datacube.Hourly: `SELECT date, hour, callbacks, failures, time_cost, max_time_cost
			FROM hourly WHERE account = ? AND date BETWEEN ? AND ? ORDER BY date, hour`,
	} {
		known := fmt.Sprintf(`SELECT date FROM day
			WHERE account = ? AND api = %d AND status = 2 AND date BETWEEN ? AND ? ORDER BY date`, api)
		var err error
		if h.prepared[api].known, err = newCursor(h.ctx, conn, known); err != nil {
			return err
		}
		if h.prepared[api].figures, err = newCursor(h.ctx, conn, figures); err != nil {
			return err
		}
	}
	return nil
}

func (h *History) close() {
	for _, p := range h.prepared {
		for _, c := range []*cursor{p.known, p.figures} {
			if c != nil {
				_ = c.statement.Close() // it only read
			}
		}
	}
}

// Accounts returns the app ids of all accounts that the store has ever had an answer about,
// in order. The caller must not change the slice.
func (h *History) Accounts() []string { return h.appIDs }

// Days calls each with the known days of the daily call from since to until, both included, in
// order; a day without traffic has zero figures. An account that the store does not know has no
// days. What each returns ends the walk and is returned unchanged.
func (h *History) Days(appID string, since, until datacube.Date, each func(datacube.Date, datacube.Figures) error) error {
	return h.walk(datacube.Daily, appID, since, until, func(date datacube.Date, day *datacube.Hours) error {
		return each(date, day[0])
	})
}

// Hours is Days for the hourly call. The hours are valid until each returns.
func (h *History) Hours(appID string, since, until datacube.Date, each func(datacube.Date, *datacube.Hours) error) error {
	return h.walk(datacube.Hourly, appID, since, until, each)
}

// walk calls each with the known days of an account. Where the file is damaged it goes on behind the
// damage, with growing steps, and remembers that.
func (h *History) walk(api datacube.API, appID string, since, until datacube.Date, each func(datacube.Date, *datacube.Hours) error) error {
	number, ok := h.numbers[appID]
	if !ok {
		return nil
	}
	var step int64
	for from := int64(since); from <= int64(until); {
		done := from - 1 // the last day that was read
		var refused error
		err := h.walkFrom(api, number, datacube.Date(from), until, func(date datacube.Date, day *datacube.Hours) error {
			done, refused = int64(date), each(date, day)
			return refused
		})
		switch {
		case refused != nil:
			return refused
		case err == nil:
			return nil
		case h.ctx.Err() != nil || !isDamage(err):
			return h.failed(err)
		}
		h.note(appID, api, done+1, err)
		step *= 2
		if done >= from || step == 0 {
			step = 1
		}
		from = done + 1 + step
	}
	return nil
}

// note remembers the first damage, and which accounts have any.
func (h *History) note(appID string, api datacube.API, date int64, err error) {
	if h.damage == nil {
		h.damage = fmt.Errorf("days of %s by the %v call from %v on: %w", appID, api, datacube.Date(max(date, int64(datacube.FirstDate))), err)
	}
	h.spoilt[appID] = true
}

// Incomplete returns an error if not all days that were asked for could be read.
func (h *History) Incomplete() error {
	if h.damage == nil {
		return nil
	}
	return h.failed(fmt.Errorf("not all could be read, accounts concerned: %d, first %w", len(h.spoilt), h.damage))
}

// walkFrom goes through the known days and the figures side by side: both are in order.
func (h *History) walkFrom(api datacube.API, number int64, since, until datacube.Date, each func(datacube.Date, *datacube.Hours) error) error {
	known, figures := h.prepared[api].known, h.prepared[api].figures
	for _, c := range []*cursor{known, figures} {
		if err := c.open(h.ctx, number, int64(since), int64(until)); err != nil {
			return err
		}
		defer c.end()
	}
	var day datacube.Hours
	if err := figures.next(); err != nil {
		return err
	}
	for {
		if err := errors.Join(h.ctx.Err(), known.next()); err != nil {
			return err
		}
		if known.over {
			return nil
		}
		date := known.row[0]
		day = datacube.Hours{}
		for !figures.over && figures.row[0] <= date {
			if r := &figures.row; r[0] == date {
				f := datacube.Figures{Callbacks: r[2], Failures: r[3], TimeCostMillis: r[4], MaxTimeCostMillis: r[5]}
				if err := put(&day, int(r[1]), f); err != nil {
					return err
				}
			}
			if err := figures.next(); err != nil {
				return err
			}
		}
		if err := each(datacube.Date(date), &day); err != nil {
			return err
		}
	}
}

// cursor walks through the rows of a prepared statement whose columns are integers.
type cursor struct {
	statement driver.Stmt
	rows      driver.Rows
	values    []driver.Value
	// row holds the columns of the present row, unless the rows are over.
	row  [6]int64
	over bool
}

func newCursor(ctx context.Context, conn driver.ConnPrepareContext, query string) (*cursor, error) {
	statement, err := conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	return &cursor{statement: statement}, nil
}

// open runs the statement. Its rows are read without regard to the context: for one that can
// end, the driver does more for a row than to read it.
func (c *cursor) open(ctx context.Context, args ...int64) error {
	querier, ok := c.statement.(driver.StmtQueryContext)
	if !ok {
		return errors.New("the SQLite driver cannot query with a context")
	}
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	rows, err := querier.QueryContext(context.WithoutCancel(ctx), named)
	if err != nil {
		return err
	}
	c.rows, c.values, c.over = rows, make([]driver.Value, len(rows.Columns())), false
	return nil
}

func (c *cursor) end() { _ = c.rows.Close() } // it only read

// next goes on to the next row, or sets over where there is none.
func (c *cursor) next() error {
	switch err := c.rows.Next(c.values); {
	case errors.Is(err, io.EOF):
		c.over = true
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
