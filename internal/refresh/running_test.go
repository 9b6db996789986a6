package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// dueRecheck makes a known day due for a recheck, and Weixin answer slowly and without rows.
func (w *harness) dueRecheck(appID string, date datacube.Date) {
	w.t.Helper()
	other, err := sqlite.Open(w.t.Context(), w.path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer other.Close()
	known := time.Now().Add(-48 * time.Hour)
	for api := range datacube.APIs {
		_, err := other.Save(w.t.Context(), []store.Record{{
			AppID: appID, API: api, Date: date, State: store.State{Status: store.Known, AskedAt: known, KnownAt: known},
			Before: store.State{AskedAt: time.Now()}, // as write has stored it
		}})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.sim.Inject(weixintest.Fault{NoRows: true, Delay: 8 * time.Second})
	w.sim.Inject(weixintest.Fault{API: "token", Delay: 8 * time.Second})
}

// wantKept fails unless the day was requested and its figures are kept.
func (w *harness) wantKept(appID, name, day string) {
	w.t.Helper()
	w.stop()
	if lines := w.log.Lines("kept", "ref_date="+day); len(lines) == 0 {
		w.t.Errorf("%s was not requested", day)
	}
	known, err := reopened(w.t, w, datacube.FirstDate)
	if err != nil {
		w.t.Fatal(err)
	}
	daily, hourly := stored(w.t, w.path, appID)
	d := date(w.t, day)
	if daily[d] != w.sim.Day(appID, d) || hourly[d] != w.sim.Hours(appID, d) {
		w.t.Errorf("the figures of %s have become %+v", day, daily[d])
	}
	for api := range datacube.APIs {
		if state := known.States[api].At(d); state.Status != store.Known || state.Empty {
			w.t.Errorf("%s, %v: %+v", day, api, state)
		}
		work := w.shown(name).Work[api]
		if work.Days != known.Days[api] || work.Revisions != 0 {
			w.t.Errorf("%v: %d days and %d revisions are shown, %d days are known", api, work.Days, work.Revisions, known.Days[api])
		}
	}
}

// TestReloadWhileACallIsRunning: even if a reload shortens the history, the answer is interpreted by what is known of its
// days.
func TestReloadWhileACallIsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 12:00", nil, account(1))
		w.config.HistoryDays = 10
		w.config.Concurrency = 2
		appID := account(1).AppID
		for d := date(t, "2026-02-28"); d < date(t, "2026-03-10"); d++ {
			w.write(appID, d)
		}
		w.dueRecheck(appID, date(t, "2026-03-02"))
		w.start()
		config := w.config
		config.HistoryDays = 2
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-10 12:01")
		w.wantKept(appID, "account00", "2026-03-02")
	})
}

// TestMidnightWhileACallIsRunning: the requested day is too old when the answer arrives.
func TestMidnightWhileACallIsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 23:59", nil, account(1))
		w.config.HistoryDays = 2
		w.config.Interval = 15 * time.Second
		appID := account(1).AppID
		w.write(appID, date(t, "2026-03-06"), date(t, "2026-03-07"), date(t, "2026-03-08"), date(t, "2026-03-09"))
		w.dueRecheck(appID, date(t, "2026-03-06"))
		<-time.After(54 * time.Second) // the next planning is at 00:00:09, the first answer arrives at 00:00:10
		w.start()
		setClock(t, "2026-03-11 00:05")
		w.wantKept(appID, "account00", "2026-03-06")
	})
}
