package sqlite_test

import (
	"slices"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
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

func resend(t *testing.T, s *sqlite.Store, want int64, since, until datacube.Date, appIDs ...string) {
	t.Helper()
	if got, err := s.Resend(t.Context(), endpoint, since, until, appIDs...); err != nil || got != want {
		t.Fatalf("%d days are scheduled to be sent again, want %d: %v", got, want, err)
	}
}

// Delivered days are pending again after Resend, and new days as usual.
func TestResend(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		var hours datacube.Hours
		save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 2), hourly(shop, firstDay+1, hours), daily(shop, firstDay+2, 3), daily(bot, firstDay+1, 4))
		resend(t, s, 0, firstDay, firstDay+9, shop, bot) // nothing was sent yet
		deliver(t, s, pendingOf(t, s, firstDay, 1000, shop, bot)...)
		if got := undelivered(t, s); len(got) > 0 {
			t.Fatalf("undelivered: %q", got)
		}
		_, before, err := s.Changed(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		resend(t, s, 2, firstDay+1, firstDay+9, shop)
		if _, after, err := s.Changed(t.Context(), before); err != nil || after == before {
			t.Errorf("the mark is still %d: %v", after, err)
		}
		s = reopen()
		save(t, s, daily(shop, firstDay+2, 33), daily(shop, firstDay+3, 5))
		if got := undelivered(t, s); !slices.Equal(got, []string{shop}) {
			t.Errorf("undelivered: %q", got)
		}
		if got := countPending(t, s, firstDay)[shop]; got != [datacube.APIs]int64{3, 1} {
			t.Errorf("pending: %v", got)
		}
		got := pendingOf(t, s, firstDay, 1000, shop)
		if dates := datesOf(got); len(dates) != 1 || !slices.Equal(dates[0], []datacube.Date{firstDay + 1, firstDay + 2, firstDay + 3, firstDay + 1}) {
			t.Errorf("pending: %v", dates)
		}
		// Days scheduled again meanwhile are not marked as delivered.
		resend(t, s, 2, firstDay, firstDay+1, shop)
		deliver(t, s, got...)
		if dates := datesOf(pendingOf(t, s, firstDay, 1000, shop)); len(dates) != 1 || !slices.Equal(dates[0], []datacube.Date{firstDay, firstDay + 1, firstDay + 1}) {
			t.Errorf("pending: %v", dates)
		}
		deliver(t, s, pendingOf(t, s, firstDay, 1000, shop)...)
		if got := undelivered(t, s); len(got) > 0 {
			t.Errorf("undelivered: %q", got)
		}
	})
}

// Many days are returned in parts, each once; those that have become too old are dropped.
func TestResendInParts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		var hours datacube.Hours
		var records []store.Record
		for date := firstDay; date < firstDay+10; date++ {
			records = append(records, daily(shop, date, 1), hourly(shop, date, hours))
		}
		save(t, s, records...)
		deliver(t, s, pendingOf(t, s, firstDay, 100_000, shop)...)
		resend(t, s, 10, firstDay, firstDay+20, shop)
		save(t, s, daily(shop, firstDay+10, 1))
		seen := map[datacube.Date]int{}
		for range 20 {
			dues := pendingOf(t, s, firstDay+2, 250, shop)
			for _, date := range datesOf(dues)[0] {
				seen[date]++
			}
			deliver(t, s, dues...)
			if !dues[0].More {
				break
			}
		}
		for date := firstDay; date <= firstDay+10; date++ {
			want := 2
			switch {
			case date < firstDay+2:
				want = 0
			case date == firstDay+10:
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
