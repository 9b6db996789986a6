package refresh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// write stores days of the simulated Weixin, as another process would.
func (w *harness) write(appID string, days ...datacube.Date) {
	w.t.Helper()
	var records []store.Record
	for _, d := range days {
		state := store.State{Status: store.Known, AskedAt: time.Now(), KnownAt: time.Now()}
		day, hours := w.sim.Day(appID, d), w.sim.Hours(appID, d)
		records = append(records,
			store.Record{AppID: appID, API: datacube.Daily, Date: d, State: state, Daily: &day},
			store.Record{AppID: appID, API: datacube.Hourly, Date: d, State: state, Hourly: &hours})
	}
	w.save(records)
}

// save stores records as another process would.
func (w *harness) save(records []store.Record) {
	w.t.Helper()
	other, err := sqlite.Open(w.t.Context(), w.path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Save(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

// asked returns how often a day was requested by either call.
func (w *harness) asked(appID string, d datacube.Date) int {
	n := 0
	for _, c := range w.sim.Calls() {
		if c.AppID == appID && c.Begin <= d && d <= c.End && c.Begin > 0 {
			n++
		}
	}
	return n
}

func TestChangesAreAppliedWithinAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:30", nil, account(1), account(2))
		w.others = otherProcesses
		w.config.HistoryDays = 5
		w.start()
		yesterday := date(t, "2026-03-09")
		before := w.shown("account00")
		if n := before.Work[datacube.Daily].Days; n != 4 || before.Daily.Date != yesterday-1 {
			t.Fatalf("%d days are known, the latest %v", n, before.Daily.Date)
		}
		w.write(account(1).AppID, yesterday, date(t, "2020-01-01"))
		setClock(t, "2026-03-10 07:31")
		w.wantDay("account00", "2026-03-09")
		for api := range datacube.APIs {
			work := w.shown("account00").Work[api]
			if work.Days != 6 || work.Revisions != 0 {
				t.Errorf("%v: %d days and %d revisions are shown, want 6 and none", api, work.Days, work.Revisions)
			}
		}
		w.wantDay("account01", "2026-03-08")
		setClock(t, "2026-03-10 09:00")
		if n := w.asked(account(1).AppID, yesterday); n != 0 {
			t.Errorf("yesterday was requested %d times although another process had stored it", n)
		}
		if n := w.asked(account(2).AppID, yesterday); n != 2 {
			t.Errorf("the other account's yesterday was requested %d times, want 2", n)
		}
		// RecheckAfter starts when the other process learned the day.
		setClock(t, "2026-03-11 07:29")
		if n := w.asked(account(1).AppID, yesterday); n != 0 {
			t.Errorf("a recheck after less than a day")
		}
		setClock(t, "2026-03-11 09:00")
		if n := w.asked(account(1).AppID, yesterday); n != 2 {
			t.Errorf("yesterday was rechecked with %d calls, want 2", n)
		}
	})
}

// TestQueuedCallIsDroppedOnceOthersKnowTheDay: a call that waits in the queue is not made.
func TestQueuedCallIsDroppedOnceOthersKnowTheDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1), account(2), account(3))
		w.others = otherProcesses
		w.config.HistoryDays, w.config.Concurrency = 1, 1
		w.sim.Inject(weixintest.Fault{Delay: 400 * time.Millisecond})
		w.start()
		yesterday := date(t, "2026-03-09")
		w.write(account(3).AppID, yesterday)
		setClock(t, "2026-03-10 09:05")
		for _, name := range []string{"account00", "account01", "account02"} {
			w.wantDay(name, "2026-03-09")
		}
		if n := w.asked(account(3).AppID, yesterday); n != 0 {
			t.Errorf("%d calls for a day that became known while they were queued", n)
		}
	})
}

// TestAnswerIsJudgedByWhatOthersStored: an answer without rows does not remove a day that another process stored while
// the call was running.
func TestAnswerIsJudgedByWhatOthersStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.others = otherProcesses
		w.config.HistoryDays = 1
		slow := w.sim.Inject(weixintest.Fault{API: "token", Delay: 8 * time.Second})
		empty := w.sim.Inject(weixintest.Fault{NoRows: true})
		w.start()
		w.write(account(1).AppID, date(t, "2026-03-09"))
		setClock(t, "2026-03-10 09:01")
		slow()
		empty()
		w.wantDay("account00", "2026-03-09")
		if n := w.asked(account(1).AppID, date(t, "2026-03-09")); n == 0 {
			t.Error("the call was never made")
		}
		for api := range datacube.APIs {
			if work := w.shown("account00").Work[api]; work.Days != 1 || work.Revisions != 0 {
				t.Errorf("%v: %d days and %d revisions, want 1 and none", api, work.Days, work.Revisions)
			}
		}
	})
}

// brokenChanges fails while broken is set.
type brokenChanges struct {
	refresh.ChangeReader
	broken *atomic.Bool
}

func (b brokenChanges) Version(ctx context.Context) (int64, error) {
	if b.broken.Load() {
		return 0, errors.New("disk gone")
	}
	return b.ChangeReader.Version(ctx)
}

func TestChangesAreAppliedAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:30", nil, account(1))
		var broken atomic.Bool
		w.others = func(s *sqlite.Store) refresh.ChangeReader { return brokenChanges{s, &broken} }
		w.start()
		broken.Store(true)
		w.write(account(1).AppID, date(t, "2026-03-09"))
		setClock(t, "2026-03-10 07:50")
		w.wantDay("account00", "2026-03-08")
		if lines := w.log.Lines("level=error", "another process", "disk gone"); len(lines) != 1 {
			t.Errorf("%d log lines about one failure", len(lines))
		}
		broken.Store(false)
		setClock(t, "2026-03-10 07:51")
		w.wantDay("account00", "2026-03-09")
		if lines := w.log.Lines("level=info", "read again"); len(lines) != 1 {
			t.Errorf("%d log lines about its end", len(lines))
		}
	})
}
