package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

func TestDaysWithoutTrafficAreKnownAndTakeNoRow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	day, hours := daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}})
	save(t, s, day, hours)
	*day.Daily, *hours.Hourly = datacube.Figures{}, datacube.Hours{2: {Callbacks: 2}}
	quiet := daily(shop, firstDay-1, 0)
	*quiet.Daily, quiet.State.Empty = datacube.Figures{}, true
	save(t, s, quiet, day, hours)
	if got := table(t, shell(t, path), `SELECT (SELECT count(*) FROM daily), (SELECT count(*) FROM hourly)`); got != "0 1\n" {
		t.Errorf("rows of days and hours: %s", got)
	}
	got := load(t, s, firstDay-1)[shop]
	if diff := cmp.Diff(&datacube.Day{Date: firstDay}, got.Daily); diff != "" {
		t.Errorf("day (-want +got):\n%s", diff)
	}
	if !got.States[datacube.Daily].At(firstDay - 1).Empty {
		t.Error("the day before is not known as empty")
	}
	*hours.Hourly = datacube.Hours{}
	save(t, s, hours)
	if diff := cmp.Diff(&datacube.HourlyDay{Date: firstDay}, load(t, s, firstDay)[shop].Hourly); diff != "" {
		t.Errorf("hours (-want +got):\n%s", diff)
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	zero := datacube.Figures{}
	full := datacube.Figures{Callbacks: 4, Failures: 3, TimeCostMillis: 20, MaxTimeCostMillis: 10}
	save(t, s,
		store.Record{AppID: shop, API: datacube.Daily, Date: firstDay, State: storetest.Known(), Daily: &full},
		store.Record{AppID: shop, API: datacube.Daily, Date: firstDay + 1, State: storetest.Known(), Daily: &zero},
		store.Record{AppID: shop, API: datacube.Daily, Date: firstDay + 2, State: store.State{Status: store.NotReady}},
		hourly(bot, datacube.FirstDate, datacube.Hours{23: full}))
	db := shell(t, path)
	const figures = `callback_count, fail_count, total_time_cost_ms, max_time_cost_ms`
	want := shop + " 2026-11-01 4 3 20 10\n" + shop + " 2026-11-02 0 0 0 0\n"
	if got := table(t, db, `SELECT app_id, ref_date, `+figures+` FROM interface_daily ORDER BY ref_date`); got != want {
		t.Errorf("interface_daily:\n%s", got)
	}
	want = bot + " 2014-12-01 22 0 0 0 0\n" + bot + " 2014-12-01 23 4 3 20 10\n"
	if got := table(t, db, `SELECT app_id, ref_date, ref_hour, `+figures+` FROM interface_hourly WHERE ref_hour >= 22 ORDER BY ref_hour`); got != want {
		t.Errorf("interface_hourly:\n%s", got)
	}
	if got := table(t, db, `SELECT count(*), count(DISTINCT ref_hour), sum(callback_count) FROM interface_hourly`); got != "24 24 4\n" {
		t.Errorf("all hours: %s", got)
	}
}

func TestAClosedStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for doing, call := range map[string]func(context.Context) error{
		"load figures and states since 2026-11-01": func(ctx context.Context) error { _, err := s.Load(ctx, firstDay); return err },
		"save 2026-11-01 of wx0123456789abcdef, daily": func(ctx context.Context) error {
			_, err := s.Save(ctx, []store.Record{daily(shop, firstDay, 1)})
			return err
		},
		"delete the days before 2026-11-01": func(ctx context.Context) error { _, err := s.Prune(ctx, firstDay); return err },
	} {
		want := fmt.Sprintf("store %q: %s: sql: database is closed", path, doing)
		if err := call(t.Context()); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
