package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const endpoint = "http://receiver.test/write"

func undelivered(t *testing.T, s store.Store) []string {
	t.Helper()
	appIDs, err := s.Undelivered(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(appIDs)
	return appIDs
}

func pendingOf(t *testing.T, s store.Store, since datacube.Date, limit int, appIDs ...string) []store.Pending {
	t.Helper()
	dues, err := s.ReadPending(t.Context(), endpoint, since, limit, appIDs...)
	if err != nil {
		t.Fatal(err)
	}
	return dues
}

func deliver(t *testing.T, s store.Store, dues ...store.Pending) {
	t.Helper()
	if err := s.MarkDelivered(t.Context(), endpoint, Asked(), dues...); err != nil {
		t.Fatal(err)
	}
}

func countPending(t *testing.T, s store.Store, since datacube.Date) map[string][datacube.APIs]int64 {
	t.Helper()
	counts, err := s.CountPending(t.Context(), endpoint, since)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func testDelivery(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		if got := undelivered(t, s); len(got) > 0 {
			t.Fatalf("an empty store has %q", got)
		}
		if got := pendingOf(t, s, FirstDay, 100, Shop); len(got) != 1 || len(got[0].Daily) > 0 || got[0].More {
			t.Errorf("an unknown account: %+v", got)
		}
		if at, err := s.LastDelivery(t.Context(), endpoint); err != nil || !at.IsZero() {
			t.Errorf("the last delivery was at %v: %v", at, err)
		}
		var hours datacube.Hours
		hours[7] = datacube.Figures{Callbacks: 3}
		Save(t, s, Daily(Shop, FirstDay+1, 5), Daily(Shop, FirstDay, 4), Hourly(Shop, FirstDay, hours), Daily(Bot, FirstDay-9, 1))
		Save(t, s, store.Record{AppID: Bot, API: datacube.Daily, Date: FirstDay, State: store.State{Status: store.NotReady, AskedAt: Asked()}})
		if got := undelivered(t, s); !slices.Equal(got, []string{Shop, Bot}) {
			t.Errorf("undelivered: %q", got)
		}
		want := map[string][datacube.APIs]int64{Shop: {2, 1}}
		if diff := cmp.Diff(want, countPending(t, s, FirstDay)); diff != "" {
			t.Errorf("counts differ (-want +got):\n%s", diff)
		}
		got := pendingOf(t, s, FirstDay, 1000, Shop, Bot)
		if len(got) != 2 || got[0].More || got[1].More {
			t.Fatalf("pending: %+v", got)
		}
		if d := got[0].Daily; len(d) != 2 || d[0].Date != FirstDay || d[0].Figures.Callbacks != 4 || d[1].Figures.Callbacks != 5 {
			t.Errorf("daily: %+v", d)
		}
		if d := got[0].Hourly; len(d) != 1 || d[0].Date != FirstDay || d[0].Hours != hours {
			t.Errorf("hourly: %+v", d)
		}
		if got[0].TooOld != [datacube.APIs]int64{} || got[1].TooOld != [datacube.APIs]int64{1, 0} || len(got[1].Daily) > 0 {
			t.Errorf("too old: %+v", got)
		}
		deliver(t, s, got...)
		s = reopen()
		if got := undelivered(t, s); len(got) > 0 {
			t.Errorf("still undelivered: %q", got)
		}
		if at, err := s.LastDelivery(t.Context(), endpoint); err != nil || !at.Equal(Asked()) {
			t.Errorf("the last delivery was at %v: %v", at, err)
		}
		if got, err := s.Undelivered(t.Context(), "another"); err != nil || len(got) != 2 {
			t.Errorf("another endpoint lacks %q: %v", got, err)
		}
		// The same figures again are not new, different ones are, and so is a day without traffic.
		Save(t, s, Daily(Shop, FirstDay, 4))
		if got := pendingOf(t, s, FirstDay, 1000, Shop); len(got) != 1 || len(got[0].Daily) > 0 || got[0].More {
			t.Errorf("nothing new, but pending: %+v", got)
		}
		Save(t, s, Daily(Shop, FirstDay, 9))
		Save(t, s, store.Record{AppID: Shop, API: datacube.Hourly, Date: FirstDay + 2, State: Known(), Hourly: &datacube.Hours{}})
		got = pendingOf(t, s, FirstDay, 1000, Shop)
		if len(got) != 1 || len(got[0].Daily) != 1 || got[0].Daily[0].Figures.Callbacks != 9 || len(got[0].Hourly) != 1 || got[0].Hourly[0].Hours != (datacube.Hours{}) {
			t.Errorf("pending after a revision: %+v", got)
		}
	})
}

// testPendingDaysApart: days that are close together are read by one query, and those between them are left out.
func testPendingDaysApart(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	const days = 60
	revise := func(callbacks int64, dates ...datacube.Date) {
		t.Helper()
		var records []store.Record
		for _, date := range dates {
			records = append(records, Daily(Shop, FirstDay+date, callbacks), Hourly(Shop, FirstDay+date, datacube.Hours{4: {Callbacks: callbacks}}))
		}
		Save(t, s, records...)
	}
	var all []datacube.Date
	for date := range datacube.Date(days) {
		all = append(all, date)
	}
	revise(1, all...)
	deliver(t, s, pendingOf(t, s, FirstDay, 1_000_000, Shop)...)
	want := []datacube.Date{0, 1, 3, 6, 10, 30, 59}
	revise(2, 59, 0, 10, 3, 30, 6, 1)
	got := pendingOf(t, s, FirstDay, 1_000_000, Shop)
	if len(got) != 1 || len(got[0].Daily) != len(want) || len(got[0].Hourly) != len(want) {
		t.Fatalf("pending: %+v", got)
	}
	for i, date := range want {
		if d := got[0].Daily[i]; d.Date != FirstDay+date || d.Figures.Callbacks != 2 {
			t.Errorf("daily: got %+v, want day %d", d, date)
		}
		if d := got[0].Hourly[i]; d.Date != FirstDay+date || d.Hours != (datacube.Hours{4: {Callbacks: 2}}) {
			t.Errorf("hourly: got %+v, want day %d", d, date)
		}
	}
}

// Each change is returned once, however the days are saved and in whatever portions they are read.
func testPendingInPortions(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		accounts := []string{fmt.Sprint(Shop, seed), fmt.Sprint(Bot, seed)}
		const since = FirstDay + 2
		want := map[string]int64{} // the figure that was saved last
		change := func() {
			var records []store.Record
			for range 1 + random.IntN(8) {
				appID, date, n := accounts[random.IntN(2)], FirstDay+datacube.Date(random.IntN(9)), 1+random.Int64N(1e9)
				record, api := Daily(appID, date, n), "daily"
				if random.IntN(2) == 0 {
					record, api = Hourly(appID, date, datacube.Hours{3: {Callbacks: n}}), "hourly"
				}
				records = append(records, record)
				if date >= since {
					want[appID+date.String()+api] = n
				}
			}
			Save(t, s, records...)
		}
		got := map[string]int64{}
		take := func(limit int) bool {
			appIDs := undelivered(t, s)
			if len(appIDs) == 0 {
				return false
			}
			dues := pendingOf(t, s, since, limit, appIDs...)
			if len(dues) == 0 {
				t.Fatal("accounts are undelivered, but no days are pending")
			}
			samples := 0
			for i, d := range dues {
				if d.More && i < len(dues)-1 {
					t.Fatal("an account in the middle has more")
				}
				for _, day := range d.Daily {
					got[d.AppID+day.Date.String()+"daily"] = day.Figures.Callbacks
					samples += 4
				}
				for _, day := range d.Hourly {
					got[d.AppID+day.Date.String()+"hourly"] = day.Hours[3].Callbacks
					samples += 96
				}
			}
			if samples > max(limit, 100) {
				t.Fatalf("%d samples within a limit of %d", samples, limit)
			}
			deliver(t, s, dues...)
			return true
		}
		for range 20 {
			change()
			take(1 + random.IntN(400))
		}
		for range 1000 {
			if !take(1 + random.IntN(400)) {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d: differs (-saved +pending):\n%s", seed, diff)
		}
	}
}

// testDeliveryMovesForward: what one process records does not undo what another one has recorded before.
func testDeliveryMovesForward(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		Save(t, s, Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay+1, 2))
		part := pendingOf(t, s, FirstDay, 4, Shop)
		if len(part) != 1 || len(part[0].Daily) != 1 || !part[0].More {
			t.Fatalf("pending: %+v", part)
		}
		whole := pendingOf(t, s, FirstDay, 1000, Shop)
		Save(t, s, Daily(Shop, FirstDay+2, 3))
		for _, late := range [][]store.Pending{whole, part, whole} {
			deliver(t, s, late...)
			got := pendingOf(t, s, FirstDay, 1000, Shop)
			if len(got) != 1 || len(got[0].Daily) != 1 || got[0].Daily[0].Date != FirstDay+2 {
				t.Errorf("pending: %+v", got)
			}
		}
		deliver(t, s, pendingOf(t, s, FirstDay, 1000, Shop)...)
		deliver(t, s, whole...)
		if got := undelivered(t, s); len(got) > 0 {
			t.Errorf("undelivered again: %q", got)
		}
	})
}

// testDeliveryOfALaterState: what was read before the store went back to an earlier state is not recorded, since its marks
// are those of other days by then.
func testDeliveryOfALaterState(t *testing.T, e Engine) {
	earlier := func() store.Store { // a backup, or a standby that lags behind
		s := e.New(t).Open(t)
		Save(t, s, Daily(Shop, FirstDay, 1), Daily(Bot, FirstDay, 1))
		deliver(t, s, pendingOf(t, s, FirstDay, 1000, Shop, Bot)...)
		return s
	}
	before, after := earlier(), earlier()
	resend(t, before, 1, FirstDay, FirstDay, Shop)
	for date := FirstDay + 1; date < FirstDay+5; date++ {
		Save(t, before, Daily(Shop, date, 1))
	}
	resend(t, before, 1, FirstDay, FirstDay, Bot)
	sent := pendingOf(t, before, FirstDay, 1000, Shop, Bot)
	if dates := datesOf(sent); len(dates) != 2 || len(dates[0]) != 5 || len(dates[1]) != 1 {
		t.Fatalf("pending before: %v", dates)
	}
	resend(t, after, 1, FirstDay, FirstDay, Shop)
	resend(t, after, 1, FirstDay, FirstDay, Bot)
	deliver(t, after, sent...)
	for date := FirstDay + 1; date < FirstDay+5; date++ {
		Save(t, after, Daily(Shop, date, 2))
	}
	if got := countPending(t, after, FirstDay); got[Shop] != [datacube.APIs]int64{5} || got[Bot] != [datacube.APIs]int64{1} {
		t.Errorf("counted: %v", got)
	}
	got := pendingOf(t, after, FirstDay, 1000, Shop, Bot)
	if dates := datesOf(got); len(dates) != 2 || len(dates[0]) != 5 || len(dates[1]) != 1 {
		t.Errorf("pending: %v", dates)
	}
	deliver(t, after, got...)
	if got := undelivered(t, after); len(got) > 0 {
		t.Errorf("undelivered: %q", got)
	}
}

func testDeliveryFails(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"undelivered": func() error { _, err := s.Undelivered(ctx, endpoint); return err },
		"due":         func() error { _, err := s.ReadPending(ctx, endpoint, FirstDay, 1, Shop); return err },
		"count":       func() error { _, err := s.CountPending(ctx, endpoint, FirstDay); return err },
		"delivered":   func() error { return s.MarkDelivered(ctx, endpoint, time.Time{}) },
		"last":        func() error { _, err := s.LastDelivery(ctx, endpoint); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s does not fail", name)
		}
	}
}
