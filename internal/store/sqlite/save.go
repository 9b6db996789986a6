package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// chunks are the numbers of hours that one statement can insert: a whole day takes one statement.
var chunks = [...]int{24, 12, 6, 3, 1}

// statements are prepared once; the pool prepares them again after it has lost a connection.
type statements struct {
	all          []*sql.Stmt
	mark         *sql.Stmt
	account      *sql.Stmt
	addAccount   *sql.Stmt
	markAccount  *sql.Stmt
	state        *sql.Stmt
	putState     *sql.Stmt
	putDaily     *sql.Stmt
	deleteDaily  *sql.Stmt
	putHours     [len(chunks)]*sql.Stmt
	deleteHourly *sql.Stmt

	// numbers are those of accounts that were found in the file, where they stay for ever. Only the writer uses it.
	numbers map[string]int64
}

func (s *statements) prepare(ctx context.Context, db *sql.DB) error {
	s.numbers = make(map[string]int64)
	type entry struct {
		statement **sql.Stmt
		query     string
	}
	list := []entry{
		{&s.mark, `UPDATE mark SET latest = latest + 1 RETURNING latest`},
		{&s.account, `SELECT id FROM account WHERE app_id = ?`},
		{&s.addAccount, `INSERT INTO account (app_id) VALUES (?)`},
		{&s.markAccount, `UPDATE account SET changed = ? WHERE id = ?`},
		{&s.state, `SELECT ` + stateColumns + ` FROM day WHERE account = ? AND api = ? AND date = ?`},
		{&s.putState, `INSERT INTO day (account, api, date, status, empty, asks, asked_at, known_at, rechecked,
				damaged, rechecks, checksum, changed, digest)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET status = excluded.status, empty = excluded.empty, asks = excluded.asks,
				asked_at = excluded.asked_at, known_at = excluded.known_at, rechecked = excluded.rechecked,
				damaged = excluded.damaged, rechecks = excluded.rechecks, checksum = excluded.checksum,
				changed = max(changed, excluded.changed),
				digest = CASE excluded.digest WHEN 0 THEN digest ELSE excluded.digest END`},
		{&s.putDaily, `REPLACE INTO daily (account, date, callbacks, failures, time_cost, max_time_cost)
			VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.deleteDaily, `DELETE FROM daily WHERE account = ? AND date = ?`},
		{&s.deleteHourly, `DELETE FROM hourly WHERE account = ? AND date = ?`},
	}
	for i, hours := range chunks {
		list = append(list, entry{&s.putHours[i], insertHours(hours)})
	}
	for _, e := range list {
		statement, err := db.PrepareContext(ctx, e.query) //nolint:sqlclosecheck // close does, all of them
		if err != nil {
			return fmt.Errorf("prepare %q: %w", e.query, err)
		}
		*e.statement = statement
		s.all = append(s.all, statement)
	}
	return nil
}

// insertHours returns a statement whose parameters are the account, the date and then, for each hour, the hour and its four
// figures. Those of the hours have no numbers: the driver asks SQLite for the name of each parameter, and SQLite searches all
// that have one, as those with numbers do.
func insertHours(hours int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO hourly (account, date, hour, callbacks, failures, time_cost, max_time_cost) VALUES `)
	for i := range hours {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(?1, ?2, ?, ?, ?, ?, ?)")
	}
	return b.String()
}

func (s *statements) close() error {
	var errs []error
	for _, statement := range s.all {
		errs = append(errs, statement.Close())
	}
	return errors.Join(errs...)
}

// Save implements store.Store. Hours and days without traffic take no space.
func (s *Store) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, fmt.Errorf("%s: %w", name(s.path), err)
	}
	if len(records) == 0 {
		return nil, nil
	}
	var revisions []store.Revision
	var known *damages
	err := s.writing(ctx, func(tx *transaction, prepared *statements) error {
		known = &s.damages
		w := newWriter(ctx, tx, prepared)
		if err := w.row(prepared.mark).Scan(&w.mark); err != nil {
			return err
		}
		for i := range records {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := w.save(i, &records[i]); err != nil {
				return err
			}
		}
		if len(w.outdated) > 0 {
			return &store.OutdatedError{Records: w.outdated}
		}
		revisions = w.revisions
		return w.markAccounts()
	})
	if err != nil {
		return nil, s.failed(ctx, store.Saving(records), err)
	}
	known.noteSaved(records)
	return revisions, nil
}

// writer saves records within one transaction.
type writer struct {
	ctx        context.Context // of the statements
	tx         *transaction
	statements *statements
	accounts   map[string]int64 // by app id
	mark       store.Mark
	revisions  []store.Revision
	outdated   []store.OutdatedRecord
}

// newWriter returns a writer. Its statements do not end with the context, for which database/sql and the driver would start
// two goroutines for each: they are short, and the transaction ends with it.
func newWriter(ctx context.Context, tx *transaction, prepared *statements) *writer {
	return &writer{ctx: context.WithoutCancel(ctx), tx: tx, statements: prepared, accounts: make(map[string]int64)}
}

func (w *writer) save(i int, r *store.Record) error {
	account, err := w.account(r.AppID)
	if err != nil {
		return err
	}
	stored, err := w.state(account, r.API, r.Date)
	if err != nil {
		return err
	}
	var other store.State
	if r.NeedsOther() {
		if other, err = w.state(account, datacube.APIs-1-r.API, r.Date); err != nil {
			return err
		}
	}
	if r.IsOutdated(stored, other) {
		w.outdated = append(w.outdated, store.OutdatedRecord{Index: i, Stored: stored, Other: other})
		return nil
	}
	if r, err = w.repaired(account, r); err != nil {
		return err
	}
	before, revised := stored.Status, false
	if before == store.Known && (r.Daily != nil || r.Hourly != nil) {
		if revised, err = w.revise(account, r); err != nil {
			return err
		}
	}
	switch {
	case r.Daily != nil:
		err = w.saveDaily(account, r)
	case r.Hourly != nil:
		err = w.saveHourly(account, r, before)
	}
	if err != nil {
		return err
	}
	st := &r.State
	var changed store.Mark
	if r.MarksDay(before, revised) {
		changed = w.mark
	}
	return w.exec(w.statements.putState, account, int64(r.API), int64(r.Date), int64(st.Status),
		st.Empty, int64(st.Asks), toUnix(st.AskedAt), toUnix(st.KnownAt), st.Rechecked,
		int64(min(st.Damaged, store.MaxDoubts)), int64(min(st.Rechecks, store.MaxDoubts)), int64(st.Checksum), int64(changed),
		digestOf(account, r))
}

// markAccounts records for each account that there was a response for it.
func (w *writer) markAccounts() error {
	for _, id := range w.accounts {
		if err := w.exec(w.statements.markAccount, int64(w.mark), id); err != nil {
			return err
		}
	}
	return nil
}

// within returns a statement that runs in the transaction.
func (w *writer) within(statement *sql.Stmt) *sql.Stmt {
	return w.tx.StmtContext(w.ctx, statement)
}

func (w *writer) exec(statement *sql.Stmt, args ...any) error {
	_, err := w.within(statement).ExecContext(w.ctx, args...) //nolint:sqlclosecheck // the end of the transaction closes it
	return err
}

func (w *writer) row(statement *sql.Stmt, args ...any) *sql.Row {
	return w.within(statement).QueryRowContext(w.ctx, args...) //nolint:sqlclosecheck // the end of the transaction closes it
}

// account returns the number of an account, and inserts the account if it is new.
func (w *writer) account(appID string) (int64, error) {
	if id, ok := w.accounts[appID]; ok {
		return id, nil
	}
	id, ok := w.statements.numbers[appID]
	if ok {
		w.accounts[appID] = id
		return id, nil
	}
	err := w.row(w.statements.account, appID).Scan(&id)
	switch {
	case err == nil:
		w.statements.numbers[appID] = id
	case errors.Is(err, sql.ErrNoRows):
		var result sql.Result
		result, err = w.within(w.statements.addAccount).ExecContext(w.ctx, appID) //nolint:sqlclosecheck // the end of the transaction closes it
		if err == nil {
			id, err = result.LastInsertId()
		}
	}
	w.accounts[appID] = id
	return id, err
}

// state returns what is stored of a day.
func (w *writer) state(account int64, api datacube.API, date datacube.Date) (store.State, error) {
	var flags, checksum int64
	var askedAt, knownAt sql.NullInt64
	err := w.row(w.statements.state, account, int64(api), int64(date)).Scan(&flags, &checksum, &askedAt, &knownAt)
	if errors.Is(err, sql.ErrNoRows) {
		return store.State{}, nil
	}
	return stateOf(flags, checksum, askedAt.Int64, knownAt.Int64), err
}

func (w *writer) saveDaily(account int64, r *store.Record) error {
	f := r.Daily
	if *f == (datacube.Figures{}) {
		return w.exec(w.statements.deleteDaily, account, int64(r.Date))
	}
	return w.exec(w.statements.putDaily, account, int64(r.Date),
		f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis)
}

func (w *writer) saveHourly(account int64, r *store.Record, status store.Status) error {
	// A day without a state has no figures either.
	if status != store.NeverAsked {
		if err := w.exec(w.statements.deleteHourly, account, int64(r.Date)); err != nil {
			return err
		}
	}
	return insertHoursOf(r.Hourly[:], func(chunk int, figures []any) error {
		return w.exec(w.statements.putHours[chunk], append([]any{account, int64(r.Date)}, figures...)...)
	})
}

// insertHoursOf calls insert with an element of chunks, and the parameters behind the account and date of the
// statement for it, until all hours with traffic are inserted.
func insertHoursOf(hours []datacube.Figures, insert func(chunk int, figures []any) error) error {
	const each = 5 // parameters
	var figures []any
	for hour, f := range hours {
		if f != (datacube.Figures{}) {
			figures = append(figures, int64(hour), f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis)
		}
	}
	for i, n := range chunks {
		for len(figures) >= each*n {
			if err := insert(i, figures[:each*n]); err != nil {
				return err
			}
			figures = figures[each*n:]
		}
	}
	return nil
}

// stored returns the stored figures of the record's day: its hours or, for datacube.Daily, the day as the first element.
func (w *writer) stored(account int64, r *store.Record) (datacube.Hours, error) {
	var hours datacube.Hours
	err := w.tx.figures(func(c *figureCursors) error {
		return c.days(w.ctx, r.API, account, []datacube.Date{r.Date}, func(_ datacube.Date, f []datacube.Figures) error {
			copy(hours[:], f)
			return nil
		})
	})
	return hours, err
}

// repaired returns a record that confirms a day without traffic with the figures of such a day if those that are stored do not match
// their checksum: Weixin has no row for it that could replace them.
func (w *writer) repaired(account int64, r *store.Record) (*store.Record, error) {
	if r.Daily != nil || r.Hourly != nil || r.State.Status != store.Known || !r.State.Empty {
		return r, nil
	}
	_, err := w.stored(account, r)
	if _, wrong := errors.AsType[wrongFiguresError](err); !wrong {
		return r, err
	}
	repaired := *r
	if r.API == datacube.Daily {
		repaired.Daily = &datacube.Figures{}
	} else {
		repaired.Hourly = &datacube.Hours{}
	}
	return &repaired, nil
}

// revise reports whether the record changes the figures of a day that is known, and notes the revision. Figures that do not
// match their checksum are unknown: the record replaces them, but there is nothing to compare it with.
func (w *writer) revise(account int64, r *store.Record) (bool, error) {
	before, err := w.stored(account, r)
	if _, wrong := errors.AsType[wrongFiguresError](err); wrong {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	revision := r.Revise(&before)
	if revision == nil {
		return false, nil
	}
	w.revisions = append(w.revisions, *revision)
	return true, nil
}

// toUnix returns a time as it is stored: Unix seconds, or NULL for the zero time.
func toUnix(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}
