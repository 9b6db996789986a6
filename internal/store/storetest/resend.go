package storetest

import (
	"slices"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// datesOf returns the dates of pending days, of both APIs.
func datesOf(dues []store.Pending) [][]datacube.Date {
	var all [][]datacube.Date
	for _, d := range dues {
		var dates []datacube.Date
		for _, day := range d.Daily {
			dates = append(dates, day.Date)
		}
		for _, day := range d.Hourly {
			dates = append(dates, day.Date)
		}
		all = append(all, dates)
	}
	return all
}

func resend(t *testing.T, s store.Store, want int64, since, until datacube.Date, appIDs ...string) {
	t.Helper()
	if got, err := s.Resend(t.Context(), endpoint, since, until, appIDs...); err != nil || got != want {
		t.Fatalf("%d days are scheduled to be sent again, want %d: %v", got, want, err)
	}
}

// Delivered days are pending again after Resend, and new days as usual.
func testResend(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		var hours datacube.Hours
		Save(t, s, Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay+1, 2), Hourly(Shop, FirstDay+1, hours), Daily(Shop, FirstDay+2, 3), Daily(Bot, FirstDay+1, 4))
		resend(t, s, 0, FirstDay, FirstDay+9, Shop, Bot) // nothing was sent yet
		deliver(t, s, pendingOf(t, s, FirstDay, 1000, Shop, Bot)...)
		if got := undelivered(t, s); len(got) > 0 {
			t.Fatalf("undelivered: %q", got)
		}
		_, before, err := s.Changed(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		resend(t, s, 2, FirstDay+1, FirstDay+9, Shop)
		if _, after, err := s.Changed(t.Context(), before); err != nil || after == before {
			t.Errorf("the mark is still %d: %v", after, err)
		}
		s = reopen()
		Save(t, s, Daily(Shop, FirstDay+2, 33), Daily(Shop, FirstDay+3, 5))
		if got := undelivered(t, s); !slices.Equal(got, []string{Shop}) {
			t.Errorf("undelivered: %q", got)
		}
		if got := countPending(t, s, FirstDay)[Shop]; got != [datacube.APIs]int64{3, 1} {
			t.Errorf("pending: %v", got)
		}
		got := pendingOf(t, s, FirstDay, 1000, Shop)
		if dates := datesOf(got); len(dates) != 1 || !slices.Equal(dates[0], []datacube.Date{FirstDay + 1, FirstDay + 2, FirstDay + 3, FirstDay + 1}) {
			t.Errorf("pending: %v", dates)
		}
		// Days scheduled again meanwhile are not marked as delivered.
		resend(t, s, 2, FirstDay, FirstDay+1, Shop)
		deliver(t, s, got...)
		if dates := datesOf(pendingOf(t, s, FirstDay, 1000, Shop)); len(dates) != 1 || !slices.Equal(dates[0], []datacube.Date{FirstDay, FirstDay + 1, FirstDay + 1}) {
			t.Errorf("pending: %v", dates)
		}
		deliver(t, s, pendingOf(t, s, FirstDay, 1000, Shop)...)
		if got := undelivered(t, s); len(got) > 0 {
			t.Errorf("undelivered: %q", got)
		}
	})
}

// Many days are returned in parts, each once; those that have become too old are dropped.
func testResendInParts(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, _ func() store.Store) {
		var hours datacube.Hours
		var records []store.Record
		for date := FirstDay; date < FirstDay+10; date++ {
			records = append(records, Daily(Shop, date, 1), Hourly(Shop, date, hours))
		}
		Save(t, s, records...)
		deliver(t, s, pendingOf(t, s, FirstDay, 100_000, Shop)...)
		resend(t, s, 10, FirstDay, FirstDay+20, Shop)
		Save(t, s, Daily(Shop, FirstDay+10, 1))
		seen := map[datacube.Date]int{}
		for range 20 {
			dues := pendingOf(t, s, FirstDay+2, 250, Shop)
			for _, date := range datesOf(dues)[0] {
				seen[date]++
			}
			deliver(t, s, dues...)
			if !dues[0].More {
				break
			}
		}
		for date := FirstDay; date <= FirstDay+10; date++ {
			want := 2
			switch {
			case date < FirstDay+2:
				want = 0
			case date == FirstDay+10:
				want = 1
			}
			if seen[date] != want {
				t.Errorf("%v was returned %d times, want %d", date, seen[date], want)
			}
		}
		if got := undelivered(t, s); len(got) > 0 {
			t.Errorf("undelivered: %q", got)
		}
	})
}
