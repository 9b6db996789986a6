package refresh_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// TestStandby: while another exporter asks Weixin, the refresher shows what that one stores, makes no call and writes
// nothing. When it takes over it knows what the other one has stored, also the holds.
func TestStandby(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:30", nil, account(1), account(2), account(3))
		var held atomic.Bool
		w.others, w.held = otherProcesses, held.Load
		w.config.HistoryDays, w.config.RetentionDays = 2, 30
		w.start()
		old, yesterday := date(t, "2020-01-01"), date(t, "2026-03-09")
		w.write(account(1).AppID, old, yesterday-1, yesterday)
		setClock(t, "2026-03-10 07:31")
		w.wantDay("account00", "2026-03-09")
		setClock(t, "2026-03-10 09:00")
		if calls, tokens := w.calls(""); len(calls)+tokens > 0 {
			t.Errorf("on standby it made the calls %q and %d for tokens", calls, tokens)
		}
		if stored, err := w.store.Load(t.Context(), datacube.FirstDate, account(1).AppID); err != nil || stored[account(1).AppID].Days[datacube.Daily] != 3 {
			t.Errorf("on standby it deleted days: %v", err)
		}
		waiting := w.config.Accounts[1]
		hold := store.Hold{
			AppID: waiting.AppID, API: datacube.Daily, Since: china(t, "2026-03-10 08:30"), Until: china(t, "2026-03-10 11:00"), Date: yesterday + 1, Attempts: 1,
			Fingerprint: refresh.FingerprintOf(waiting), Detail: `{"cause":{"reason":8,"code":48001},"since":"2026-03-10T00:30:00Z","text":"errcode 48001: api unauthorized"}`,
		}
		if err := w.store.SaveHolds(t.Context(), []store.Hold{hold}); err != nil {
			t.Fatal(err)
		}
		if err := w.runner.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		held.Store(true)
		setClock(t, "2026-03-10 09:30")
		if n := w.asked(account(1).AppID, yesterday); n != 0 {
			t.Errorf("a day that the other exporter had stored was requested %d times", n)
		}
		for _, call := range w.sim.Calls() {
			if call.AppID == account(2).AppID && call.API == "daily" {
				t.Errorf("a call that must wait was made at %v", call.At)
			}
		}
		w.wantDay("account02", "2026-03-09")
		if stored, err := w.store.Load(t.Context(), datacube.FirstDate, account(1).AppID); err != nil || stored[account(1).AppID].Days[datacube.Daily] != 2 {
			t.Errorf("after the takeover it deleted no days: %v", err)
		}
	})
}

// TestALeaseThatEndsForAWhile: no call is made meanwhile, and afterwards all that are due.
func TestALeaseThatEndsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-09 09:00", nil, account(1))
		var held atomic.Bool
		held.Store(true)
		w.held = held.Load
		w.start()
		w.wantDay("account00", "2026-03-08")
		held.Store(false)
		calls := len(w.sim.Calls())
		setClock(t, "2026-03-10 12:00")
		if n := len(w.sim.Calls()) - calls; n != 0 {
			t.Errorf("%d calls were made without the lease", n)
		}
		held.Store(true)
		setClock(t, "2026-03-10 12:01")
		w.wantDay("account00", "2026-03-09")
	})
}
