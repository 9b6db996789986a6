package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/pressly/goose/v3"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// ReadImage implements store.Imager. Writers are not blocked, but SQLite cannot reset its WAL file until read returns.
func (s *Store) ReadImage(ctx context.Context, read func(store.Image) error) error {
	if err := s.using(func(h *handle) error { return checkCurrent(ctx, h.read) }); err != nil {
		return s.failed(ctx, "read everything", err)
	}
	var readErr error
	done := false
	err := s.reading(ctx, func(tx *transaction) error {
		done, readErr = true, read(&image{tx: tx, failed: s.failed})
		return readErr
	})
	if done {
		return readErr // how a transaction ends that only read does not matter
	}
	if err != nil {
		return s.failed(ctx, "read everything", err)
	}
	return nil
}

// checkCurrent fails for a file that an earlier version wrote, which lacks what later ones added.
func checkCurrent(ctx context.Context, db *sql.DB) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrationFiles(),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current < known {
		return fmt.Errorf("an earlier weixin_exporter wrote this file (schema %d of %d); start this version with it once, which migrates it", current, known)
	}
	return nil
}

// image implements store.Image within a transaction. All figures and states go through it.
type image struct {
	tx     *transaction
	failed func(ctx context.Context, doing string, err error) error
}

// Head implements store.Image.
func (m *image) Head(ctx context.Context) (store.ImageHead, error) {
	var head store.ImageHead
	var seen int64
	if err := m.tx.QueryRowContext(ctx, `SELECT latest, seen FROM mark, clock`).Scan(&head.Mark, &seen); err != nil {
		return store.ImageHead{}, m.failed(ctx, "read the latest mark and time", err)
	}
	head.Recorded = store.FromUnix(seen)
	return head, nil
}

// RefreshTokens implements store.Image. A file has none.
func (*image) RefreshTokens(context.Context) (int64, error) { return 0, nil }

// Sizes implements store.Image.
func (m *image) Sizes(ctx context.Context) ([]store.AccountSize, error) {
	var sizes []store.AccountSize
	err := m.rows(ctx, `SELECT app_id, daily_days + hourly_days FROM account ORDER BY app_id`, func(rows *sql.Rows) error {
		var size store.AccountSize
		err := rows.Scan(&size.AppID, &size.Days)
		sizes = append(sizes, size)
		return err
	})
	if err != nil {
		return nil, m.failed(ctx, "list the accounts", err)
	}
	return sizes, nil
}

// Accounts implements store.Image.
func (m *image) Accounts(ctx context.Context, appIDs []string) ([]store.AccountImage, error) {
	list, err := json.Marshal(appIDs)
	if err != nil {
		return nil, m.failed(ctx, "list the accounts", err)
	}
	r := imageReader{ctx: ctx, image: m, byNumber: make(map[int64]*store.AccountImage, len(appIDs)), digests: make(map[int64]*[datacube.APIs][]int64, len(appIDs))}
	for _, part := range []func() error{
		func() error { return r.readAccounts(string(list), len(appIDs)) }, r.readStates, r.readFigures, r.readHolds, r.readDeliveries, r.readResends,
	} {
		if err := part(); err != nil {
			return nil, m.failed(ctx, r.doing, err)
		}
	}
	return r.accounts, nil
}

// rows runs a query and scan for each row of its result.
func (m *image) rows(ctx context.Context, query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := m.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, func() error { return scan(rows) })
}

// imageReader reads everything of some accounts, with one query for each kind of data.
type imageReader struct {
	ctx      context.Context //nolint:containedctx // of the call of Accounts
	image    *image
	accounts []store.AccountImage
	byNumber map[int64]*store.AccountImage
	order    []int64                           // the numbers of accounts
	digests  map[int64]*[datacube.APIs][]int64 // of the days, by the number of the account
	numbers  string                            // the same as a JSON array
	doing    string                            // what is being read, for errors
}

// own is a condition on the number of an account, whose parameter is the list of numbers.
const own = `account IN (SELECT value FROM json_each(?))`

func (r *imageReader) readAccounts(list string, n int) error {
	r.doing = "read the accounts"
	r.accounts = make([]store.AccountImage, 0, n) // byNumber has pointers to its elements
	err := r.image.rows(r.ctx, `SELECT account.id, app_id, changed, daily_days, hourly_days FROM json_each(?) JOIN account ON app_id = value ORDER BY key`,
		func(rows *sql.Rows) error {
			var number int64
			var a store.AccountImage
			err := rows.Scan(&number, &a.AppID, &a.Changed, &a.Counted[datacube.Daily], &a.Counted[datacube.Hourly])
			r.accounts = append(r.accounts, a)
			r.byNumber[number], r.order = &r.accounts[len(r.accounts)-1], append(r.order, number)
			r.digests[number] = new([datacube.APIs][]int64)
			return err
		}, list)
	if err != nil {
		return err
	}
	numbers, err := json.Marshal(append([]int64{}, r.order...))
	r.numbers = string(numbers)
	return err
}

func (r *imageReader) readStates() error {
	r.doing = "read the states of days"
	l := loader{ctx: r.ctx, tx: r.image.tx}
	return l.integers(14, `SELECT account, api, date, status, empty, rechecked, asks, damaged, rechecks, checksum, asked_at, known_at, changed, digest
		FROM day WHERE `+own+` AND api IN (0, 1) ORDER BY account, api, date`,
		func(row []int64) error {
			a := r.byNumber[row[0]]
			if a == nil || row[1] < 0 || row[1] >= int64(datacube.APIs) {
				return damaged(fmt.Errorf("a day of account %d and API %d, which was not asked for", row[0], row[1]))
			}
			r.digests[row[0]][row[1]] = append(r.digests[row[0]][row[1]], row[13])
			r.doing = fmt.Sprintf("read the states of days of %s by the %v call, from %v on", a.AppID, datacube.API(row[1]), datacube.Date(row[2]))
			days := &a.Days[row[1]]
			*days = append(*days, store.DayImage{
				Date: datacube.Date(row[2]), Changed: store.Mark(row[12]),
				State: store.State{
					Status: store.Status(row[3]), Empty: row[4] != 0, Rechecked: row[5] != 0,
					Asks: int(row[6]), Damaged: int(row[7]), Rechecks: int(row[8]), Checksum: uint32(row[9]),
					AskedAt: store.FromUnix(row[10]), KnownAt: store.FromUnix(row[11]),
				},
			})
			return nil
		}, r.numbers)
}

// readFigures reads the figures of all days, also of those that are not known: they may have some from before.
func (r *imageReader) readFigures() error {
	return r.image.tx.figures(func(c *figureCursors) error {
		for i, number := range r.order {
			a := &r.accounts[i]
			for api := range datacube.APIs {
				days := a.Days[api]
				if len(days) == 0 {
					continue
				}
				next, read := 0, 0
				err := c.join(r.ctx, api, number, days[0].Date, days[len(days)-1].Date, func() (knownDay, bool, error) {
					if next == len(days) {
						return knownDay{}, false, nil
					}
					next++
					day := &days[next-1]
					return knownDay{day.Date, r.digests[number][api][next-1], int64(day.State.Checksum)}, true, nil
				}, func(_ datacube.Date, figures []datacube.Figures) error {
					days[read].SetFigures(figures)
					read++
					return nil
				})
				if err != nil {
					r.doing = fmt.Sprintf("read the days of %s by the %v call, from %v on", a.AppID, api, days[min(read, len(days)-1)].Date)
					return err
				}
			}
		}
		return nil
	})
}

func (r *imageReader) readHolds() error {
	r.doing = "read when failed calls may be repeated"
	return r.image.rows(r.ctx, `SELECT account, api, since, until, date, attempts, fingerprint, detail FROM hold WHERE `+own+` ORDER BY account, api`,
		func(rows *sql.Rows) error {
			var h store.Hold
			var number, since, until int64
			err := rows.Scan(&number, &h.API, &since, &until, &h.Date, &h.Attempts, &h.Fingerprint, &h.Detail)
			if err != nil {
				return err
			}
			a := r.byNumber[number]
			h.AppID, h.Since, h.Until = a.AppID, store.FromUnix(since), store.FromUnix(until)
			a.Holds = append(a.Holds, h)
			return nil
		}, r.numbers)
}

func (r *imageReader) readDeliveries() error {
	r.doing = "read what was sent"
	return r.image.rows(r.ctx, `SELECT account, endpoint, mark, date, coalesce(sent_at, 0) FROM delivery WHERE `+own+` ORDER BY account, endpoint`,
		func(rows *sql.Rows) error {
			var d store.DeliveryImage
			var number, sent int64
			if err := rows.Scan(&number, &d.Endpoint, &d.Position.Mark, &d.Position.Date, &sent); err != nil {
				return err
			}
			d.SentAt = store.FromUnix(sent)
			a := r.byNumber[number]
			a.Deliveries = append(a.Deliveries, d)
			return nil
		}, r.numbers)
}

func (r *imageReader) readResends() error {
	r.doing = "read what must be sent again"
	return r.image.rows(r.ctx, `SELECT account, endpoint, date, mark FROM resend WHERE `+own+` ORDER BY account, endpoint, date`,
		func(rows *sql.Rows) error {
			var d store.ResendImage
			var number int64
			if err := rows.Scan(&number, &d.Endpoint, &d.Date, &d.Mark); err != nil {
				return err
			}
			a := r.byNumber[number]
			a.Resends = append(a.Resends, d)
			return nil
		}, r.numbers)
}
