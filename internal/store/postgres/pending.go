package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Undelivered implements store.Store.
func (s *Store) Undelivered(ctx context.Context, endpoint string) ([]string, error) {
	var appIDs []string
	err := s.boundedBy(ctx, longTimeout, func(ctx context.Context) error {
		appIDs = nil
		rows, err := s.pool.Query(ctx, `
			SELECT app_id FROM weixin_exporter.account
			LEFT JOIN weixin_exporter.delivery ON delivery.endpoint = $1 AND delivery.account = account.id
			WHERE delivery.mark IS NULL OR account.changed > delivery.mark OR delivery.date < $2
				OR EXISTS (SELECT 1 FROM weixin_exporter.resend WHERE resend.endpoint = $1 AND resend.account = account.id)`,
			endpoint, int32(store.LastDate))
		if err != nil {
			return err
		}
		var appID string
		return eachRow(rows, []any{&appID}, func() error {
			appIDs = append(appIDs, appID)
			return nil
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "list the accounts with days to send to "+endpoint, err)
	}
	return appIDs, nil
}

// ReadPending implements store.Store.
func (s *Store) ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error) {
	var pending []store.Pending
	incarnation := s.incarnation.Load()
	err := s.reading(ctx, longTimeout, func(ctx context.Context, tx pgx.Tx) error {
		r := pendingReader{ctx: ctx, tx: tx, endpoint: endpoint, since: since, budget: store.NewBudget(limit)}
		if err := r.positions(appIDs); err != nil {
			return err
		}
		if err := r.choose(); err != nil {
			return err
		}
		if err := r.countTooOld(); err != nil {
			return err
		}
		if err := r.figures(); err != nil {
			return err
		}
		pending = nil
		for _, a := range r.chosen {
			if a.pending.More && a.pending.IsEmpty() {
				break // it did not fit
			}
			a.pending.Done.Incarnation = incarnation
			pending = append(pending, a.pending)
		}
		return nil
	})
	if err != nil {
		return nil, s.failed(ctx, "read the days to send to "+endpoint, err)
	}
	return pending, nil
}

// pendingReader reads pending days within one transaction, for many accounts at once.
type pendingReader struct {
	ctx      context.Context //nolint:containedctx // of the call of ReadPending
	tx       pgx.Tx
	endpoint string
	since    datacube.Date
	budget   *store.Budget
	accounts []*pendingAccount
	chosen   []*pendingAccount // the first accounts
}

// pendingAccount is what is known of an account.
type pendingAccount struct {
	pending store.Pending
	number  int32
	exists  bool           // in the store
	from    store.Position // of the endpoint
	all     store.Progress // of the endpoint when it has everything
	// repeated and fresh are the days to be sent, of which there may be more; chosen are those that are sent now.
	repeated, fresh, chosen []store.PendingDay
	passes                  bool // days that are too old must be counted
}

// positions reads how far the endpoint is with the accounts.
func (r *pendingReader) positions(appIDs []string) error {
	r.accounts = make([]*pendingAccount, len(appIDs))
	for i, appID := range appIDs {
		r.accounts[i] = &pendingAccount{pending: store.Pending{AppID: appID}}
	}
	rows, err := r.tx.Query(r.ctx, `
		SELECT n, id, changed, coalesce(delivery.mark, -1), coalesce(delivery.date, 0), coalesce(again.mark, -1)
		FROM unnest($1::text[]) WITH ORDINALITY AS given (app_id, n)
		JOIN weixin_exporter.account ON account.app_id = given.app_id
		LEFT JOIN weixin_exporter.delivery ON delivery.endpoint = $2 AND delivery.account = account.id
		LEFT JOIN (
			SELECT account, max(mark) AS mark FROM weixin_exporter.resend WHERE endpoint = $2 GROUP BY account
		) AS again ON again.account = account.id`, nonNil(appIDs), r.endpoint)
	if err != nil {
		return err
	}
	var n, changed, mark, again int64
	var number, date int32
	return eachRow(rows, []any{&n, &number, &changed, &mark, &date, &again}, func() error {
		a := r.accounts[n-1]
		a.exists, a.number = true, number
		a.from = store.Position{Mark: store.Mark(mark), Date: datacube.Date(date)}
		a.all.Position = store.Position{Mark: store.Mark(changed), Date: store.LastDate}
		if again >= 0 {
			a.all.Resent = store.Resent{UpTo: store.LastDate, Mark: store.Mark(again)}
		}
		return nil
	})
}

// choose takes days of one account after the other while they fit. It reads the days of a few accounts first: those
// may be all that fit.
func (r *pendingReader) choose() error {
	const growth = 4
	left := r.accounts
	for n := 1; len(left) > 0 && !r.budget.Spent(); n *= growth {
		next := left[:min(n, len(left))]
		left = left[len(next):]
		if err := r.days(next); err != nil {
			return err
		}
		for _, a := range next {
			if r.budget.Spent() {
				return nil
			}
			r.chosen = append(r.chosen, a)
			if a.exists { // otherwise there has been no response for it yet
				a.chosen, a.passes = r.budget.Choose(&a.pending, a.from, a.all, a.repeated, a.fresh)
			}
			if a.pending.More {
				return nil
			}
		}
	}
	return nil
}

// days reads the days of the accounts that must be sent, as many as could fit, in the order of their positions.
func (r *pendingReader) days(accounts []*pendingAccount) error {
	var numbers, dates []int32
	var marks []int64
	var existing []*pendingAccount
	for _, a := range accounts {
		if a.exists {
			existing = append(existing, a)
			numbers, marks, dates = append(numbers, a.number), append(marks, int64(a.from.Mark)), append(dates, int32(a.from.Date))
		}
	}
	if len(existing) == 0 {
		return nil
	}
	args := []any{numbers, marks, dates, int32(r.since), r.budget.MaxDays(), r.endpoint}
	var n, mark int64
	var date int32
	var api int16
	var batch pgx.Batch
	batch.Queue(`
		SELECT n, pending.changed, pending.date, pending.api
		FROM unnest($1::integer[], $2::bigint[], $3::integer[]) WITH ORDINALITY AS has (account, mark, date, n)
		CROSS JOIN LATERAL (
			SELECT day.changed, day.date, day.api FROM weixin_exporter.day
			WHERE day.account = has.account AND day.date >= $4 AND day.status = 2 AND (day.changed, day.date) > (has.mark, has.date)
			ORDER BY day.changed, day.date, day.api LIMIT $5) AS pending
		ORDER BY n, pending.changed, pending.date, pending.api`, args[:5]...).Query(func(rows pgx.Rows) error {
		return eachRow(rows, []any{&n, &mark, &date, &api}, func() error {
			a := existing[n-1]
			a.fresh = append(a.fresh, store.PendingDay{Position: store.Position{Mark: store.Mark(mark), Date: datacube.Date(date)}, API: datacube.API(api)})
			return nil
		})
	})
	batch.Queue(`
		SELECT n, pending.date, pending.api
		FROM unnest($1::integer[], $2::bigint[], $3::integer[]) WITH ORDINALITY AS has (account, mark, date, n)
		CROSS JOIN LATERAL (
			SELECT day.date, day.api FROM weixin_exporter.resend
			JOIN weixin_exporter.day ON day.account = resend.account AND day.api IN (0, 1) AND day.date = resend.date AND day.status = 2
				AND (day.changed, day.date) <= (has.mark, has.date)
			WHERE resend.endpoint = $6 AND resend.account = has.account AND resend.date >= $4
			ORDER BY day.date, day.api LIMIT $5) AS pending
		ORDER BY n, pending.date, pending.api`, args...).Query(func(rows pgx.Rows) error {
		return eachRow(rows, []any{&n, &date, &api}, func() error {
			a := existing[n-1]
			a.repeated = append(a.repeated, store.PendingDay{Position: store.Position{Date: datacube.Date(date)}, API: datacube.API(api)})
			return nil
		})
	})
	return r.tx.SendBatch(r.ctx, &batch).Close()
}

// countTooOld counts the days of the chosen accounts that are done without being sent, since they are too old.
func (r *pendingReader) countTooOld() error {
	var numbers, fromDates, toDates []int32
	var fromMarks, toMarks []int64
	var counted []*pendingAccount
	for _, a := range r.chosen {
		if a.passes {
			done := a.pending.Done.Position
			counted = append(counted, a)
			numbers = append(numbers, a.number)
			fromMarks, fromDates = append(fromMarks, int64(a.from.Mark)), append(fromDates, int32(a.from.Date))
			toMarks, toDates = append(toMarks, int64(done.Mark)), append(toDates, int32(done.Date))
		}
	}
	if len(counted) == 0 {
		return nil
	}
	rows, err := r.tx.Query(r.ctx, `
		SELECT n, day.api, count(*)
		FROM unnest($1::integer[], $2::bigint[], $3::integer[], $4::bigint[], $5::integer[])
			WITH ORDINALITY AS between_ (account, from_mark, from_date, to_mark, to_date, n)
		JOIN weixin_exporter.day ON day.account = between_.account AND day.api IN (0, 1) AND day.date < $6 AND day.status = 2
			AND (day.changed, day.date) > (from_mark, from_date) AND (day.changed, day.date) <= (to_mark, to_date)
		GROUP BY n, day.api`, numbers, fromMarks, fromDates, toMarks, toDates, int32(r.since))
	if err != nil {
		return err
	}
	var n, count int64
	var api int16
	return eachRow(rows, []any{&n, &api, &count}, func() error {
		counted[n-1].pending.TooOld[api] = count
		return nil
	})
}

// figures reads the figures of the chosen days, in the order of their dates.
func (r *pendingReader) figures() error {
	var numbers, dates [datacube.APIs][]int32
	var owners [datacube.APIs][]*pendingAccount
	for _, a := range r.chosen {
		for api, own := range store.Dates(a.chosen) {
			for _, date := range own {
				numbers[api], dates[api], owners[api] = append(numbers[api], a.number), append(dates[api], int32(date)), append(owners[api], a)
			}
		}
	}
	var batch pgx.Batch
	var n int64
	var date int32
	if len(numbers[datacube.Daily]) > 0 {
		var figures datacube.Figures
		batch.Queue(`SELECT n, given.date, `+dailyColumns+` FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY AS given (account, date, n)
			LEFT JOIN weixin_exporter.daily ON daily.account = given.account AND daily.date = given.date ORDER BY n`,
			numbers[datacube.Daily], dates[datacube.Daily]).Query(func(rows pgx.Rows) error {
			return eachRow(rows, append([]any{&n, &date}, dailyTargets(&figures)...), func() error {
				p := &owners[datacube.Daily][n-1].pending
				p.Daily = append(p.Daily, datacube.Day{Date: datacube.Date(date), Figures: figures})
				return nil
			})
		})
	}
	if len(numbers[datacube.Hourly]) > 0 {
		var row hoursRow
		batch.Queue(`SELECT n, given.date, `+hourlyColumns+` FROM unnest($1::integer[], $2::integer[]) WITH ORDINALITY AS given (account, date, n)
			LEFT JOIN weixin_exporter.hourly ON hourly.account = given.account AND hourly.date = given.date ORDER BY n`,
			numbers[datacube.Hourly], dates[datacube.Hourly]).Query(func(rows pgx.Rows) error {
			return eachRow(rows, append([]any{&n, &date}, row.targets()...), func() error {
				p := &owners[datacube.Hourly][n-1].pending
				p.Hourly = append(p.Hourly, datacube.HourlyDay{Date: datacube.Date(date)})
				return row.read(&p.Hourly[len(p.Hourly)-1].Hours)
			})
		})
	}
	if batch.Len() == 0 {
		return nil
	}
	return r.tx.SendBatch(r.ctx, &batch).Close()
}

// CountPending implements store.Store.
func (s *Store) CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error) {
	var counts map[string][datacube.APIs]int64
	err := s.boundedBy(ctx, longTimeout, func(ctx context.Context) error {
		counts = make(map[string][datacube.APIs]int64)
		rows, err := s.pool.Query(ctx, `
			WITH behind (id, app_id, mark, date) AS (
				SELECT account.id, app_id, coalesce(mark, -1), coalesce(date, 0) FROM weixin_exporter.account
				LEFT JOIN weixin_exporter.delivery ON delivery.endpoint = $1 AND delivery.account = account.id
				WHERE mark IS NULL OR account.changed > mark OR delivery.date < $2)
			SELECT app_id, api, count(*) FROM behind
			JOIN weixin_exporter.day ON day.account = behind.id AND day.api IN (0, 1) AND day.date >= $3 AND day.status = 2
				AND (day.changed, day.date) > (behind.mark, behind.date)
			GROUP BY app_id, api
			UNION ALL
			SELECT app_id, api, count(*) FROM weixin_exporter.resend
			JOIN weixin_exporter.account ON account.id = resend.account
			JOIN weixin_exporter.delivery ON delivery.endpoint = $1 AND delivery.account = resend.account
			JOIN weixin_exporter.day ON day.account = resend.account AND day.api IN (0, 1) AND day.date = resend.date AND day.status = 2
				AND (day.changed, day.date) <= (delivery.mark, delivery.date)
			WHERE resend.endpoint = $1 AND resend.date >= $3
			GROUP BY app_id, api`, endpoint, int32(store.LastDate), int32(since))
		if err != nil {
			return err
		}
		var appID string
		var api int16
		var days int64
		return eachRow(rows, []any{&appID, &api, &days}, func() error {
			count := counts[appID]
			count[api] += days
			counts[appID] = count
			return nil
		})
	})
	if err != nil {
		return nil, s.failed(ctx, "count the days to send to "+endpoint, err)
	}
	return counts, nil
}

// MarkDelivered implements store.Store. What was read of a later state than the present one is recognized by its incarnation or, as
// long as no one has noticed, by its marks, which the present one has not reached.
func (s *Store) MarkDelivered(ctx context.Context, endpoint string, at time.Time, pending ...store.Pending) error {
	err := s.updating(ctx, accessTimeout, func(ctx context.Context, tx pgx.Tx) error {
		incarnation := s.incarnation.Load() // of the moment from which no one else writes: who wrote before may have raised it
		var appIDs []string
		var marks, resentMarks []int64
		var dates, resentDates []int32
		for i := range pending {
			done := &pending[i].Done
			if done.Incarnation != incarnation {
				continue
			}
			appIDs = append(appIDs, pending[i].AppID)
			marks, dates = append(marks, int64(done.Position.Mark)), append(dates, int32(done.Position.Date))
			resentMarks, resentDates = append(resentMarks, int64(done.Resent.Mark)), append(resentDates, int32(done.Resent.UpTo))
		}
		var batch pgx.Batch
		batch.Queue(`
			INSERT INTO weixin_exporter.delivery (endpoint, account, mark, date, sent_at)
			SELECT $1, id, given.mark, given.date, $5 FROM unnest($2::text[], $3::bigint[], $4::integer[]) AS given (app_id, mark, date)
			JOIN weixin_exporter.account ON account.app_id = given.app_id AND account.changed >= given.mark
			ON CONFLICT (endpoint, account) DO UPDATE SET
				mark = greatest(delivery.mark, excluded.mark),
				date = CASE WHEN (excluded.mark, excluded.date) > (delivery.mark, delivery.date) THEN excluded.date ELSE delivery.date END,
				sent_at = CASE WHEN excluded.sent_at > 0 THEN excluded.sent_at ELSE delivery.sent_at END`,
			endpoint, appIDs, marks, dates, toUnix(at))
		batch.Queue(`
			DELETE FROM weixin_exporter.resend
			USING unnest($2::text[], $3::bigint[], $4::integer[], $5::bigint[]) AS given (app_id, mark, date, position),
				weixin_exporter.account, weixin_exporter.delivery, weixin_exporter.mark
			WHERE account.app_id = given.app_id AND resend.endpoint = $1 AND resend.account = account.id
				AND resend.date <= given.date AND resend.mark <= given.mark AND given.mark <= mark.latest
				AND delivery.endpoint = $1 AND delivery.account = account.id AND delivery.mark >= given.position`,
			endpoint, appIDs, resentMarks, resentDates, marks)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return s.failed(ctx, "record what was sent to "+endpoint, err)
	}
	return nil
}

// LastDelivery implements store.Store.
func (s *Store) LastDelivery(ctx context.Context, endpoint string) (time.Time, error) {
	var at int64
	err := s.bounded(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT coalesce(max(sent_at), 0) FROM weixin_exporter.delivery WHERE endpoint = $1`, endpoint).Scan(&at)
	})
	if err != nil {
		return time.Time{}, s.failed(ctx, "read when samples were last sent to "+endpoint, err)
	}
	return store.FromUnix(at), nil
}

// Resend implements store.Store.
func (s *Store) Resend(ctx context.Context, endpoint string, since, until datacube.Date, appIDs ...string) (int64, error) {
	var days int64
	err := s.writing(ctx, longTimeout, func(ctx context.Context, tx pgx.Tx, mark int64) error {
		result, err := tx.Exec(ctx, `
			INSERT INTO weixin_exporter.resend (endpoint, account, date, mark)
			SELECT DISTINCT $1::text, day.account, day.date, $5::bigint FROM weixin_exporter.account
			JOIN weixin_exporter.delivery ON delivery.endpoint = $1 AND delivery.account = account.id
			JOIN weixin_exporter.day ON day.account = account.id AND day.api IN (0, 1) AND day.status = 2 AND day.date BETWEEN $2 AND $3
				AND (day.changed, day.date) <= (delivery.mark, delivery.date)
			WHERE account.app_id = ANY ($4)
			ON CONFLICT (endpoint, account, date) DO UPDATE SET mark = excluded.mark`,
			endpoint, int32(since), int32(until), nonNil(appIDs), mark)
		days = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, s.failed(ctx, "schedule days to be sent again to "+endpoint, err)
	}
	return days, nil
}
