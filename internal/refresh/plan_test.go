package refresh_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// china parses a time in China, "2026-03-10 08:00".
func china(t *testing.T, text string) time.Time {
	t.Helper()
	layout := "2006-01-02 15:04:05"
	at, err := time.ParseInLocation(layout[:len(text)], text, datacube.China)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func date(t *testing.T, text string) datacube.Date {
	t.Helper()
	d, err := datacube.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// states are the states of a table of tests, by day.
type states map[datacube.Date]store.State

// ledger returns the ledger that holds the given states.
func ledger(known states) refresh.Ledger {
	var l refresh.Ledger
	for date, state := range known {
		l.Set(date, state)
	}
	return l
}

// ledgersOf returns ledgers with the given states of one call and of the other one.
func ledgersOf(api datacube.API, own, other states) refresh.Ledgers {
	var l refresh.Ledgers
	l[api], l[datacube.APIs-1-api] = ledger(own), ledger(other)
	return l
}

func TestDueCalls(t *testing.T) {
	at := func(text string) time.Time { return china(t, text) }
	day := func(text string) datacube.Date { return date(t, "2026-"+text) }
	known := func(when string) store.State {
		return store.State{Status: store.Known, AskedAt: at(when), KnownAt: at(when)}
	}
	rechecked := func(when string) store.State {
		s := known(when)
		s.Rechecked = true
		return s
	}
	notReady := func(when string, asks int) store.State {
		return store.State{Status: store.NotReady, Empty: true, Asks: asks, AskedAt: at(when)}
	}
	settings := func(days int) refresh.Settings {
		return refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: days, RecheckAfter: 24 * time.Hour}
	}
	daily := func(p refresh.Purpose, begin, end string) refresh.Call {
		return refresh.Call{API: datacube.Daily, Purpose: p, Begin: day(begin), End: day(end)}
	}
	hourly := func(p refresh.Purpose, on string) refresh.Call {
		return refresh.Call{API: datacube.Hourly, Purpose: p, Begin: day(on), End: day(on)}
	}
	putOff := store.State{Status: store.Known, KnownAt: at("2026-03-12 09:00"), AskedAt: at("2026-03-13 09:00"), Rechecks: 1}
	noRecheck := settings(2)
	noRecheck.RecheckAfter = 0

	for name, c := range map[string]struct {
		now      string
		settings refresh.Settings
		api      datacube.API
		ledger   states
		want     []refresh.Call
		again    string
	}{
		"before the time of day yesterday is not asked for": {
			now: "2026-03-10 07:59", settings: settings(1), want: nil,
		},
		"from that time on it is": {
			now: "2026-03-10 08:00", settings: settings(1), want: []refresh.Call{daily(refresh.Yesterday, "03-09", "03-09")},
		},
		"not ready: after 15 minutes": {
			now: "2026-03-10 08:14", settings: settings(1), ledger: states{day("03-09"): notReady("2026-03-10 08:00", 1)},
			again: "2026-03-10 08:15",
		},
		"not ready: 15 minutes have passed": {
			now: "2026-03-10 08:15", settings: settings(1), ledger: states{day("03-09"): notReady("2026-03-10 08:00", 1)},
			want: []refresh.Call{daily(refresh.Yesterday, "03-09", "03-09")},
		},
		"not ready: the second gap is 30 minutes": {
			now: "2026-03-10 08:16", settings: settings(1), ledger: states{day("03-09"): notReady("2026-03-10 08:15", 2)},
			again: "2026-03-10 08:45",
		},
		"not ready: no gap is longer than an hour": {
			now: "2026-03-10 20:01", settings: settings(1), ledger: states{day("03-09"): notReady("2026-03-10 20:00", 14)},
			again: "2026-03-10 21:00",
		},
		"an asking in the future says nothing": {
			now: "2026-03-10 09:00", settings: settings(1), ledger: states{day("03-09"): notReady("2027-01-01 00:00", 3)},
			want: []refresh.Call{daily(refresh.Yesterday, "03-09", "03-09")},
		},
		"an asking a little ahead was by a process with another clock": {
			now: "2026-03-10 09:00", settings: settings(1), ledger: states{day("03-09"): notReady("2026-03-10 09:04", 1)},
			again: "2026-03-10 09:19",
		},
		"the daily call takes 30 days at a time, behind yesterday's": {
			now: "2026-03-10 08:00", settings: settings(40), want: []refresh.Call{
				daily(refresh.Yesterday, "03-09", "03-09"),
				daily(refresh.History, "02-07", "03-08"),
				daily(refresh.History, "01-29", "02-06"),
			},
		},
		"the hourly call takes a day at a time, newest first": {
			now: "2026-03-10 08:00", settings: settings(3), api: datacube.Hourly, want: []refresh.Call{
				hourly(refresh.Yesterday, "03-09"), hourly(refresh.History, "03-08"), hourly(refresh.History, "03-07"),
			},
		},
		"history does not wait for the time of day": {
			now: "2026-03-10 00:30", settings: settings(2), api: datacube.Hourly, want: []refresh.Call{hourly(refresh.History, "03-08")},
		},
		"what is known splits the range": {
			now: "2026-03-10 00:30", settings: settings(6), ledger: states{day("03-06"): rechecked("2026-03-07 09:00")},
			want: []refresh.Call{daily(refresh.History, "03-07", "03-08"), daily(refresh.History, "03-04", "03-05")},
		},
		"a known day is asked for once more": {
			now: "2026-03-10 09:40", settings: settings(2), ledger: states{
				day("03-09"): known("2026-03-10 09:00"), day("03-08"): known("2026-03-09 09:40"),
			},
			want: []refresh.Call{daily(refresh.Recheck, "03-08", "03-08")},
		},
		"not earlier": {
			now: "2026-03-10 09:39", settings: settings(2), ledger: states{
				day("03-09"): known("2026-03-10 09:00"), day("03-08"): known("2026-03-09 09:40"),
			},
		},
		"not twice": {
			now: "2026-03-11 20:00", settings: settings(3), ledger: states{
				day("03-10"): rechecked("2026-03-11 09:00"), day("03-09"): rechecked("2026-03-10 09:00"), day("03-08"): rechecked("2026-03-09 09:40"),
			},
		},
		"never if that is off": {
			now: "2026-03-11 20:00", settings: noRecheck, ledger: states{
				day("03-10"): known("2026-03-11 09:00"), day("03-09"): known("2026-03-10 09:00"),
			},
		},
		"one that Weixin put off waits three days": {
			now: "2026-03-16 07:59", settings: settings(2), ledger: states{day("03-14"): rechecked("2026-03-15 09:00"), day("03-13"): putOff},
		},
		"and is asked for in the morning": {
			now: "2026-03-16 08:00", settings: settings(2), ledger: states{
				day("03-15"): rechecked("2026-03-16 08:00"), day("03-14"): rechecked("2026-03-15 09:00"), day("03-13"): putOff,
			},
			want: []refresh.Call{daily(refresh.Recheck, "03-13", "03-13")},
		},
		"rows that were found at a time to come say nothing": {
			now: "2026-03-10 07:45", settings: settings(2), ledger: states{
				day("03-09"): rechecked("2026-03-10 10:00"), day("03-08"): notReady("2026-03-10 07:45", 5),
			},
		},
		"until then": {
			now: "2026-03-10 10:00", settings: settings(2), ledger: states{
				day("03-09"): rechecked("2026-03-10 10:00"), day("03-08"): notReady("2026-03-10 07:45", 5),
			},
			want: []refresh.Call{daily(refresh.History, "03-08", "03-08")},
		},
		"nor within a minute": {
			now: "2026-03-10 08:01:29", settings: settings(2), ledger: states{
				day("03-09"): rechecked("2026-03-10 08:00:40"), day("03-08"): notReady("2026-03-10 08:00:30", 5),
			},
			again: "2026-03-10 08:01:30",
		},
		"but after it": {
			now: "2026-03-10 08:01:30", settings: settings(2), ledger: states{
				day("03-09"): rechecked("2026-03-10 08:00:40"), day("03-08"): notReady("2026-03-10 08:00:30", 5),
			},
			want: []refresh.Call{daily(refresh.History, "03-08", "03-08")},
		},
		"rechecks come last": {
			now: "2026-03-11 09:00", settings: settings(3), api: datacube.Hourly, ledger: states{day("03-09"): known("2026-03-10 09:00")},
			want: []refresh.Call{hourly(refresh.Yesterday, "03-10"), hourly(refresh.History, "03-08"), hourly(refresh.Recheck, "03-09")},
		},
		"an older day that was empty is left alone during the night": {
			now: "2026-03-11 00:30", settings: settings(2), ledger: states{day("03-09"): notReady("2026-03-10 23:45", 17)},
		},
		"it is asked for once more in the morning": {
			now: "2026-03-11 08:00", settings: settings(2), ledger: states{
				day("03-10"): notReady("2026-03-11 08:00", 1), day("03-09"): notReady("2026-03-10 23:45", 17),
			},
			want: []refresh.Call{daily(refresh.History, "03-09", "03-09")}, again: "2026-03-11 08:15",
		},
		"and once a later day has rows": {
			now: "2026-03-11 08:15", settings: settings(2), ledger: states{
				day("03-10"): known("2026-03-11 08:15"), day("03-09"): notReady("2026-03-11 08:01", 18),
			},
			want: []refresh.Call{daily(refresh.History, "03-09", "03-09")},
		},
		"and once 48 hours have passed since its end": {
			now: "2026-03-12 00:00", settings: settings(3), ledger: states{
				day("03-10"): notReady("2026-03-11 23:45", 17), day("03-09"): notReady("2026-03-11 08:01", 18), day("03-08"): rechecked("2026-03-09 09:00"),
			},
			want: []refresh.Call{daily(refresh.History, "03-09", "03-09")},
		},
		"nothing before 2014-12-01": {
			now: "2014-12-03 08:00", settings: settings(30), want: []refresh.Call{
				{API: datacube.Daily, Purpose: refresh.Yesterday, Begin: datacube.FirstDate + 1, End: datacube.FirstDate + 1},
				{API: datacube.Daily, Purpose: refresh.History, Begin: datacube.FirstDate, End: datacube.FirstDate},
			},
		},
		"and nothing at all on a clock before it": {
			now: "1970-01-01 08:00", settings: settings(30),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, again := refresh.DueCalls(at(c.now), c.settings, c.api, ledgersOf(c.api, c.ledger, nil))
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("due calls (-want +got):\n%s", diff)
			}
			var want time.Time
			if c.again != "" {
				want = at(c.again)
			}
			if !again.Equal(want) {
				t.Errorf("again at %v, want %v", again, want)
			}
		})
	}
}
