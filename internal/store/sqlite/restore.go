package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	replacing "weixin_exporter/internal/files"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Restore creates the file at path with what fill puts. The file appears, complete and on the disk, once fill has returned
// without an error; it must not exist before. An error of fill is returned unchanged. Meanwhile no exporter can
// use the path. What a process that was killed has left beside the path is removed by the next one.
func Restore(ctx context.Context, path string, now time.Time, fill func(store.Restorer) error) error {
	s := newStore(path, Options{}) // for errors
	if err := vacant(path); err != nil {
		return s.failed(ctx, "create", err)
	}
	lock, err := TakeLock(path, now)
	if err != nil {
		return err
	}
	var fillErr error
	err = replacing.Replacement{CleanUp: true, Create: true}.Replace(path, func(file *os.File) error {
		return restore(ctx, file.Name(), func(tx *transaction) error {
			r, err := newRestorer(ctx, tx, s.failed)
			if err == nil {
				fillErr = fill(r)
				err = fillErr
			}
			return err
		})
	})
	released := lock.Release()
	switch {
	case fillErr != nil:
		return fillErr
	case errors.Is(err, fs.ErrExist):
		return s.failed(ctx, "create", errExists)
	case err != nil:
		return s.failed(ctx, "create", err)
	case released != nil:
		return s.failed(ctx, "release the lock", released)
	}
	return nil
}

var errExists = errors.New("the file exists, and a store is never overwritten; name another file or move this one away, with its -wal and -shm files")

// vacant fails if a file at the path cannot be created, or would not be the only one.
func vacant(path string) error {
	if path == "" {
		return errors.New("a store in memory exists only in the process that fills it")
	}
	found, err := statFile(path)
	if err != nil {
		return err
	}
	if !found.fresh {
		return errExists
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(resolved(path) + suffix); err == nil {
			return fmt.Errorf("there is a file %q, which SQLite would apply to the new one; it belongs to a store that is not there any more: move it away", resolved(path)+suffix)
		}
	}
	return nil
}

// Settings for a file that is of no use before it is complete: nothing is written twice or waits for the disk.
const (
	filling = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536"
	filled  = "PRAGMA journal_mode = WAL"
)

// restore runs work in a transaction of a new store in an empty file.
func restore(ctx context.Context, path string, work func(*transaction) error) error {
	s := newStore(path, Options{})
	err := s.open(ctx)
	if err == nil {
		err = s.using(func(h *handle) error {
			if _, err := h.write.ExecContext(ctx, filling); err != nil {
				return err
			}
			if err := inTx(ctx, h.write, nil, work); err != nil {
				return err
			}
			_, err := h.write.ExecContext(ctx, filled)
			return err
		})
	}
	err = errors.Join(err, s.close()) //nolint:contextcheck // it has its own time
	if err != nil {
		for _, suffix := range []string{"-wal", "-shm", "-journal"} {
			_ = os.Remove(path + suffix) // the file itself is removed by the caller
		}
	}
	return err
}

// restorer implements store.Restorer within a transaction.
type restorer struct {
	image

	accounts                                    int64 // put so far
	account, day, daily, hold, delivery, resend *sql.Stmt
	hours                                       [len(chunks)]*sql.Stmt
	ctx                                         context.Context //nolint:containedctx // of the present call
}

func newRestorer(ctx context.Context, tx *transaction, failed func(context.Context, string, error) error) (*restorer, error) {
	r := &restorer{image: image{tx: tx, failed: failed}}
	type entry struct {
		statement **sql.Stmt
		query     string
	}
	list := []entry{
		{&r.account, `INSERT INTO account (id, app_id, changed) VALUES (?, ?, ?)`},
		{&r.day, `INSERT INTO day (account, api, date, status, empty, asks, asked_at, known_at, rechecked, damaged, rechecks, checksum, changed, digest)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&r.daily, `INSERT INTO daily (account, date, callbacks, failures, time_cost, max_time_cost) VALUES (?, ?, ?, ?, ?, ?)`},
		{&r.hold, `INSERT INTO hold (account, api, since, until, date, attempts, fingerprint, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`},
		{&r.delivery, `INSERT INTO delivery (account, endpoint, mark, date, sent_at) VALUES (?, ?, ?, ?, ?)`},
		{&r.resend, `INSERT INTO resend (account, endpoint, date, mark) VALUES (?, ?, ?, ?)`},
	}
	for i, hours := range chunks {
		list = append(list, entry{&r.hours[i], insertHours(hours)})
	}
	for _, e := range list {
		var err error
		if *e.statement, err = tx.PrepareContext(ctx, e.query); err != nil { //nolint:sqlclosecheck // the end of the transaction closes it
			return nil, fmt.Errorf("prepare %q: %w", e.query, err)
		}
	}
	return r, nil
}

// PutHead implements store.Restorer.
func (r *restorer) PutHead(ctx context.Context, head store.ImageHead) error {
	_, err := r.tx.ExecContext(ctx, `UPDATE mark SET latest = ?`, int64(head.Mark))
	if err == nil {
		_, err = r.tx.ExecContext(ctx, `UPDATE clock SET seen = ?`, unixOrZero(head.Recorded))
	}
	if err != nil {
		return r.failed(ctx, "write the latest mark and time", err)
	}
	return nil
}

// PutAccounts implements store.Restorer. Triggers count the days.
func (r *restorer) PutAccounts(ctx context.Context, accounts []store.AccountImage) error {
	r.ctx = ctx
	for i := range accounts {
		if err := r.put(&accounts[i]); err != nil {
			return r.failed(ctx, "write account "+accounts[i].AppID, err)
		}
	}
	return nil
}

func (r *restorer) exec(statement *sql.Stmt, args ...any) error {
	_, err := statement.ExecContext(r.ctx, args...)
	return err
}

func (r *restorer) put(a *store.AccountImage) error {
	r.accounts++
	number := r.accounts
	if err := r.exec(r.account, number, a.AppID, int64(a.Changed)); err != nil {
		return err
	}
	for api := range datacube.APIs {
		for i := range a.Days[api] {
			if err := r.putDay(number, api, &a.Days[api][i]); err != nil {
				return fmt.Errorf("%v, %v: %w", api, a.Days[api][i].Date, err)
			}
		}
	}
	for i := range a.Holds {
		h := &a.Holds[i]
		if err := r.exec(r.hold, number, int64(h.API), unixOrZero(h.Since), unixOrZero(h.Until), int64(h.Date), int64(h.Attempts),
			append([]byte{}, h.Fingerprint...), h.Detail); err != nil {
			return err
		}
	}
	for i := range a.Deliveries {
		d := &a.Deliveries[i]
		if err := r.exec(r.delivery, number, d.Endpoint, int64(d.Position.Mark), int64(d.Position.Date), toUnix(d.SentAt)); err != nil {
			return err
		}
	}
	for i := range a.Resends {
		d := &a.Resends[i]
		if err := r.exec(r.resend, number, d.Endpoint, int64(d.Date), int64(d.Mark)); err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) putDay(number int64, api datacube.API, d *store.DayImage) error {
	st := &d.State
	err := r.exec(r.day, number, int64(api), int64(d.Date), int64(st.Status), st.Empty, int64(st.Asks), toUnix(st.AskedAt), toUnix(st.KnownAt),
		st.Rechecked, int64(st.Damaged), int64(st.Rechecks), int64(st.Checksum), int64(d.Changed),
		digestOfImage(number, api, d))
	if err != nil || d.Figures == nil {
		return err
	}
	if api == datacube.Daily {
		f := &d.Figures[0]
		return r.exec(r.daily, number, int64(d.Date), f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis)
	}
	return insertHoursOf(d.Figures, func(chunk int, figures []any) error {
		return r.exec(r.hours[chunk], append([]any{number, int64(d.Date)}, figures...)...)
	})
}

// unixOrZero returns a time as it is stored where there is no NULL: Unix seconds, or 0 for the zero time.
func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
