package sqlite_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		hours := datacube.Hours{
			0:  {Callbacks: 7, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 300},
			18: {Callbacks: math.MaxInt64, Failures: math.MaxInt64, TimeCostMillis: math.MaxInt64, MaxTimeCostMillis: math.MaxInt64},
			23: {Callbacks: 1},
		}
		emptyList := store.State{Status: store.NotReady, Empty: true, Asks: 3, AskedAt: asked.Add(time.Hour)}
		rechecked := store.State{
			Status: store.Known, Asks: 2, AskedAt: asked.Add(24 * time.Hour), KnownAt: asked, Rechecked: true,
			Damaged: 3, Rechecks: 15, Checksum: math.MaxUint32,
		}
		hour := hourly(shop, firstDay, hours)
		hour.State = rechecked
		late := store.Record{AppID: shop, API: datacube.Hourly, Date: firstDay + 1, State: emptyList}
		if got := save(t, s, hour, late, daily(shop, firstDay, 8), daily(bot, firstDay-1, 9)); len(got) > 0 {
			t.Errorf("revisions of new days: %v", got)
		}
		want := map[string]*store.Account{
			shop: {
				States: [datacube.APIs]store.States{
					datacube.Daily:  statesOf(days{firstDay: known()}),
					datacube.Hourly: statesOf(days{firstDay: rechecked, firstDay + 1: emptyList}),
				},
				Daily: &datacube.Day{Date: firstDay, Figures: datacube.Figures{
					Callbacks: 8, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5,
				}},
				Hourly: &datacube.HourlyDay{Date: firstDay, Hours: hours},
				Days:   [datacube.APIs]int64{1, 1},
			},
			bot: {
				// Without States: its only day is before the requested date.
				Daily: &datacube.Day{Date: firstDay - 1, Figures: datacube.Figures{
					Callbacks: 9, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5,
				}},
				Days: [datacube.APIs]int64{1, 0},
			},
		}
		for range 2 {
			if diff := cmp.Diff(want, load(t, s, firstDay)); diff != "" {
				t.Errorf("all accounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]*store.Account{bot: want[bot]}, load(t, s, firstDay, bot, "wxunknown", bot)); diff != "" {
				t.Errorf("one of the accounts (-want +got):\n%s", diff)
			}
			s = reopen()
		}
		if got := load(t, s, firstDay)[shop].States[datacube.Hourly].At(firstDay).KnownAt.Location(); got != datacube.China {
			t.Errorf("times are in %v, not in China time", got)
		}
	})
}

func TestTimesAreStoredToTheSecond(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	r := daily(shop, firstDay, 1)
	r.State.AskedAt = asked.Add(1999 * time.Millisecond)
	r.State.KnownAt = time.Time{}
	save(t, s, r)
	got := load(t, s, firstDay)[shop].States[datacube.Daily].At(firstDay)
	if !got.AskedAt.Equal(asked.Add(time.Second)) || !got.KnownAt.IsZero() {
		t.Errorf("asked at %v, known at %v", got.AskedAt, got.KnownAt)
	}
}

func TestAnEmptyStore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		if got := save(t, s); got != nil {
			t.Errorf("saving nothing revised %v", got)
		}
		if got := load(t, reopen(), 0); len(got) != 0 {
			t.Errorf("accounts of an empty store: %v", got)
		}
	})
}

func TestADayBecomesKnown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		yesterday := hourly(shop, firstDay, datacube.Hours{5: {Callbacks: 5}})
		save(t, s, yesterday)
		waiting := store.Record{
			AppID: shop, API: datacube.Hourly, Date: firstDay + 1,
			State: store.State{Status: store.NotReady, Asks: 1, AskedAt: asked},
		}
		save(t, s, waiting)
		if got := load(t, s, firstDay)[shop]; got.Hourly.Date != firstDay || got.Days[datacube.Hourly] != 1 {
			t.Errorf("the latest of %d days is %v while the next one is not ready", got.Days[datacube.Hourly], got.Hourly.Date)
		}
		there := hourly(shop, firstDay+1, datacube.Hours{6: {Callbacks: 6}})
		if got := save(t, s, there); len(got) > 0 {
			t.Errorf("a day that was not ready was revised: %v", got)
		}
		got := load(t, reopen(), firstDay)[shop]
		want := &datacube.HourlyDay{Date: firstDay + 1, Hours: datacube.Hours{6: {Callbacks: 6}}}
		if diff := cmp.Diff(want, got.Hourly); diff != "" || got.Days[datacube.Hourly] != 2 {
			t.Errorf("the latest of %d days (-want +got):\n%s", got.Days[datacube.Hourly], diff)
		}
		if got.Daily != nil || got.Days[datacube.Daily] != 0 {
			t.Errorf("the hourly call made a day of the daily call known: %v", got.Daily)
		}
	})
}

func TestDaysWithoutTrafficAreKnownAndTakeNoRow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	day, hours := daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}})
	save(t, s, day, hours)
	*day.Daily, *hours.Hourly = datacube.Figures{}, datacube.Hours{2: {Callbacks: 2}}
	day.State.Empty = true
	save(t, s, day, hours)
	if got := table(t, shell(t, path), `SELECT (SELECT count(*) FROM daily), (SELECT count(*) FROM hourly)`); got != "0 1\n" {
		t.Errorf("rows of days and hours: %s", got)
	}
	got := load(t, s, firstDay)[shop]
	if diff := cmp.Diff(&datacube.Day{Date: firstDay}, got.Daily); diff != "" {
		t.Errorf("day (-want +got):\n%s", diff)
	}
	if !got.States[datacube.Daily].At(firstDay).Empty {
		t.Error("the day is not known as empty")
	}
	*hours.Hourly = datacube.Hours{}
	save(t, s, hours)
	if diff := cmp.Diff(&datacube.HourlyDay{Date: firstDay}, load(t, s, firstDay)[shop].Hourly); diff != "" {
		t.Errorf("hours (-want +got):\n%s", diff)
	}
}

func TestAnyNumberOfHours(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	for n := range datacube.HoursPerDay + 1 {
		var hours datacube.Hours
		for h := range n {
			hours[h*7%datacube.HoursPerDay] = datacube.Figures{Callbacks: int64(h + 1), Failures: 2, TimeCostMillis: 3, MaxTimeCostMillis: 4}
		}
		date := firstDay + datacube.Date(n)
		save(t, s, hourly(shop, date, hours))
		if diff := cmp.Diff(&datacube.HourlyDay{Date: date, Hours: hours}, load(t, s, date)[shop].Hourly); diff != "" {
			t.Errorf("%d hours (-want +got):\n%s", n, diff)
		}
	}
}

func TestNilFiguresKeepTheStoredOnes(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	day, hours := daily(shop, firstDay, 1), hourly(shop, firstDay, datacube.Hours{1: {Callbacks: 1}})
	save(t, s, day, hours)
	before := load(t, s, firstDay)[shop]
	day.Daily, hours.Hourly = nil, nil
	day.State.Rechecked, hours.State.Rechecked = true, true
	if got := save(t, s, day, hours); len(got) > 0 {
		t.Errorf("revised without figures: %v", got)
	}
	after := load(t, s, firstDay)[shop]
	if diff := cmp.Diff(before.Hourly, after.Hourly) + cmp.Diff(before.Daily, after.Daily); diff != "" {
		t.Errorf("figures (-before +after):\n%s", diff)
	}
	for api := range datacube.APIs {
		if !after.States[api].At(firstDay).Rechecked {
			t.Errorf("%v: the state stayed", api)
		}
	}
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	const largest = math.MaxInt64
	zero := datacube.Figures{}
	tests := map[string]struct {
		before, after store.Record
		want          *store.Revision // nil: none
	}{
		"same day":   {before: daily(shop, firstDay, 5), after: daily(shop, firstDay, 5)},
		"same hours": {before: hourly(shop, firstDay, datacube.Hours{3: {Callbacks: 3}}), after: hourly(shop, firstDay, datacube.Hours{3: {Callbacks: 3}})},
		"other day": {
			before: daily(shop, firstDay, 5), after: daily(shop, firstDay, 6),
			want: &store.Revision{
				Before: datacube.Figures{Callbacks: 5, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
				After:  datacube.Figures{Callbacks: 6, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
			},
		},
		"an empty day gets traffic": {
			before: store.Record{AppID: shop, Date: firstDay, State: known(), Daily: &zero}, after: daily(shop, firstDay, 6),
			want: &store.Revision{After: datacube.Figures{Callbacks: 6, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5}},
		},
		"other hours": {
			before: hourly(shop, firstDay, datacube.Hours{
				3: {Callbacks: 3, Failures: 1, TimeCostMillis: 30, MaxTimeCostMillis: 20},
				4: {Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10},
			}),
			after: hourly(shop, firstDay, datacube.Hours{4: {Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10}}),
			want: &store.Revision{
				Before: datacube.Figures{Callbacks: 7, Failures: 3, TimeCostMillis: 70, MaxTimeCostMillis: 20},
				After:  datacube.Figures{Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10},
			},
		},
		"traffic moves to another hour": {
			before: hourly(shop, firstDay, datacube.Hours{3: {Callbacks: 3}}),
			after:  hourly(shop, firstDay, datacube.Hours{4: {Callbacks: 3}}),
			want:   &store.Revision{Before: datacube.Figures{Callbacks: 3}, After: datacube.Figures{Callbacks: 3}},
		},
		"hours too large to sum up": {
			before: hourly(shop, firstDay, datacube.Hours{3: {Callbacks: 1}}),
			after:  hourly(shop, firstDay, datacube.Hours{3: {Callbacks: largest}, 4: {Callbacks: largest}}),
			want:   &store.Revision{Before: datacube.Figures{Callbacks: 1}, After: datacube.Figures{Callbacks: largest}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "")
			save(t, s, test.before, hourly(bot, firstDay, datacube.Hours{}))
			var want []store.Revision
			if test.want != nil {
				test.want.AppID, test.want.API, test.want.Date = shop, test.after.API, firstDay
				want = []store.Revision{*test.want}
			}
			if diff := cmp.Diff(want, save(t, s, test.after)); diff != "" {
				t.Errorf("revisions (-want +got):\n%s", diff)
			}
			if got := save(t, s, test.after); len(got) > 0 {
				t.Errorf("the same figures again were a revision: %v", got)
			}
		})
	}
}

func TestRevisionsAreInTheOrderOfTheRecords(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	var records []store.Record
	for i := range 5 {
		records = append(records, daily(fmt.Sprint("wx", (i*3)%5), firstDay+datacube.Date(i), 1))
	}
	save(t, s, records...)
	for i := range records {
		records[i].Daily.Callbacks = 2
	}
	records[2].Daily.Callbacks = 1
	got := save(t, s, records...)
	if len(got) != 4 {
		t.Fatalf("got %d revisions", len(got))
	}
	for i, r := range append(records[:2:2], records[3:]...) {
		if got[i].AppID != r.AppID || got[i].Date != r.Date || got[i].After != *r.Daily {
			t.Errorf("revision %d is %v", i, got[i])
		}
	}
}

func TestSaveRefusesInvalidRecords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(*store.Record)
		want  string
	}{
		"no account":     {func(r *store.Record) { r.AppID = "" }, `store in memory: save 2026-11-01 of , daily: the app id is missing`},
		"no API":         {func(r *store.Record) { r.API = 2 }, `store in memory: save 2026-11-01 of wx0123456789abcdef, unknown: unknown API`},
		"never asked":    {func(r *store.Record) { r.State.Status = store.NeverAsked }, `store in memory: save 2026-11-01 of wx0123456789abcdef, daily: a day cannot become "never asked"`},
		"other figures":  {func(r *store.Record) { r.Hourly = &datacube.Hours{} }, `store in memory: save 2026-11-01 of wx0123456789abcdef, daily: the figures are of the other API`},
		"other figures2": {func(r *store.Record) { r.API = datacube.Hourly }, `store in memory: save 2026-11-01 of wx0123456789abcdef, hourly: the figures are of the other API`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "")
			bad := daily(shop, firstDay, 1)
			test.spoil(&bad)
			_, err := s.Save(t.Context(), []store.Record{daily(bot, firstDay, 1), bad})
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if got := load(t, s, 0); len(got) != 0 {
				t.Errorf("the good record was stored: %v", got)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		for day := range datacube.Date(4) {
			save(t, s, daily(shop, firstDay+day, 1), hourly(shop, firstDay+day, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}}))
		}
		save(t, s, daily(bot, firstDay, 1))
		prune := func(before datacube.Date, want int64) {
			t.Helper()
			if got, err := s.Prune(t.Context(), before); err != nil || got != want {
				t.Errorf("before %v: deleted %d days, not %d: %v", before, got, want, err)
			}
		}
		prune(firstDay, 0)
		prune(firstDay+3, 7)
		prune(firstDay+3, 0)
		s = reopen()
		got := load(t, s, 0)
		if got[shop].Daily.Date != firstDay+3 || got[shop].Hourly.Date != firstDay+3 {
			t.Errorf("the latest days are %v and %v", got[shop].Daily.Date, got[shop].Hourly.Date)
		}
		for api := range datacube.APIs {
			if n := got[shop].States[api].Len(); n != 1 || got[shop].Days[api] != 1 {
				t.Errorf("%v: %d states, %d days known", api, n, got[shop].Days[api])
			}
		}
		if b := got[bot]; b != nil && (b.Daily != nil || b.Days[datacube.Daily] != 0) {
			t.Errorf("an account has data left: %+v", b)
		}
		prune(firstDay+99, 2)
		if got := load(t, s, 0)[shop]; got != nil && (got.Daily != nil || got.Hourly != nil) {
			t.Errorf("figures are left: %+v", got)
		}
		// A deleted day that is saved again is not a revision.
		if got := save(t, s, daily(shop, firstDay, 77)); len(got) > 0 {
			t.Errorf("revised: %v", got)
		}
	})
}

func TestViews(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	zero := datacube.Figures{}
	full := datacube.Figures{Callbacks: 4, Failures: 3, TimeCostMillis: 20, MaxTimeCostMillis: 10}
	save(t, s,
		store.Record{AppID: shop, API: datacube.Daily, Date: firstDay, State: known(), Daily: &full},
		store.Record{AppID: shop, API: datacube.Daily, Date: firstDay + 1, State: known(), Daily: &zero},
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

func TestLoadSinceTheBeginning(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	save(t, s, daily(shop, datacube.FirstDate, 1))
	if got := load(t, s, 0)[shop]; got.States[datacube.Daily].Len() != 1 {
		t.Errorf("got %+v", got)
	}
}
