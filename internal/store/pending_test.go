package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// pendingDay returns a day that is pending.
func pendingDay(mark store.Mark, date datacube.Date, api datacube.API) store.PendingDay {
	return store.PendingDay{Position: store.Position{Mark: mark, Date: date}, API: api}
}

// TestChoose: a daily day has 4 samples, and an hourly one 96. Those of both APIs at a position stay together.
func TestChoose(t *testing.T) {
	t.Parallel()
	from := store.Position{Mark: 2, Date: 5}
	everything := store.Progress{Position: store.Position{Mark: 9, Date: store.LastDate}, Resent: store.Resent{UpTo: store.LastDate, Mark: 8}}
	again := []store.PendingDay{pendingDay(0, 10, datacube.Daily), pendingDay(0, 11, datacube.Daily), pendingDay(0, 11, datacube.Hourly)}
	fresh := []store.PendingDay{pendingDay(3, 7, datacube.Daily), pendingDay(3, 7, datacube.Hourly), pendingDay(4, 6, datacube.Daily)}
	until := func(position store.Position, resent store.Resent) store.Progress {
		return store.Progress{Position: position, Resent: resent}
	}
	for _, c := range []struct {
		name   string
		limit  int
		spent  int // days of 4 samples before
		chosen int // of those to be sent again and the fresh ones
		passes bool
		more   bool
		done   store.Progress
	}{
		{"all", 208, 0, 6, true, false, everything},
		{"all but the last", 207, 0, 5, true, true, until(store.Position{Mark: 3, Date: 7}, everything.Resent)},
		{"one sample less than the first fresh ones have", 203, 0, 3, true, true, until(from, everything.Resent)},
		{"no room for fresh ones", 104, 0, 3, true, true, until(from, everything.Resent)},
		{"a day of both APIs does not fit", 103, 0, 1, false, true, until(from, store.Resent{UpTo: 10, Mark: 8})},
		{"the first one, although it exceeds the limit", 1, 0, 1, false, true, until(from, store.Resent{UpTo: 10, Mark: 8})},
		{"nothing, because something was taken before", 5, 1, 0, false, true, until(from, store.Resent{UpTo: 0, Mark: 8})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := store.NewBudget(c.limit)
			for n := range c.spent {
				b.Take([]store.PendingDay{pendingDay(1, datacube.Date(n), datacube.Daily)})
			}
			p := store.Pending{AppID: "wx1"}
			chosen, passes := b.Choose(&p, from, everything, again, fresh)
			all := append(append([]store.PendingDay{}, again...), fresh...)
			if diff := cmp.Diff(all[:c.chosen], append([]store.PendingDay{}, chosen...)); diff != "" || passes != c.passes {
				t.Errorf("passes days: %v; chosen (-want +got):\n%s", passes, diff)
			}
			if p.More != c.more || p.Done != c.done {
				t.Errorf("done %+v, more: %v; want %+v and %v", p.Done, p.More, c.done, c.more)
			}
			if len(again)+len(fresh) != len(all) || fresh[0] != pendingDay(3, 7, datacube.Daily) {
				t.Error("the days of the caller were changed")
			}
		})
	}
}

// TestMaxDays: so many days of an account are enough to spend what is left.
func TestMaxDays(t *testing.T) {
	t.Parallel()
	b := store.NewBudget(40)
	days := make([]store.PendingDay, b.MaxDays())
	for i := range days {
		days[i] = pendingDay(1, datacube.Date(i), datacube.Daily)
	}
	if taken := b.Take(days); taken != 10 || !b.Spent() || taken == len(days) {
		t.Errorf("%d of %d days were taken; spent: %v", taken, len(days), b.Spent())
	}
	if n := b.MaxDays(); n < 1 {
		t.Errorf("%d days suffice to find that there are more", n)
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	got := store.Dates([]store.PendingDay{
		pendingDay(0, 9, datacube.Hourly), pendingDay(1, 7, datacube.Daily), pendingDay(1, 9, datacube.Hourly),
		pendingDay(2, 5, datacube.Daily), pendingDay(3, 8, datacube.Hourly), pendingDay(4, 7, datacube.Daily),
	})
	var want [datacube.APIs][]datacube.Date
	want[datacube.Daily], want[datacube.Hourly] = []datacube.Date{5, 7}, []datacube.Date{8, 9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
