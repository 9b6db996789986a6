package ha_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// database is the test's own view of the database, which no fault comes between.
type database struct{ pool *pgxpool.Pool }

func openDatabase(t *testing.T, url string) *database {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &database{pool}
}

// watchLosses makes the database note each slot that is claimed although its owner has not handed it back.
func (d *database) watchLosses(t *testing.T) {
	t.Helper()
	_, err := d.pool.Exec(t.Context(), `
		CREATE TABLE public.loss (n bigint GENERATED ALWAYS AS IDENTITY, slot integer, loser text, winner text, epoch bigint);
		CREATE FUNCTION public.note_loss() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO public.loss (slot, loser, winner, epoch) VALUES (OLD.slot, OLD.owner, NEW.owner, NEW.epoch);
			RETURN NULL;
		END $$;
		CREATE TRIGGER note_loss AFTER UPDATE ON weixin_exporter.slot FOR EACH ROW
			WHEN (OLD.duty = 'refresh' AND OLD.owner <> '' AND NEW.owner <> '' AND NEW.owner <> OLD.owner)
			EXECUTE FUNCTION public.note_loss()`)
	if err != nil {
		t.Fatal(err)
	}
}

// loss is a slot that another member has claimed although its owner had not handed it back.
type loss struct {
	slot          int
	loser, winner string
	epoch         int64 // of the winner
}

// losses returns the losses after the first n.
func (d *database) losses(ctx context.Context, n int) ([]loss, error) {
	rows, err := d.pool.Query(ctx, `SELECT slot, loser, winner, epoch FROM public.loss ORDER BY n OFFSET $1`, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (loss, error) {
		var l loss
		err := row.Scan(&l.slot, &l.loser, &l.winner, &l.epoch)
		return l, err
	})
}

// duty says who was responsible for an account when a call arrived, and what was known then.
type duty struct {
	owner string // the ID of the process; "" if there was none
	pid   int    // of the owner
	epoch int64
	// known are the days of the call that were in the database already.
	known []datacube.Date
	// held is true if the database said that the call must not be made yet.
	held bool
}

// dutyOf returns who is responsible for the account of a call.
func (d *database) dutyOf(ctx context.Context, c weixintest.Call) (duty, error) {
	var found duty
	var name string
	var dates []int32
	api := 0
	if c.API == datacube.Hourly.String() {
		api = 1
	}
	err := d.pool.QueryRow(ctx, `
		SELECT slot.owner, slot.epoch, coalesce(member.name, ''),
			ARRAY (SELECT date FROM weixin_exporter.day JOIN weixin_exporter.account ON id = account
				WHERE app_id = $2 AND api = $3 AND status = 2 AND date BETWEEN $4 AND $5),
			EXISTS (SELECT FROM weixin_exporter.hold JOIN weixin_exporter.account ON id = account
				WHERE app_id = $2 AND api = $3 AND until > $6)
		FROM weixin_exporter.slot LEFT JOIN weixin_exporter.member ON member.id = slot.owner
		WHERE slot.duty = 'refresh' AND slot.slot = $1`,
		store.SlotOf(c.AppID), c.AppID, api, int32(c.Begin), int32(c.End), c.At.Add(2*maxSkew).Unix(),
	).Scan(&found.owner, &found.epoch, &name, &dates, &found.held)
	for _, date := range dates {
		found.known = append(found.known, datacube.Date(date))
	}
	found.pid = pidIn(name)
	return found, err
}

// pidIn returns the process ID in the name of a member; 0 if there is none.
func pidIn(name string) int {
	found := regexp.MustCompile(`process (\d+) `).FindStringSubmatch(name)
	if found == nil {
		return 0
	}
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return pid
}

// knows fails unless the process of a member is among those that share the database.
func (d *database) knows(ctx context.Context, m *member) error {
	names, err := d.names(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if pidIn(name) == m.exporter.PID() {
			return nil
		}
	}
	return fmt.Errorf("there are only %q", names)
}

// sharedBy fails unless so many processes own slots of a duty.
func (d *database) sharedBy(ctx context.Context, duty store.Duty, processes int) error {
	var n int
	err := d.pool.QueryRow(ctx, `SELECT count(DISTINCT owner) FROM weixin_exporter.slot WHERE duty = $1 AND owner <> ''`, string(duty)).Scan(&n)
	if err == nil && n != processes {
		err = fmt.Errorf("%d processes own slots, want %d", n, processes)
	}
	return err
}

// names returns the names of all members by ID, also of those that ended a short time ago.
func (d *database) names(ctx context.Context) (map[string]string, error) {
	rows, err := d.pool.Query(ctx, `SELECT id, name FROM weixin_exporter.member`)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	var id, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil })
	return names, err
}

// knownDays returns how many days of all accounts and both calls are known.
func (d *database) knownDays(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var n int
	err := d.pool.QueryRow(ctx, `SELECT count(*) FROM weixin_exporter.day WHERE status = 2`).Scan(&n)
	return n, err
}

// figures returns all figures in the views for people: those of days with hour -1.
func (d *database) figures(t *testing.T) map[period]datacube.Figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rows, err := d.pool.Query(ctx, `
		SELECT app_id, ref_date, -1, callback_count, fail_count, total_time_cost_ms, max_time_cost_ms FROM weixin_exporter.interface_daily
		UNION ALL
		SELECT app_id, ref_date, ref_hour, callback_count, fail_count, total_time_cost_ms, max_time_cost_ms FROM weixin_exporter.interface_hourly`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[period]datacube.Figures{}
	var p period
	var date time.Time
	var f datacube.Figures
	_, err = pgx.ForEachRow(rows, []any{&p.appID, &date, &p.hour, &f.Callbacks, &f.Failures, &f.TimeCostMillis, &f.MaxTimeCostMillis}, func() error {
		p.date = datacube.Date(date.Unix() / (24 * 60 * 60))
		found[p] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// pass lets time pass for access tokens, whose ends are by the clock of the server.
func (d *database) pass(t *testing.T, by time.Duration) {
	t.Helper()
	if _, err := d.pool.Exec(t.Context(), `UPDATE weixin_exporter.token SET expires = expires - make_interval(secs => $1)`, by.Seconds()); err != nil {
		t.Fatal(err)
	}
}

// period is an hour or, with hour -1, a day of an account.
type period struct {
	appID string
	date  datacube.Date
	hour  int
}
