package storetest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func testSaveAndLoad(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		hours := datacube.Hours{
			0:  {Callbacks: 7, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 300},
			18: {Callbacks: math.MaxInt64, Failures: math.MaxInt64, TimeCostMillis: math.MaxInt64, MaxTimeCostMillis: math.MaxInt64},
			23: {Callbacks: 1},
		}
		emptyList := store.State{Status: store.NotReady, Empty: true, Asks: 3, AskedAt: Asked().Add(time.Hour)}
		rechecked := store.State{
			Status: store.Known, Asks: 2, AskedAt: Asked().Add(24 * time.Hour), KnownAt: Asked(), Rechecked: true,
			Damaged: 3, Rechecks: 15, Checksum: math.MaxUint32,
		}
		hour := Hourly(Shop, FirstDay, hours)
		hour.State = rechecked
		late := store.Record{AppID: Shop, API: datacube.Hourly, Date: FirstDay + 1, State: emptyList}
		if got := Save(t, s, hour, late, Daily(Shop, FirstDay, 8), Daily(Bot, FirstDay-1, 9)); len(got) > 0 {
			t.Errorf("revisions of new days: %v", got)
		}
		want := map[string]*store.Account{
			Shop: {
				States: [datacube.APIs]store.States{
					datacube.Daily:  StatesOf(Days{FirstDay: Known()}),
					datacube.Hourly: StatesOf(Days{FirstDay: rechecked, FirstDay + 1: emptyList}),
				},
				Daily: &datacube.Day{Date: FirstDay, Figures: datacube.Figures{
					Callbacks: 8, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5,
				}},
				Hourly: &datacube.HourlyDay{Date: FirstDay, Hours: hours},
				Days:   [datacube.APIs]int64{1, 1},
			},
			Bot: {
				// Without States: its only day is before the requested date.
				Daily: &datacube.Day{Date: FirstDay - 1, Figures: datacube.Figures{
					Callbacks: 9, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5,
				}},
				Days: [datacube.APIs]int64{1, 0},
			},
		}
		for range 2 {
			if diff := cmp.Diff(want, Load(t, s, FirstDay)); diff != "" {
				t.Errorf("all accounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]*store.Account{Bot: want[Bot]}, Load(t, s, FirstDay, Bot, "wxunknown", Bot)); diff != "" {
				t.Errorf("one of the accounts (-want +got):\n%s", diff)
			}
			s = reopen()
		}
		if got := Load(t, s, FirstDay)[Shop].States[datacube.Hourly].At(FirstDay).KnownAt.Location(); got != datacube.China {
			t.Errorf("times are in %v, not in China time", got)
		}
	})
}

func testTimesAreStoredToTheSecond(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	r := Daily(Shop, FirstDay, 1)
	r.State.AskedAt = Asked().Add(1999 * time.Millisecond)
	r.State.KnownAt = time.Time{}
	Save(t, s, r)
	got := Load(t, s, FirstDay)[Shop].States[datacube.Daily].At(FirstDay)
	if !got.AskedAt.Equal(Asked().Add(time.Second)) || !got.KnownAt.IsZero() {
		t.Errorf("asked at %v, known at %v", got.AskedAt, got.KnownAt)
	}
}

func testAnEmptyStore(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		if got := Save(t, s); got != nil {
			t.Errorf("saving nothing revised %v", got)
		}
		if got := Load(t, reopen(), 0); len(got) != 0 {
			t.Errorf("accounts of an empty store: %v", got)
		}
	})
}

func testADayBecomesKnown(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		yesterday := Hourly(Shop, FirstDay, datacube.Hours{5: {Callbacks: 5}})
		Save(t, s, yesterday)
		waiting := store.Record{
			AppID: Shop, API: datacube.Hourly, Date: FirstDay + 1,
			State: store.State{Status: store.NotReady, Asks: 1, AskedAt: Asked()},
		}
		Save(t, s, waiting)
		if got := Load(t, s, FirstDay)[Shop]; got.Hourly.Date != FirstDay || got.Days[datacube.Hourly] != 1 {
			t.Errorf("the latest of %d days is %v while the next one is not ready", got.Days[datacube.Hourly], got.Hourly.Date)
		}
		there := Hourly(Shop, FirstDay+1, datacube.Hours{6: {Callbacks: 6}})
		if got := Save(t, s, there); len(got) > 0 {
			t.Errorf("a day that was not ready was revised: %v", got)
		}
		got := Load(t, reopen(), FirstDay)[Shop]
		want := &datacube.HourlyDay{Date: FirstDay + 1, Hours: datacube.Hours{6: {Callbacks: 6}}}
		if diff := cmp.Diff(want, got.Hourly); diff != "" || got.Days[datacube.Hourly] != 2 {
			t.Errorf("the latest of %d days (-want +got):\n%s", got.Days[datacube.Hourly], diff)
		}
		if got.Daily != nil || got.Days[datacube.Daily] != 0 {
			t.Errorf("the hourly call made a day of the daily call known: %v", got.Daily)
		}
	})
}

func testAnyNumberOfHours(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	for n := range datacube.HoursPerDay + 1 {
		var hours datacube.Hours
		for h := range n {
			hours[h*7%datacube.HoursPerDay] = datacube.Figures{Callbacks: int64(h + 1), Failures: 2, TimeCostMillis: 3, MaxTimeCostMillis: 4}
		}
		date := FirstDay + datacube.Date(n)
		Save(t, s, Hourly(Shop, date, hours))
		if diff := cmp.Diff(&datacube.HourlyDay{Date: date, Hours: hours}, Load(t, s, date)[Shop].Hourly); diff != "" {
			t.Errorf("%d hours (-want +got):\n%s", n, diff)
		}
	}
}

func testNilFiguresKeepTheStoredOnes(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	day, hours := Daily(Shop, FirstDay, 1), Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}})
	Save(t, s, day, hours)
	before := Load(t, s, FirstDay)[Shop]
	day.Daily, hours.Hourly = nil, nil
	day.State.Rechecked, hours.State.Rechecked = true, true
	if got := Save(t, s, day, hours); len(got) > 0 {
		t.Errorf("revised without figures: %v", got)
	}
	after := Load(t, s, FirstDay)[Shop]
	if diff := cmp.Diff(before.Hourly, after.Hourly) + cmp.Diff(before.Daily, after.Daily); diff != "" {
		t.Errorf("figures (-before +after):\n%s", diff)
	}
	for api := range datacube.APIs {
		if !after.States[api].At(FirstDay).Rechecked {
			t.Errorf("%v: the state stayed", api)
		}
	}
}

func testRevisions(t *testing.T, e Engine) {
	const largest = math.MaxInt64
	zero := datacube.Figures{}
	tests := map[string]struct {
		before, after store.Record
		want          *store.Revision // nil: none
	}{
		"same day":   {before: Daily(Shop, FirstDay, 5), after: Daily(Shop, FirstDay, 5)},
		"same hours": {before: Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: 3}}), after: Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: 3}})},
		"other day": {
			before: Daily(Shop, FirstDay, 5), after: Daily(Shop, FirstDay, 6),
			want: &store.Revision{
				Before: datacube.Figures{Callbacks: 5, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
				After:  datacube.Figures{Callbacks: 6, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
			},
		},
		"an empty day gets traffic": {
			before: store.Record{AppID: Shop, Date: FirstDay, State: Known(), Daily: &zero}, after: Daily(Shop, FirstDay, 6),
			want: &store.Revision{After: datacube.Figures{Callbacks: 6, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5}},
		},
		"other hours": {
			before: Hourly(Shop, FirstDay, datacube.Hours{
				3: {Callbacks: 3, Failures: 1, TimeCostMillis: 30, MaxTimeCostMillis: 20},
				4: {Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10},
			}),
			after: Hourly(Shop, FirstDay, datacube.Hours{4: {Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10}}),
			want: &store.Revision{
				Before: datacube.Figures{Callbacks: 7, Failures: 3, TimeCostMillis: 70, MaxTimeCostMillis: 20},
				After:  datacube.Figures{Callbacks: 4, Failures: 2, TimeCostMillis: 40, MaxTimeCostMillis: 10},
			},
		},
		"traffic moves to another hour": {
			before: Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: 3}}),
			after:  Hourly(Shop, FirstDay, datacube.Hours{4: {Callbacks: 3}}),
			want:   &store.Revision{Before: datacube.Figures{Callbacks: 3}, After: datacube.Figures{Callbacks: 3}},
		},
		"hours too large to sum up": {
			before: Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: 1}}),
			after:  Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: largest}, 4: {Callbacks: largest}}),
			want:   &store.Revision{Before: datacube.Figures{Callbacks: 1}, After: datacube.Figures{Callbacks: largest}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := e.New(t).Open(t)
			Save(t, s, test.before, Hourly(Bot, FirstDay, datacube.Hours{}))
			var want []store.Revision
			if test.want != nil {
				test.want.AppID, test.want.API, test.want.Date = Shop, test.after.API, FirstDay
				want = []store.Revision{*test.want}
			}
			if diff := cmp.Diff(want, Save(t, s, test.after)); diff != "" {
				t.Errorf("revisions (-want +got):\n%s", diff)
			}
			if got := Save(t, s, test.after); len(got) > 0 {
				t.Errorf("the same figures again were a revision: %v", got)
			}
		})
	}
}

func testRevisionsAreInTheOrderOfTheRecords(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	var records []store.Record
	for i := range 5 {
		records = append(records, Daily(fmt.Sprint("wx", (i*3)%5), FirstDay+datacube.Date(i), 1))
	}
	Save(t, s, records...)
	for i := range records {
		records[i].Daily.Callbacks = 2
	}
	records[2].Daily.Callbacks = 1
	got := Save(t, s, records...)
	if len(got) != 4 {
		t.Fatalf("got %d revisions", len(got))
	}
	for i, r := range append(records[:2:2], records[3:]...) {
		if got[i].AppID != r.AppID || got[i].Date != r.Date || got[i].After != *r.Daily {
			t.Errorf("revision %d is %v", i, got[i])
		}
	}
}

func testSaveRefusesInvalidRecords(t *testing.T, e Engine) {
	tests := map[string]struct {
		spoil func(*store.Record)
		want  string
	}{
		"no account":     {func(r *store.Record) { r.AppID = "" }, `save 2026-11-01 of , daily: the app id is missing`},
		"no API":         {func(r *store.Record) { r.API = 2 }, `save 2026-11-01 of wx0123456789abcdef, unknown: unknown API`},
		"never asked":    {func(r *store.Record) { r.State.Status = store.NeverAsked }, `save 2026-11-01 of wx0123456789abcdef, daily: a day cannot become "never asked"`},
		"other figures":  {func(r *store.Record) { r.Hourly = &datacube.Hours{} }, `save 2026-11-01 of wx0123456789abcdef, daily: the figures are of the other API`},
		"other figures2": {func(r *store.Record) { r.API = datacube.Hourly }, `save 2026-11-01 of wx0123456789abcdef, hourly: the figures are of the other API`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := e.New(t)
			s := place.Open(t)
			bad := Daily(Shop, FirstDay, 1)
			test.spoil(&bad)
			_, err := s.Save(t.Context(), []store.Record{Daily(Bot, FirstDay, 1), bad})
			if err == nil || !strings.HasSuffix(err.Error(), ": "+test.want) || !strings.Contains(err.Error(), place.Name) {
				t.Errorf("got  %v\nwant …: %s", err, test.want)
			}
			if got := Load(t, s, 0); len(got) != 0 {
				t.Errorf("the good record was stored: %v", got)
			}
		})
	}
}

func testPrune(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		for day := range datacube.Date(4) {
			Save(t, s, Daily(Shop, FirstDay+day, 1), Hourly(Shop, FirstDay+day, datacube.Hours{1: {Callbacks: 1}, 2: {Callbacks: 2}}))
		}
		Save(t, s, Daily(Bot, FirstDay, 1))
		prune := func(before datacube.Date, want int64) {
			t.Helper()
			if got, err := s.Prune(t.Context(), before); err != nil || got != want {
				t.Errorf("before %v: deleted %d days, not %d: %v", before, got, want, err)
			}
		}
		prune(FirstDay, 0)
		prune(FirstDay+3, 7)
		prune(FirstDay+3, 0)
		s = reopen()
		got := Load(t, s, 0)
		if got[Shop].Daily.Date != FirstDay+3 || got[Shop].Hourly.Date != FirstDay+3 {
			t.Errorf("the latest days are %v and %v", got[Shop].Daily.Date, got[Shop].Hourly.Date)
		}
		for api := range datacube.APIs {
			if n := got[Shop].States[api].Len(); n != 1 || got[Shop].Days[api] != 1 {
				t.Errorf("%v: %d states, %d days known", api, n, got[Shop].Days[api])
			}
		}
		if b := got[Bot]; b != nil && (b.Daily != nil || b.Days[datacube.Daily] != 0) {
			t.Errorf("an account has data left: %+v", b)
		}
		prune(FirstDay+99, 2)
		if got := Load(t, s, 0)[Shop]; got != nil && (got.Daily != nil || got.Hourly != nil) {
			t.Errorf("figures are left: %+v", got)
		}
		// A deleted day that is saved again is not a revision.
		if got := Save(t, s, Daily(Shop, FirstDay, 77)); len(got) > 0 {
			t.Errorf("revised: %v", got)
		}
	})
}

func testLoadSinceTheBeginning(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	Save(t, s, Daily(Shop, datacube.FirstDate, 1))
	if got := Load(t, s, 0)[Shop]; got.States[datacube.Daily].Len() != 1 {
		t.Errorf("got %+v", got)
	}
}

// testRecordsOfOneDay: of several records of the same day in one Save, each replaces the one before.
func testRecordsOfOneDay(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	late := store.Record{AppID: Shop, API: datacube.Hourly, Date: FirstDay, State: store.State{Status: store.NotReady, Asks: 1, AskedAt: Asked()}}
	got := Save(t, s, late, Hourly(Shop, FirstDay, datacube.Hours{1: {Callbacks: 1}}), Hourly(Shop, FirstDay, datacube.Hours{2: {Callbacks: 2}}),
		Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay, 2))
	if len(got) != 2 || got[0].API != datacube.Hourly || got[0].Before.Callbacks != 1 || got[0].After.Callbacks != 2 ||
		got[1].API != datacube.Daily || got[1].Before.Callbacks != 1 || got[1].After.Callbacks != 2 {
		t.Errorf("revisions: %+v", got)
	}
	account := Load(t, s, FirstDay)[Shop]
	if account.Hourly.Hours != (datacube.Hours{2: {Callbacks: 2}}) || account.Daily.Figures.Callbacks != 2 || account.Days != [datacube.APIs]int64{1, 1} {
		t.Errorf("got %+v and %+v, of %v days", account.Hourly, account.Daily, account.Days)
	}
}
