package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Save implements store.Store.
func (s *Store) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	if err := store.CheckRecords(records); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if len(records) == 0 {
		return nil, nil
	}
	var revisions []store.Revision
	saved := savedMark{appID: records[0].AppID}
	err := s.writing(ctx, accessTimeout, func(ctx context.Context, tx pgx.Tx, mark int64) error {
		saved.mark = mark
		w := newWriter(ctx, tx, mark, records)
		if err := s.checkOwned(ctx, tx, w.appIDs); err != nil {
			return err
		}
		if err := w.readBefore(); err != nil {
			return err
		}
		for i := range records {
			w.apply(i, &records[i])
		}
		if len(w.outdated) > 0 {
			return &store.OutdatedError{Records: w.outdated}
		}
		revisions = w.revisions
		return w.write()
	})
	if err != nil {
		return nil, s.failed(ctx, store.Saving(records), err)
	}
	s.saved.Store(&saved)
	return revisions, nil
}

// dayKey identifies a day of an account and API.
type dayKey struct {
	account int32
	api     datacube.API
	date    datacube.Date
}

// writer saves records within one transaction: it reads what is stored of their days, applies the records in
// memory, and writes the result, each with a number of statements that does not depend on that of the records.
type writer struct {
	ctx       context.Context //nolint:containedctx // of the call of Save
	tx        pgx.Tx
	mark      int64
	records   []store.Record
	appIDs    []string         // of the records
	accounts  map[string]int32 // numbers by app ID
	days      map[dayKey]*savedDay
	order     []dayKey // of the days to be written, as in the records
	counts    map[int32]*[datacube.APIs]int64
	revisions []store.Revision
	outdated  []store.OutdatedRecord
}

// savedDay is a day to be written, unless it was only read.
type savedDay struct {
	before  store.Status // as stored
	state   store.State
	written bool
	hours   datacube.Hours // the figures; for datacube.Daily the first element
	replace bool           // the figures must be written
	changed int64          // the mark of the change; 0 if there is none
}

// replaceBy sets the figures. Those that are the same are not written: an update leaves a dead row behind, and
// most days are asked for once more and come back as they were.
func (d *savedDay) replaceBy(hours *datacube.Hours) {
	if d.hours != *hours {
		d.hours, d.replace = *hours, true
	}
}

func newWriter(ctx context.Context, tx pgx.Tx, mark int64, records []store.Record) *writer {
	appIDs := make([]string, len(records))
	for i := range records {
		appIDs[i] = records[i].AppID
	}
	return &writer{
		ctx: ctx, tx: tx, mark: mark, records: records, appIDs: appIDs,
		days: make(map[dayKey]*savedDay, len(records)), counts: make(map[int32]*[datacube.APIs]int64),
	}
}

// accountNumbers returns the numbers of accounts, and inserts those that are new. The caller excludes other writers.
func accountNumbers(ctx context.Context, tx pgx.Tx, appIDs []string) (map[string]int32, error) {
	numbers := make(map[string]int32, len(appIDs))
	var batch pgx.Batch
	batch.Queue(`INSERT INTO weixin_exporter.account (app_id)
		SELECT DISTINCT given FROM unnest($1::text[]) AS given
		WHERE NOT EXISTS (SELECT 1 FROM weixin_exporter.account WHERE app_id = given)`, appIDs)
	batch.Queue(`SELECT app_id, id FROM weixin_exporter.account WHERE app_id = ANY ($1)`, appIDs).Query(func(rows pgx.Rows) error {
		var appID string
		var number int32
		return eachRow(rows, []any{&appID, &number}, func() error {
			numbers[appID] = number
			return nil
		})
	})
	return numbers, tx.SendBatch(ctx, &batch).Close()
}

// readBefore reads the accounts and what is stored of the days of the records.
func (w *writer) readBefore() error {
	var err error
	if w.accounts, err = accountNumbers(w.ctx, w.tx, w.appIDs); err != nil {
		return err
	}
	var accounts, dates []int32
	var apis []int16
	read := func(key dayKey) {
		if w.days[key] == nil {
			w.days[key] = &savedDay{}
			accounts, apis, dates = append(accounts, key.account), append(apis, int16(key.api)), append(dates, int32(key.date))
		}
	}
	for i := range w.records {
		r := &w.records[i]
		read(w.key(r))
		if r.NeedsOther() {
			read(w.key(r).other())
		}
	}
	const asked = `FROM unnest($1::integer[], $2::smallint[], $3::integer[]) AS asked (account, api, date)
		JOIN weixin_exporter.day ON day.account = asked.account AND day.api = asked.api AND day.date = asked.date `
	var batch pgx.Batch
	var account, date int32
	var api int16
	note := func() *savedDay { return w.days[dayKey{account, datacube.API(api), datacube.Date(date)}] }
	var row stateRow
	batch.Queue(`SELECT `+stateColumns+` `+asked, accounts, apis, dates).Query(func(rows pgx.Rows) error {
		return eachRow(rows, row.targets(), func() error {
			day := w.days[dayKey{row.account, datacube.API(row.api), datacube.Date(row.date)}]
			day.state = row.state()
			day.before = day.state.Status
			return nil
		})
	})
	var figures datacube.Figures
	batch.Queue(`SELECT day.account, day.api, day.date, `+dailyColumns+` `+asked+`
		JOIN weixin_exporter.daily ON day.api = 0 AND daily.account = day.account AND daily.date = day.date`, accounts, apis, dates).Query(func(rows pgx.Rows) error {
		return eachRow(rows, append([]any{&account, &api, &date}, dailyTargets(&figures)...), func() error {
			note().hours[0] = figures
			return nil
		})
	})
	var hours hoursRow
	batch.Queue(`SELECT day.account, day.api, day.date, `+hourlyColumns+` `+asked+`
		JOIN weixin_exporter.hourly ON day.api = 1 AND hourly.account = day.account AND hourly.date = day.date`, accounts, apis, dates).Query(func(rows pgx.Rows) error {
		return eachRow(rows, append([]any{&account, &api, &date}, hours.targets()...), func() error {
			return hours.read(&note().hours)
		})
	})
	return w.tx.SendBatch(w.ctx, &batch).Close()
}

func (w *writer) key(r *store.Record) dayKey { return dayKey{w.accounts[r.AppID], r.API, r.Date} }

// other is the same day of the other API.
func (k dayKey) other() dayKey { return dayKey{k.account, datacube.APIs - 1 - k.api, k.date} }

// apply applies a record to its day, unless it is outdated.
func (w *writer) apply(i int, r *store.Record) {
	key := w.key(r)
	day := w.days[key]
	var other store.State
	if r.NeedsOther() {
		other = w.days[key.other()].state
	}
	if r.IsOutdated(day.state, other) {
		w.outdated = append(w.outdated, store.OutdatedRecord{Index: i, Stored: day.state, Other: other})
		return
	}
	before, revised := day.state.Status, false
	if before == store.Known {
		if revision := r.Revise(&day.hours); revision != nil {
			w.revisions = append(w.revisions, *revision)
			revised = true
		}
	}
	switch {
	case r.Daily != nil:
		day.replaceBy(&datacube.Hours{*r.Daily})
	case r.Hourly != nil:
		day.replaceBy(r.Hourly)
	}
	if !day.written {
		day.written = true
		w.order = append(w.order, key)
	}
	day.state = r.State
	if r.MarksDay(before, revised) {
		day.changed = w.mark
	}
}

// write writes the days and what the accounts know of them.
func (w *writer) write() error {
	var batch pgx.Batch
	w.queueStates(&batch)
	w.queueDaily(&batch)
	w.queueHourly(&batch)
	w.queueAccounts(&batch)
	return w.tx.SendBatch(w.ctx, &batch).Close()
}

func (w *writer) queueStates(batch *pgx.Batch) {
	n := len(w.order)
	accounts, dates, asks := make([]int32, n), make([]int32, n), make([]int32, n)
	apis, status, damaged, rechecks := make([]int16, n), make([]int16, n), make([]int16, n), make([]int16, n)
	empty, rechecked := make([]bool, n), make([]bool, n)
	checksums, askedAt, knownAt, changed := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, key := range w.order {
		day := w.days[key]
		st := &day.state
		accounts[i], apis[i], dates[i], status[i] = key.account, int16(key.api), int32(key.date), int16(st.Status)
		empty[i], rechecked[i], asks[i] = st.Empty, st.Rechecked, int32(st.Asks)
		damaged[i], rechecks[i] = int16(min(st.Damaged, store.MaxDoubts)), int16(min(st.Rechecks, store.MaxDoubts))
		checksums[i], askedAt[i], knownAt[i], changed[i] = int64(st.Checksum), toUnix(st.AskedAt), toUnix(st.KnownAt), day.changed
		count := w.counts[key.account]
		if count == nil {
			count = new([datacube.APIs]int64)
			w.counts[key.account] = count
		}
		count[key.api] += known(day.state.Status) - known(day.before)
	}
	batch.Queue(`
		INSERT INTO weixin_exporter.day (account, api, date, status, empty, rechecked, asks, damaged, rechecks, checksum, asked_at, known_at, changed)
		SELECT * FROM unnest($1::integer[], $2::smallint[], $3::integer[], $4::smallint[], $5::boolean[], $6::boolean[], $7::integer[],
			$8::smallint[], $9::smallint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
		ON CONFLICT (account, api, date) DO UPDATE SET status = excluded.status, empty = excluded.empty, rechecked = excluded.rechecked,
			asks = excluded.asks, damaged = excluded.damaged, rechecks = excluded.rechecks, checksum = excluded.checksum,
			asked_at = excluded.asked_at, known_at = excluded.known_at, changed = greatest(day.changed, excluded.changed)`,
		accounts, apis, dates, status, empty, rechecked, asks, damaged, rechecks, checksums, askedAt, knownAt, changed)
}

func known(s store.Status) int64 {
	if s == store.Known {
		return 1
	}
	return 0
}

// columns are the parameters of statements that write figures.
type columns struct {
	accounts, dates                            []int32
	callbacks, failures, timeCost, maxTimeCost []int64
}

func (c *columns) add(f *datacube.Figures) {
	c.callbacks, c.failures = append(c.callbacks, f.Callbacks), append(c.failures, f.Failures)
	c.timeCost, c.maxTimeCost = append(c.timeCost, f.TimeCostMillis), append(c.maxTimeCost, f.MaxTimeCostMillis)
}

// figures returns the figures of one API that must be written, and the days that must not have any.
func (w *writer) figures(api datacube.API) (columns, columns) {
	var full, empty columns
	for _, key := range w.order {
		day := w.days[key]
		switch {
		case key.api != api || !day.replace:
		case day.hours == datacube.Hours{}:
			empty.accounts, empty.dates = append(empty.accounts, key.account), append(empty.dates, int32(key.date))
		default:
			full.accounts, full.dates = append(full.accounts, key.account), append(full.dates, int32(key.date))
			hours := day.hours[:1]
			if api == datacube.Hourly {
				hours = day.hours[:]
			}
			for h := range hours {
				full.add(&hours[h])
			}
		}
	}
	return full, empty
}

func (w *writer) queueDaily(batch *pgx.Batch) {
	full, empty := w.figures(datacube.Daily)
	if len(empty.accounts) > 0 {
		batch.Queue(`DELETE FROM weixin_exporter.daily USING unnest($1::integer[], $2::integer[]) AS gone (account, date)
			WHERE daily.account = gone.account AND daily.date = gone.date`, empty.accounts, empty.dates)
	}
	if len(full.accounts) > 0 {
		batch.Queue(`
			INSERT INTO weixin_exporter.daily (account, date, callbacks, failures, time_cost, max_time_cost)
			SELECT * FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
			ON CONFLICT (account, date) DO UPDATE SET callbacks = excluded.callbacks, failures = excluded.failures,
				time_cost = excluded.time_cost, max_time_cost = excluded.max_time_cost`,
			full.accounts, full.dates, full.callbacks, full.failures, full.timeCost, full.maxTimeCost)
	}
}

// queueHourly passes the hours of all days in one array for each figure: unnest would not keep arrays of arrays apart.
func (w *writer) queueHourly(batch *pgx.Batch) {
	full, empty := w.figures(datacube.Hourly)
	if len(empty.accounts) > 0 {
		batch.Queue(`DELETE FROM weixin_exporter.hourly USING unnest($1::integer[], $2::integer[]) AS gone (account, date)
			WHERE hourly.account = gone.account AND hourly.date = gone.date`, empty.accounts, empty.dates)
	}
	if len(full.accounts) > 0 {
		batch.Queue(`
			INSERT INTO weixin_exporter.hourly (account, date, callbacks, failures, time_cost, max_time_cost)
			SELECT account, date, ($3::bigint[])[24 * n - 23 : 24 * n], ($4::bigint[])[24 * n - 23 : 24 * n],
				($5::bigint[])[24 * n - 23 : 24 * n], ($6::bigint[])[24 * n - 23 : 24 * n]
			FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY AS given (account, date, n)
			ON CONFLICT (account, date) DO UPDATE SET callbacks = excluded.callbacks, failures = excluded.failures,
				time_cost = excluded.time_cost, max_time_cost = excluded.max_time_cost`,
			full.accounts, full.dates, full.callbacks, full.failures, full.timeCost, full.maxTimeCost)
	}
}

// queueAccounts records for each account that there was a response for it, and how many days it has.
func (w *writer) queueAccounts(batch *pgx.Batch) {
	var numbers []int32
	var daily, hourly []int64
	for number, count := range w.counts {
		numbers, daily, hourly = append(numbers, number), append(daily, count[datacube.Daily]), append(hourly, count[datacube.Hourly])
	}
	batch.Queue(`UPDATE weixin_exporter.account SET changed = $1, daily_days = daily_days + more.daily, hourly_days = hourly_days + more.hourly
		FROM unnest($2::integer[], $3::bigint[], $4::bigint[]) AS more (account, daily, hourly) WHERE id = more.account`,
		w.mark, numbers, daily, hourly)
}

// Prune implements store.Store.
func (s *Store) Prune(ctx context.Context, before datacube.Date) (int64, error) {
	var days int64
	err := s.updating(ctx, longTimeout, func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(`DELETE FROM weixin_exporter.daily WHERE date < $1`, int32(before))
		batch.Queue(`DELETE FROM weixin_exporter.hourly WHERE date < $1`, int32(before))
		batch.Queue(`
			WITH gone AS (DELETE FROM weixin_exporter.day WHERE date < $1 RETURNING account, api, status),
			fewer AS (
				SELECT account, count(*) FILTER (WHERE api = 0) AS daily, count(*) FILTER (WHERE api = 1) AS hourly
				FROM gone WHERE status = 2 GROUP BY account),
			counted AS (
				UPDATE weixin_exporter.account SET daily_days = daily_days - fewer.daily, hourly_days = hourly_days - fewer.hourly
				FROM fewer WHERE id = fewer.account)
			SELECT count(*) FROM gone`, int32(before)).QueryRow(func(row pgx.Row) error { return row.Scan(&days) })
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return 0, s.failed(ctx, "delete the days before "+before.String(), err)
	}
	return days, nil
}

// toUnix returns a time as it is stored: Unix seconds, or 0 for the zero time.
func toUnix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
