package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// ReadImage implements store.Imager.
func (s *Store) ReadImage(ctx context.Context, read func(store.Image) error) error {
	var readErr error
	done := false
	err := pgx.BeginTxFunc(ctx, s.pool, begin(readOneInstant, readerTimeout), func(tx pgx.Tx) error {
		// The first query fixes the instant.
		if _, err := tx.Exec(ctx, `SELECT latest FROM weixin_exporter.mark`); err != nil {
			return err
		}
		done, readErr = true, read(&image{store: s, tx: tx})
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

// image implements store.Image within one transaction.
type image struct {
	store *Store
	tx    pgx.Tx
}

// run runs an access with the time that it may take.
func (m *image) run(ctx context.Context, doing string, access func(context.Context) error) error {
	if err := m.store.boundedBy(ctx, longTimeout, access); err != nil {
		return m.store.failed(ctx, doing, err)
	}
	return nil
}

// Head implements store.Image.
func (m *image) Head(ctx context.Context) (store.ImageHead, error) {
	var head store.ImageHead
	err := m.run(ctx, "read the latest mark and time", func(ctx context.Context) error {
		var seen int64
		err := m.tx.QueryRow(ctx, `SELECT latest, seen FROM weixin_exporter.mark, weixin_exporter.clock`).Scan(&head.Mark, &seen)
		head.Recorded = store.FromUnix(seen)
		return err
	})
	return head, err
}

// RefreshTokens implements store.Image.
func (m *image) RefreshTokens(ctx context.Context) (int64, error) {
	var tokens int64
	err := m.run(ctx, "count the refresh tokens", func(ctx context.Context) error {
		return m.tx.QueryRow(ctx, `SELECT count(*) FROM weixin_exporter.token WHERE kind = 'refresh' AND sealed IS NOT NULL`).Scan(&tokens)
	})
	return tokens, err
}

// Sizes implements store.Image.
func (m *image) Sizes(ctx context.Context) ([]store.AccountSize, error) {
	var sizes []store.AccountSize
	err := m.run(ctx, "list the accounts", func(ctx context.Context) error {
		rows, err := m.tx.Query(ctx, `SELECT app_id, daily_days + hourly_days FROM weixin_exporter.account ORDER BY app_id COLLATE "C"`)
		if err != nil {
			return err
		}
		var size store.AccountSize
		return eachRow(rows, []any{&size.AppID, &size.Days}, func() error {
			sizes = append(sizes, size)
			return nil
		})
	})
	return sizes, err
}

// Accounts implements store.Image.
func (m *image) Accounts(ctx context.Context, appIDs []string) ([]store.AccountImage, error) {
	r := imageReader{}
	doing := "read everything of accounts"
	if len(appIDs) > 0 {
		doing = fmt.Sprintf("read everything of the accounts from %s to %s", appIDs[0], appIDs[len(appIDs)-1])
	}
	err := m.run(ctx, doing, func(ctx context.Context) error {
		if err := r.readAccounts(ctx, m.tx, appIDs); err != nil {
			return err
		}
		var batch pgx.Batch
		r.queueStates(&batch)
		r.queueDaily(&batch)
		r.queueHourly(&batch)
		r.queueHolds(&batch)
		r.queueDeliveries(&batch)
		r.queueResends(&batch)
		return m.tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return r.accounts, nil
}

// imageReader reads everything of some accounts, with one query for each kind of data.
type imageReader struct {
	accounts []store.AccountImage
	byNumber map[int32]*store.AccountImage
	numbers  []int32
}

func (r *imageReader) readAccounts(ctx context.Context, tx pgx.Tx, appIDs []string) error {
	r.accounts = make([]store.AccountImage, 0, len(appIDs)) // byNumber has pointers to its elements
	r.byNumber, r.numbers = make(map[int32]*store.AccountImage, len(appIDs)), []int32{}
	rows, err := tx.Query(ctx, `SELECT id, account.app_id, changed, daily_days, hourly_days
		FROM unnest($1::text[]) WITH ORDINALITY AS given (app_id, n)
		JOIN weixin_exporter.account ON account.app_id = given.app_id ORDER BY n`, nonNil(appIDs))
	if err != nil {
		return err
	}
	var number int32
	var a store.AccountImage
	return eachRow(rows, []any{&number, &a.AppID, &a.Changed, &a.Counted[datacube.Daily], &a.Counted[datacube.Hourly]}, func() error {
		r.accounts, r.numbers = append(r.accounts, a), append(r.numbers, number)
		r.byNumber[number] = &r.accounts[len(r.accounts)-1]
		return nil
	})
}

// queue adds a query whose only parameter are the numbers of the accounts.
func (r *imageReader) queue(batch *pgx.Batch, query string, targets []any, take func() error) {
	batch.Queue(query, r.numbers).Query(func(rows pgx.Rows) error { return eachRow(rows, targets, take) })
}

func (r *imageReader) queueStates(batch *pgx.Batch) {
	var account, date, asks int32
	var api, status, damaged, rechecks int16
	var empty, rechecked bool
	var checksum, askedAt, knownAt, changed int64
	r.queue(batch, `SELECT account, api, date, status, empty, rechecked, asks, damaged, rechecks, checksum, asked_at, known_at, changed
		FROM weixin_exporter.day WHERE account = ANY ($1) ORDER BY account, api, date`,
		[]any{&account, &api, &date, &status, &empty, &rechecked, &asks, &damaged, &rechecks, &checksum, &askedAt, &knownAt, &changed},
		func() error {
			days := &r.byNumber[account].Days[api]
			*days = append(*days, store.DayImage{
				Date: datacube.Date(date), Changed: store.Mark(changed),
				State: store.State{
					Status: store.Status(status), Empty: empty, Rechecked: rechecked, Asks: int(asks), Damaged: int(damaged), Rechecks: int(rechecks),
					Checksum: uint32(checksum), AskedAt: store.FromUnix(askedAt), KnownAt: store.FromUnix(knownAt),
				},
			})
			return nil
		})
}

// day returns the day with these figures; nil if it has no state, so that no one can see the figures.
func (r *imageReader) day(account int32, api datacube.API, date int32) *store.DayImage {
	days := r.byNumber[account].Days[api]
	i, found := slices.BinarySearchFunc(days, datacube.Date(date), func(d store.DayImage, date datacube.Date) int { return int(d.Date) - int(date) })
	if !found {
		return nil
	}
	return &days[i]
}

func (r *imageReader) queueDaily(batch *pgx.Batch) {
	var account, date int32
	var f datacube.Figures
	r.queue(batch, `SELECT account, date, `+dailyColumns+` FROM weixin_exporter.daily WHERE account = ANY ($1)`,
		append([]any{&account, &date}, dailyTargets(&f)...), func() error {
			if day := r.day(account, datacube.Daily, date); day != nil {
				day.SetFigures([]datacube.Figures{f})
			}
			return nil
		})
}

func (r *imageReader) queueHourly(batch *pgx.Batch) {
	var account, date int32
	var row hoursRow
	var hours datacube.Hours
	r.queue(batch, `SELECT account, date, `+hourlyColumns+` FROM weixin_exporter.hourly WHERE account = ANY ($1)`,
		append([]any{&account, &date}, row.targets()...), func() error {
			if err := row.read(&hours); err != nil {
				return fmt.Errorf("%v of %s, hourly: %w", datacube.Date(date), r.byNumber[account].AppID, err)
			}
			if day := r.day(account, datacube.Hourly, date); day != nil {
				day.SetFigures(hours[:])
			}
			return nil
		})
}

func (r *imageReader) queueHolds(batch *pgx.Batch) {
	var account, date, attempts int32
	var api int16
	var since, until int64
	var fingerprint []byte
	var detail string
	r.queue(batch, `SELECT account, api, since, until, date, attempts, fingerprint, detail
		FROM weixin_exporter.hold WHERE account = ANY ($1) ORDER BY account, api`,
		[]any{&account, &api, &since, &until, &date, &attempts, &fingerprint, &detail}, func() error {
			a := r.byNumber[account]
			a.Holds = append(a.Holds, store.Hold{
				AppID: a.AppID, API: datacube.API(api), Since: store.FromUnix(since), Until: store.FromUnix(until),
				Date: datacube.Date(date), Attempts: int(attempts), Fingerprint: slices.Clone(fingerprint), Detail: detail,
			})
			return nil
		})
}

func (r *imageReader) queueDeliveries(batch *pgx.Batch) {
	var account, date int32
	var endpoint string
	var mark, sentAt int64
	r.queue(batch, `SELECT account, endpoint, mark, date, sent_at
		FROM weixin_exporter.delivery WHERE account = ANY ($1) ORDER BY account, endpoint COLLATE "C"`,
		[]any{&account, &endpoint, &mark, &date, &sentAt}, func() error {
			a := r.byNumber[account]
			a.Deliveries = append(a.Deliveries, store.DeliveryImage{
				Endpoint: endpoint, Position: store.Position{Mark: store.Mark(mark), Date: datacube.Date(date)}, SentAt: store.FromUnix(sentAt),
			})
			return nil
		})
}

func (r *imageReader) queueResends(batch *pgx.Batch) {
	var account, date int32
	var endpoint string
	var mark int64
	r.queue(batch, `SELECT account, endpoint, date, mark
		FROM weixin_exporter.resend WHERE account = ANY ($1) ORDER BY account, endpoint COLLATE "C", date`,
		[]any{&account, &endpoint, &date, &mark}, func() error {
			a := r.byNumber[account]
			a.Resends = append(a.Resends, store.ResendImage{Endpoint: endpoint, Date: datacube.Date(date), Mark: store.Mark(mark)})
			return nil
		})
}
