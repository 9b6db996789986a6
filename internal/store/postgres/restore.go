package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// restoreStalled is how long the server waits for the next statement of a transaction that fills a database: reading the
// original takes place in between.
const restoreStalled = 10 * time.Minute

// Each of the statements that end the transaction has this time. Stopping the program does not end them sooner, so that it is known
// what is stored.
const (
	commitTime   = time.Minute
	rollbackTime = 4 * time.Second
)

// Restore creates the tables if necessary and fills them with what fill puts. All of it is stored, in one transaction,
// once fill has returned without an error, and otherwise nothing. Nothing must have been stored before. An error
// of fill is returned unchanged.
func Restore(ctx context.Context, url secret.URL, fill func(store.Restorer) error) error {
	s, err := Open(ctx, url, Options{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // Close has its own time; what was committed is stored
	tx, err := s.pool.BeginTx(ctx, begin(write, restoreStalled))
	if err != nil {
		return s.failed(ctx, "fill", err)
	}
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
		defer cancel()
		_ = tx.Rollback(ended) // unless it was committed; the server does it as well
	}()
	r := restorer{image: image{store: s, tx: tx}}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := fill(&r); err != nil {
		return err
	}
	return r.end(ctx)
}

// restorer implements store.Restorer within a transaction.
type restorer struct {
	image

	accounts int32 // put so far
}

// begin excludes writers and ensures that there is nothing.
func (r *restorer) begin(ctx context.Context) error {
	return r.run(ctx, "fill", func(ctx context.Context) error {
		mark, err := r.store.exclude(ctx, r.tx, lockMark)
		if err != nil {
			return err
		}
		var accounts int64
		if err := r.tx.QueryRow(ctx, `SELECT count(*) FROM weixin_exporter.account`).Scan(&accounts); err != nil {
			return err
		}
		if accounts > 0 || mark > 0 {
			return fmt.Errorf("there is a store with %d accounts in this database, and a store is never overwritten;"+
				" use another database, or, if that store is of no use, remove it with DROP SCHEMA %s CASCADE", accounts, schema)
		}
		return nil
	})
}

// end commits.
func (r *restorer) end(ctx context.Context) error {
	err := r.run(ctx, "finish", func(ctx context.Context) error {
		if r.accounts > 0 {
			// COPY with numbers does not advance the sequence.
			if _, err := r.tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence('weixin_exporter.account', 'id'), $1)`, int64(r.accounts)); err != nil {
				return err
			}
		}
		// Without it the first queries of an exporter would be planned as if the tables were empty.
		_, err := r.tx.Exec(ctx, `ANALYZE weixin_exporter.account, weixin_exporter.day, weixin_exporter.daily, weixin_exporter.hourly,
			weixin_exporter.delivery, weixin_exporter.resend`)
		return err
	})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return r.store.failed(ctx, "finish", err)
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.store.boundedBy(ctx, commitTime, r.tx.Commit); err != nil {
		err = r.store.failed(ctx, "finish", err)
		if store.KindOf(err) != store.Unreachable {
			return err
		}
		return fmt.Errorf("whether all of it or nothing is stored is not known, because the answer was lost: copy again,"+
			" and if that is refused since there is a store, it is complete: %w", err)
	}
	return nil
}

// PutHead implements store.Restorer.
func (r *restorer) PutHead(ctx context.Context, head store.ImageHead) error {
	return r.run(ctx, "write the latest mark and time", func(ctx context.Context) error {
		var batch pgx.Batch
		batch.Queue(`UPDATE weixin_exporter.mark SET latest = $1`, int64(head.Mark))
		batch.Queue(`UPDATE weixin_exporter.clock SET seen = $1`, toUnix(head.Recorded))
		return r.tx.SendBatch(ctx, &batch).Close()
	})
}

// PutAccounts implements store.Restorer.
func (r *restorer) PutAccounts(ctx context.Context, accounts []store.AccountImage) error {
	if len(accounts) == 0 {
		return nil
	}
	var rows restoredRows
	for i := range accounts {
		r.accounts++
		rows.add(r.accounts, &accounts[i])
	}
	doing := fmt.Sprintf("write the accounts from %s to %s", accounts[0].AppID, accounts[len(accounts)-1].AppID)
	return r.run(ctx, doing, func(ctx context.Context) error {
		for _, table := range []struct {
			name    string
			columns []string
			rows    [][]any
		}{
			{"account", []string{"id", "app_id", "changed", "daily_days", "hourly_days"}, rows.accounts},
			{"day", []string{
				"account", "api", "date", "status", "empty", "rechecked", "asks", "damaged", "rechecks", "checksum", "asked_at", "known_at", "changed",
			}, rows.days},
			{"daily", []string{"account", "date", "callbacks", "failures", "time_cost", "max_time_cost"}, rows.daily},
			{"hourly", []string{"account", "date", "callbacks", "failures", "time_cost", "max_time_cost"}, rows.hourly},
			{"hold", []string{"account", "api", "since", "until", "date", "attempts", "fingerprint", "detail"}, rows.holds},
			{"delivery", []string{"account", "endpoint", "mark", "date", "sent_at"}, rows.deliveries},
			{"resend", []string{"account", "endpoint", "date", "mark"}, rows.resends},
		} {
			if len(table.rows) == 0 {
				continue
			}
			n, err := r.tx.CopyFrom(ctx, pgx.Identifier{schema, table.name}, table.columns, pgx.CopyFromRows(table.rows))
			if err == nil && n != int64(len(table.rows)) {
				err = errors.New("fewer rows were stored than sent")
			}
			if err != nil {
				return fmt.Errorf("table %s: %w", table.name, err)
			}
		}
		return nil
	})
}

// restoredRows are the rows of some accounts, by table.
type restoredRows struct {
	accounts, days, daily, hourly, holds, deliveries, resends [][]any
}

func (t *restoredRows) add(number int32, a *store.AccountImage) {
	t.accounts = append(t.accounts, []any{number, a.AppID, int64(a.Changed), a.KnownDays(datacube.Daily), a.KnownDays(datacube.Hourly)})
	for api := range datacube.APIs {
		for i := range a.Days[api] {
			t.addDay(number, api, &a.Days[api][i])
		}
	}
	for i := range a.Holds {
		h := &a.Holds[i]
		t.holds = append(t.holds, []any{
			number, int16(h.API), toUnix(h.Since), toUnix(h.Until), int32(h.Date), int64(h.Attempts), append([]byte{}, h.Fingerprint...), h.Detail,
		})
	}
	for i := range a.Deliveries {
		d := &a.Deliveries[i]
		t.deliveries = append(t.deliveries, []any{number, d.Endpoint, int64(d.Position.Mark), int32(d.Position.Date), toUnix(d.SentAt)})
	}
	for i := range a.Resends {
		d := &a.Resends[i]
		t.resends = append(t.resends, []any{number, d.Endpoint, int32(d.Date), int64(d.Mark)})
	}
}

func (t *restoredRows) addDay(number int32, api datacube.API, d *store.DayImage) {
	st, date := &d.State, int32(d.Date)
	t.days = append(t.days, []any{
		number, int16(api), date, int16(st.Status), st.Empty, st.Rechecked, int64(st.Asks), int64(st.Damaged), int64(st.Rechecks),
		int64(st.Checksum), toUnix(st.AskedAt), toUnix(st.KnownAt), int64(d.Changed),
	})
	if d.Figures == nil {
		return
	}
	var c columns
	for i := range d.Figures {
		c.add(&d.Figures[i])
	}
	if api == datacube.Daily {
		t.daily = append(t.daily, []any{number, date, c.callbacks[0], c.failures[0], c.timeCost[0], c.maxTimeCost[0]})
		return
	}
	t.hourly = append(t.hourly, []any{number, date, c.callbacks, c.failures, c.timeCost, c.maxTimeCost})
}

// User describes an exporter that uses the database; "" if none does.
func User(ctx context.Context, url secret.URL) (string, error) {
	s, err := OpenReadOnly(ctx, url, Options{})
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // Close has its own time; it only read
	var name string
	err = s.bounded(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT coalesce(min(name), '') FROM weixin_exporter.member WHERE until > clock_timestamp()`).Scan(&name)
	})
	if err != nil {
		return "", s.failed(ctx, "look for exporters that use it", err)
	}
	return name, nil
}
