package weixintest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// truth returns a server with one account, for tests of the figures.
func truth(seed uint64, a weixintest.Account) *weixintest.Server {
	return weixintest.New(weixintest.Options{
		Seed: seed, Accounts: []weixintest.Account{a}, Now: func() time.Time { return time.Unix(0, 0) },
	})
}

func TestFiguresAreAFunctionOfSeedAccountAndDate(t *testing.T) {
	t.Parallel()
	monday := day(t, "2026-11-16")
	a := weixintest.Account{AppID: shop, CallbacksPerDay: 20_000}
	first := truth(42, a)
	hours := first.Hours(shop, monday)
	golden := map[int]datacube.Figures{
		3:  {Callbacks: 28, Failures: 0, TimeCostMillis: 5_327, MaxTimeCostMillis: 569},
		9:  {Callbacks: 1_014, Failures: 1, TimeCostMillis: 187_129, MaxTimeCostMillis: 2_575},
		20: {Callbacks: 1_695, Failures: 2, TimeCostMillis: 324_284, MaxTimeCostMillis: 834},
	}
	for hour, want := range golden {
		if got := first.Figures(shop, monday, hour); got != want || got != hours[hour] {
			t.Errorf("hour %d: %+v, want %+v", hour, got, want)
		}
	}
	_ = first.Hours(shop, monday+1) // requesting another day changes nothing
	if diff := cmp.Diff(hours, first.Hours(shop, monday)); diff != "" {
		t.Errorf("the same day twice (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(hours, truth(42, a).Hours(shop, monday)); diff != "" {
		t.Errorf("another server with the same seed (-first +second):\n%s", diff)
	}
	if hours == truth(43, a).Hours(shop, monday) {
		t.Error("another seed gives the same figures")
	}
	if hours == first.Hours(shop, monday+1) {
		t.Error("another day has the same figures")
	}
	other := weixintest.Account{AppID: bot, CallbacksPerDay: 20_000}
	if hours == truth(42, other).Hours(bot, monday) {
		t.Error("another account has the same figures")
	}
}

func TestFiguresAreAlwaysPossible(t *testing.T) {
	t.Parallel()
	first := day(t, "2026-01-01")
	for _, size := range []int64{0, 1, 7, 60, 900, 20_000, 1_000_000, 50_000_000} {
		for seed := range uint64(6) {
			app := fmt.Sprintf("wx%016d", size)
			s := truth(seed, weixintest.Account{
				AppID: app, CallbacksPerDay: size, Incidents: []datacube.Date{first, first + 10},
			})
			for date := first; date < first+60; date++ {
				for hour, f := range s.Hours(app, date) {
					if !possible(f) {
						t.Fatalf("size %d, seed %d, %s hour %d: %+v", size, seed, date, hour, f)
					}
				}
				if d := s.Day(app, date); !possible(d) || size == 0 && d != (datacube.Figures{}) {
					t.Fatalf("size %d, seed %d, %s: %+v", size, seed, date, d)
				}
			}
		}
	}
}

func possible(f datacube.Figures) bool {
	return f.Failures >= 0 && f.Failures <= f.Callbacks &&
		f.MaxTimeCostMillis <= f.TimeCostMillis && f.TimeCostMillis <= f.Callbacks*f.MaxTimeCostMillis &&
		f.MaxTimeCostMillis <= 5010 && (f.Callbacks == 0) == (f.TimeCostMillis == 0)
}

func TestAnOrdinaryDayIsPlausible(t *testing.T) {
	t.Parallel()
	s := weixintest.New(weixintest.Options{
		Seed: 5, Accounts: manyAccounts(20, 100_000), Now: func() time.Time { return time.Unix(0, 0) },
	})
	first := day(t, "2026-09-07") // a Monday
	var all mean
	var night, morning, evening float64
	for _, a := range manyAccounts(20, 100_000) {
		var weekday, weekend mean
		for date := first; date < first+70; date++ {
			d := s.Day(a.AppID, date)
			if incident(d) {
				continue
			}
			average := float64(d.TimeCostMillis) / float64(d.Callbacks)
			if average < 30 || average > 350 {
				t.Errorf("%s %s: a callback takes %.0f ms on average", a.AppID, date, average)
			}
			if share := float64(d.Failures) / float64(d.Callbacks); share > 0.004 {
				t.Errorf("%s %s: %.4f of the callbacks failed", a.AppID, date, share)
			}
			if (date-first)%7 >= 5 {
				weekend.add(d.Callbacks)
				continue
			}
			weekday.add(d.Callbacks)
			hours := s.Hours(a.AppID, date)
			all.add(d.Callbacks)
			night += float64(hours[3].Callbacks + hours[4].Callbacks)
			morning += float64(hours[9].Callbacks + hours[10].Callbacks)
			evening += float64(hours[20].Callbacks + hours[21].Callbacks)
		}
		if ratio := weekend.value() / weekday.value(); ratio > 0.9 && ratio < 1.1 {
			t.Errorf("%s: weekends are %.2f of weekdays, want them to differ", a.AppID, ratio)
		}
	}
	if m := all.value(); m < 98_000 || m > 102_000 {
		t.Errorf("%.0f callbacks on a weekday on average, want 100000", m)
	}
	if night*15 > morning || morning*1.1 > evening {
		t.Errorf("night %.0f, morning %.0f, evening %.0f: want few, many, most", night, morning, evening)
	}
}

type mean struct{ sum, n float64 }

func (m *mean) add(callbacks int64) { m.sum, m.n = m.sum+float64(callbacks), m.n+1 }

func (m *mean) value() float64 { return m.sum / m.n }

func manyAccounts(n int, size int64) []weixintest.Account {
	accounts := make([]weixintest.Account, n)
	for i := range accounts {
		accounts[i] = weixintest.Account{AppID: fmt.Sprintf("wx%016d", i), CallbacksPerDay: size}
	}
	return accounts
}

// incident reports whether there are callbacks at the limit of five seconds.
func incident(f datacube.Figures) bool { return f.MaxTimeCostMillis > 4900 }

func TestIncidents(t *testing.T) {
	t.Parallel()
	first := day(t, "2026-06-01")
	var asked []datacube.Date
	for i := range datacube.Date(20) {
		asked = append(asked, first+10*i)
	}
	for _, size := range []int64{3, 500, 2_000_000} {
		s := truth(9, weixintest.Account{AppID: shop, CallbacksPerDay: size, Incidents: asked})
		found := 0
		for date := first; date < first+200; date++ {
			day := s.Day(shop, date)
			if !incident(day) {
				if (date-first)%10 == 0 {
					t.Errorf("size %d: no incident on %s, which is configured", size, date)
				}
				continue
			}
			found++
			checkIncident(t, s.Hours(shop, date))
		}
		if found < 22 || found > 45 {
			t.Errorf("size %d: %d incidents in 200 days, want 20 and one in about 20 of the other days", size, found)
		}
	}
}

func checkIncident(t *testing.T, hours datacube.Hours) {
	t.Helper()
	first, n := -1, 0
	for hour, f := range hours {
		if !incident(f) {
			continue
		}
		if first < 0 {
			first = hour
		}
		n++
		share := float64(f.Failures) / float64(f.Callbacks)
		if share < 0.2 || share > 0.6 {
			t.Errorf("hour %d: %.2f of the callbacks failed, want 0.2 to 0.6", hour, share)
		}
		if average := f.TimeCostMillis / f.Callbacks; average < 800 {
			t.Errorf("hour %d: a callback takes %d ms on average, want much more than usual", hour, average)
		}
		if hour < 9 || hour > 22 || hour != first+n-1 {
			t.Errorf("hour %d belongs to an incident that began at %d: want one period by day", hour, first)
		}
	}
	if n != 2 && n != 3 {
		t.Errorf("an incident of %d hours, want 2 or 3", n)
	}
}

func TestSmallAccountsHaveHoursWithoutTraffic(t *testing.T) {
	t.Parallel()
	s := truth(1, weixintest.Account{AppID: bot, CallbacksPerDay: 40})
	empty, some := 0, 0
	for date := day(t, "2026-06-01"); date < day(t, "2026-07-01"); date++ {
		for _, f := range s.Hours(bot, date) {
			if f == (datacube.Figures{}) {
				empty++
			} else {
				some++
			}
		}
	}
	if empty < 100 || some < 100 {
		t.Errorf("%d hours without and %d with traffic, want many of both", empty, some)
	}
}

func TestReviseChangesTheTruth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3})
	date := day(t, yesterday)
	before, neighbour := w.Day(shop, date), w.Day(shop, date-1)
	old := w.Figures(shop, date, 14)
	revised := datacube.Figures{Callbacks: old.Callbacks + 10, Failures: old.Failures, TimeCostMillis: old.TimeCostMillis + 7, MaxTimeCostMillis: 4_999}
	w.Revise(shop, date, 14, revised)
	w.Revise(shop, date, 15, datacube.Figures{})

	if got := w.Figures(shop, date, 14); got != revised {
		t.Errorf("Figures %+v, want %+v", got, revised)
	}
	gone := w.Figures(shop, date, 15)
	if gone != (datacube.Figures{}) {
		t.Errorf("an hour revised to no traffic has %+v", gone)
	}
	r := w.hourly(w.token(shop), yesterday)
	w.wantCode("hourly", r, 0)
	seen := false
	for _, row := range *r.List {
		switch *row.RefHour {
		case 1400:
			seen = row.figures() == revised
		case 1500:
			t.Error("the hour without traffic has a row")
		}
	}
	if !seen {
		t.Error("the hourly call does not return the revised figures")
	}
	r = w.daily(w.token(shop), yesterday, yesterday)
	if got := (*r.List)[0].figures(); got != w.Day(shop, date) || got == before || got.MaxTimeCostMillis != 4_999 {
		t.Errorf("the daily call returns %+v after the revision, %+v before", got, before)
	}
	if w.Day(shop, date-1) != neighbour {
		t.Error("the revision changed another day")
	}
}

func TestTruthOfNothing(t *testing.T) {
	t.Parallel()
	s := truth(1, weixintest.Account{AppID: shop, CallbacksPerDay: 1000})
	date := day(t, yesterday)
	for name, f := range map[string]datacube.Figures{
		"unknown account": s.Day("wx9", date),
		"hour -1":         s.Figures(shop, date, -1),
		"hour 24":         s.Figures(shop, date, 24),
	} {
		if f != (datacube.Figures{}) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestMistakesOfTheCallerPanic(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(0, 0) }
	for name, f := range map[string]func(){
		"no clock": func() { weixintest.New(weixintest.Options{}) },
		"the same app id twice": func() {
			weixintest.New(weixintest.Options{Now: now, Accounts: []weixintest.Account{{AppID: shop}, {AppID: shop}}})
		},
		"hour 24": func() { truth(1, weixintest.Account{AppID: shop}).Revise(shop, 0, 24, datacube.Figures{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func BenchmarkNewWithTenThousandAccounts(b *testing.B) {
	o := weixintest.Options{Accounts: manyAccounts(10_000, 1000), Now: func() time.Time { return time.Unix(0, 0) }}
	for b.Loop() {
		weixintest.New(o)
	}
}

func BenchmarkHoursOfFiftyMillionCallbacks(b *testing.B) {
	s := truth(1, weixintest.Account{AppID: shop, CallbacksPerDay: 50_000_000})
	for b.Loop() {
		s.Hours(shop, datacube.FirstDate)
	}
}
