package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func testFigures(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		busy := datacube.Hours{0: {Callbacks: 7, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 300}, 23: {Callbacks: math.MaxInt64}}
		quietDay := Daily(Shop, FirstDay+2, 0)
		quietDay.Daily, quietDay.State.Empty = &datacube.Figures{}, true
		Save(t, s,
			Hourly(Shop, FirstDay+3, busy), Hourly(Shop, FirstDay, busy), Hourly(Shop, FirstDay+1, datacube.Hours{}), // not in order
			Daily(Shop, FirstDay, 8), quietDay,
			store.Record{AppID: Shop, API: datacube.Daily, Date: FirstDay + 1, State: store.State{Status: store.NotReady, AskedAt: Asked()}},
			store.Record{AppID: Shop, API: datacube.Hourly, Date: FirstDay + 2, State: store.State{Status: store.NotReady, AskedAt: Asked()}},
			Daily(Bot, FirstDay+1, 9))
		day := func(callbacks int64) datacube.Figures { return *Daily(Shop, FirstDay, callbacks).Daily }
		ReadFigures(t, reopen(), func(h *store.FigureReader) {
			if appIDs, err := h.Accounts(); err != nil || !slices.Equal(appIDs, []string{Shop, Bot}) {
				t.Errorf("accounts: %q, %v", appIDs, err)
			}
			days, hours := FiguresOf(t, h, Shop, BeforeAll, AfterAll)
			if diff := cmp.Diff([]datacube.Day{{Date: FirstDay, Figures: day(8)}, {Date: FirstDay + 2}}, days); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
			want := []datacube.HourlyDay{{Date: FirstDay, Hours: busy}, {Date: FirstDay + 1}, {Date: FirstDay + 3, Hours: busy}}
			if diff := cmp.Diff(want, hours); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
			days, hours = FiguresOf(t, h, Shop, FirstDay+1, FirstDay+2)
			if len(days) != 1 || days[0].Date != FirstDay+2 || len(hours) != 1 || hours[0].Date != FirstDay+1 {
				t.Errorf("the second and third day: %v and %v", days, hours)
			}
			days, hours = FiguresOf(t, h, Bot, BeforeAll, AfterAll)
			if len(days) != 1 || days[0].Figures != day(9) || len(hours) != 0 {
				t.Errorf("the other account has %v and %v", days, hours)
			}
			if days, hours = FiguresOf(t, h, "wxunknown", BeforeAll, AfterAll); len(days)+len(hours) > 0 {
				t.Errorf("an unknown account has %v and %v", days, hours)
			}
		})
	})
}

// testFiguresOfSeveralAccounts: the order is that of the query, and the caller may stop at any day.
func testFiguresOfSeveralAccounts(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	Save(t, s, Daily(Bot, FirstDay, 1), Daily(Bot, FirstDay+1, 2), Daily(Shop, FirstDay, 3), Daily("wxthird", FirstDay+9, 4))
	for _, c := range []struct {
		name  string
		query store.FigureQuery
		limit int
		want  []string
	}{
		{"all accounts", AllOf(datacube.Daily), 9, []string{Shop + " 0 3", Bot + " 0 1", Bot + " 1 2", "wxthird 9 4"}},
		{"the order of the query", AllOf(datacube.Daily, "wxthird", "wxunknown", Shop), 9, []string{"wxthird 9 4", Shop + " 0 3"}},
		{"no account", store.FigureQuery{Accounts: []string{}, From: BeforeAll, To: AfterAll}, 9, nil},
		{"the first day alone", store.FigureQuery{From: FirstDay, To: FirstDay}, 9, []string{Shop + " 0 3", Bot + " 0 1"}},
		{"the first two", AllOf(datacube.Daily), 2, []string{Shop + " 0 3", Bot + " 0 1"}},
		{"an API without figures", AllOf(datacube.Hourly), 9, nil},
	} {
		ReadFigures(t, s, func(r *store.FigureReader) {
			for range 2 { // the second time with prepared statements
				var got []string
				for day, err := range r.Figures(c.query) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprint(day.AppID, " ", int(day.Date-FirstDay), " ", day.Figures[0].Callbacks))
					if len(got) == c.limit {
						break
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.name, diff)
				}
			}
		})
	}
}

// testFiguresOneQueryAtATime: a second query would move the first one's cursors.
func testFiguresOneQueryAtATime(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	Save(t, s, Daily(Bot, FirstDay, 1), Daily(Shop, FirstDay, 3))
	ReadFigures(t, s, func(r *store.FigureReader) {
		days := 0
		for _, err := range r.Figures(AllOf(datacube.Daily)) {
			if err != nil {
				t.Fatal(err)
			}
			days++
			for _, err := range r.Figures(AllOf(datacube.Daily)) {
				if err == nil || !strings.Contains(err.Error(), "the previous query has not ended") {
					t.Errorf("a query within another: %v", err)
				}
			}
		}
		if days != 2 {
			t.Errorf("read %d days, want 2", days)
		}
	})
}

// testFiguresAreOfOneInstant: saves of others meanwhile are not visible, and do not wait.
func testFiguresAreOfOneInstant(t *testing.T, e Engine) {
	place := e.New(t)
	here, there := place.Open(t), place.Open(t)
	Save(t, here, Daily(Shop, FirstDay, 1), Daily(Bot, FirstDay, 1))
	reader := place.Open(t)
	ReadFigures(t, reader, func(h *store.FigureReader) {
		Save(t, there, Daily(Shop, FirstDay, 2), Daily(Shop, FirstDay+1, 2), Daily("wxnew", FirstDay, 2))
		Save(t, here, Daily(Bot, FirstDay, 3))
		for _, appID := range []string{Shop, Bot, "wxnew"} {
			days, _ := FiguresOf(t, h, appID, BeforeAll, AfterAll)
			if appID == "wxnew" && len(days) > 0 || appID != "wxnew" && (len(days) != 1 || days[0].Figures.Callbacks != 1) {
				t.Errorf("%s has %v", appID, days)
			}
		}
	})
	ReadFigures(t, reader, func(h *store.FigureReader) {
		if days, _ := FiguresOf(t, h, Shop, BeforeAll, AfterAll); len(days) != 2 || days[0].Figures.Callbacks != 2 {
			t.Errorf("afterwards there are %v", days)
		}
	})
}

func testReadFiguresReturnsTheReadersErrors(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	Save(t, s, Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay+1, 1), Hourly(Shop, FirstDay, datacube.Hours{}))
	full := errors.New("no space left")
	calls := 0
	for _, read := range []func(h *store.FigureReader) error{
		func(*store.FigureReader) error { calls++; return full },
		func(h *store.FigureReader) error {
			for range h.Figures(AllOf(datacube.Daily)) {
				calls++
				return full
			}
			return nil
		},
		func(h *store.FigureReader) error {
			for range h.Figures(AllOf(datacube.Hourly)) {
				calls++
				return full
			}
			return nil
		},
	} {
		if err := s.ReadFigures(t.Context(), read); err != full { //nolint:errorlint // it must be the same error
			t.Errorf("got %v, want %v", err, full)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	Save(t, s, Daily(Shop, FirstDay+2, 1)) // nothing holds the only connection
}

func testReadFiguresEndsWithTheContext(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		Save(t, s, Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay+1, 1))
		ctx, cancel := context.WithCancel(t.Context())
		days := 0
		err := s.ReadFigures(ctx, func(h *store.FigureReader) error {
			for _, err := range h.Figures(AllOf(datacube.Daily)) {
				if err != nil {
					return err
				}
				days++
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "read the figures") || days != 1 {
			t.Errorf("after %d days: %v", days, err)
		}
		if err := s.ReadFigures(ctx, func(*store.FigureReader) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("started after the end: %v", err)
		}
	})
}

// testKnownDays: the days come with the time at which they became known, the latest first.
func testKnownDays(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	later := Hourly(Shop, FirstDay+1, datacube.Hours{})
	later.State.KnownAt = Asked().Add(24 * time.Hour)
	Save(t, s, Hourly(Shop, FirstDay, datacube.Hours{}), later, Hourly(Shop, FirstDay+3, datacube.Hours{}), Daily(Shop, FirstDay+1, 1), Hourly(Bot, FirstDay+1, datacube.Hours{}),
		store.Record{AppID: Shop, API: datacube.Hourly, Date: FirstDay + 2, State: store.State{Status: store.NotReady, AskedAt: Asked()}})
	read := func(most int, appIDs ...string) []string {
		t.Helper()
		var got []string
		of := make(map[string]int)
		err := s.KnownDays(t.Context(), datacube.Hourly, appIDs, FirstDay+2, func(appID string, date datacube.Date, knownAt time.Time) bool {
			got = append(got, fmt.Sprint(appID, date, knownAt.Sub(Asked())))
			of[appID]++
			return of[appID] < most
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	second, first := fmt.Sprint(Shop, FirstDay+1, 24*time.Hour), fmt.Sprint(Shop, FirstDay, time.Duration(0))
	bot := fmt.Sprint(Bot, FirstDay+1, time.Duration(0))
	for _, c := range []struct {
		most   int
		appIDs []string
		want   []string
	}{
		{9, []string{Shop}, []string{second, first}},
		{1, []string{Shop}, []string{second}},
		{9, []string{"wxunknown"}, nil},
		{9, nil, nil},
		{9, []string{Bot, "wxunknown", Shop}, []string{bot, second, first}},
		{1, []string{Shop, Bot}, []string{second, bot}},
	} {
		if got := read(c.most, c.appIDs...); !slices.Equal(got, c.want) {
			t.Errorf("%d of %q: got %q, want %q", c.most, c.appIDs, got, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.KnownDays(ctx, datacube.Hourly, []string{Shop}, AfterAll, func(string, datacube.Date, time.Time) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// testFiguresOfManyAccounts reads the days of many accounts, in an order of the caller's, with spans of all lengths.
func testFiguresOfManyAccounts(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	random := rand.New(rand.NewPCG(3, 7))
	const accounts, days = 130, 25
	var records []store.Record
	want := map[string][]datacube.Date{}
	var appIDs []string
	for _, n := range random.Perm(accounts) {
		appIDs = append(appIDs, AppID(n))
		for date := FirstDay; date < FirstDay+days; date++ {
			if n%7 == 0 || random.IntN(3) == 0 {
				continue // some accounts have no day at all
			}
			records = append(records, Daily(AppID(n), date, int64(n)<<16+int64(date)))
			want[AppID(n)] = append(want[AppID(n)], date)
		}
	}
	Save(t, s, records...)
	appIDs = append(appIDs, "wxunknown", appIDs[3])
	for _, span := range []datacube.Date{1, 2, 10, days, 3000} {
		q := store.FigureQuery{API: datacube.Daily, Accounts: appIDs, From: FirstDay + 1, To: FirstDay + span}
		var expected, got []string
		for _, appID := range appIDs {
			for _, date := range want[appID] {
				if q.From <= date && date <= q.To {
					expected = append(expected, appID+" "+date.String())
				}
			}
		}
		ReadFigures(t, s, func(r *store.FigureReader) {
			for day, err := range r.Figures(q) {
				if err != nil {
					t.Fatal(err)
				}
				if n := day.Figures[0].Callbacks; AppID(int(n>>16)) != day.AppID || datacube.Date(n&0xffff) != day.Date {
					t.Fatalf("%s on %v has the figures of another day", day.AppID, day.Date)
				}
				got = append(got, day.AppID+" "+day.Date.String())
			}
		})
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("%d days (-want +got):\n%s", span, diff)
		}
	}
}

// testFiguresOfManyYears reads more days of an account than a query returns at once.
func testFiguresOfManyYears(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	const days = 4100
	var records []store.Record
	for date := FirstDay; date > FirstDay-days; date-- {
		records = append(records, Daily(Shop, date, int64(date)))
	}
	Save(t, s, append(records, Daily(Bot, FirstDay, 7))...)
	ReadFigures(t, s, func(r *store.FigureReader) {
		next := FirstDay - days + 1
		for day, err := range r.Figures(AllOf(datacube.Daily)) {
			if err != nil {
				t.Fatal(err)
			}
			if day.AppID == Shop && (day.Date != next || day.Figures[0].Callbacks != int64(next)) {
				t.Fatalf("%v with %d callbacks, want %v", day.Date, day.Figures[0].Callbacks, next)
			}
			next++
		}
		if next != FirstDay+2 {
			t.Errorf("the last day was %v", next-1)
		}
	})
}
