package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

const aYear = 365 * 24 * time.Hour

// wantDays fails the test unless all accounts show n days as known by both calls.
func (w *harness) wantDays(n int64) {
	w.t.Helper()
	for _, a := range w.latest.Load().Accounts {
		for api := range datacube.APIs {
			if got := a.Work[api].Days; got != n {
				w.t.Errorf("%s shows %d days by the %s call, want %d", a.Name, got, api, n)
			}
		}
	}
}

// TestClockThatWentAheadAndCameBack: known days, counts and calls are not affected.
func TestClockThatWentAheadAndCameBack(t *testing.T) {
	t.Parallel()
	for name, trustedNow := range map[string]func() time.Time{"trusted": nil, "not trusted": time.Now} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 09:00", nil, accounts(5)...)
				w.config.HistoryDays = 10
				w.trustedNow = trustedNow
				if trustedNow != nil {
					w.config.RetentionDays = 20
				}
				w.start()
				setClock(t, "2026-03-10 10:00")
				w.wantDays(10)

				w.ahead.Store(int64(aYear))
				setClock(t, "2026-03-10 10:20") // accounts are planned every 15 minutes
				w.wantDays(10)
				w.ahead.Store(0)
				calls := len(w.sim.Calls())
				setClock(t, "2026-03-10 12:00")
				if again := w.sim.Calls()[calls:]; len(again) > 0 {
					t.Errorf("%d calls after the clock came back, want none: %+v", len(again), again[0])
				}
				w.wantDays(10)
				w.stop()
				known, err := reopened(t, w, datacube.FirstDate)
				if err != nil {
					t.Fatal(err)
				}
				for api := range datacube.APIs {
					if known.Days[api] != 10 || known.States[api].Len() != 10 {
						t.Errorf("the store holds %d days of the %s call, %d of them known; want 10", known.States[api].Len(), api, known.Days[api])
					}
				}
			})
		})
	}
}

// TestDateHeaderAhead: a proxy states times that are a year ahead, so that the trusted time is wrong and the host's clock is right.
// Nothing is removed.
func TestDateHeaderAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, accounts(3)...)
		w.config.HistoryDays, w.config.RetentionDays = 10, 20
		var wrong atomic.Int64
		w.trustedNow = func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }
		w.start()
		setClock(t, "2026-03-10 10:00")
		w.wantDays(10)
		wrong.Store(int64(aYear))
		setClock(t, "2026-03-11 07:00")
		w.wantDays(10)
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil || known.Days != [datacube.APIs]int64{10, 10} {
			t.Errorf("the store holds %v days, want 10 of each call: %v", known.Days, err)
		}
	})
}

// TestClockThatWasTwoHoursAhead: the rows of a day were found at a time that is still to come. The day before, which Weixin does
// not have yet, is not asked for again and again until then.
func TestClockThatWasTwoHoursAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 2
		w.ahead.Store(int64(2 * hour))
		slow := weixintest.Fault{API: "daily", Delay: 5 * time.Second} // or calls without end would take no time
		remove := w.sim.Inject(slow)
		w.start()
		setClock(t, "2026-03-10 08:00:02") // the ninth has been asked for
		remove()
		slow.Errcode = 61503
		w.sim.Inject(slow)
		setClock(t, "2026-03-10 08:10")
		w.ahead.Store(0)
		before, _ := w.calls("")
		setClock(t, "2026-03-10 09:50")
		if after, _ := w.calls(""); len(after)-len(before) > 2 {
			t.Errorf("%d calls in less than two hours, the last one %s", len(after)-len(before), after[len(after)-1])
		}
	})
}

// TestClockAheadMakesNoDayEmpty: by the host's clock 48 hours have passed since the end of a day, in truth only 41.
func TestClockAheadMakesNoDayEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := func(_ string, d datacube.Date) time.Time { return d.End().Add(44 * time.Hour) }
		w := newHarness(t, "2026-03-11 08:00", late, account(1))
		w.config.HistoryDays = 3
		w.trustedNow = time.Now
		w.ahead.Store(int64(7*time.Hour + time.Minute))
		w.start()
		setClock(t, "2026-03-11 17:30") // the ninth ended 41 hours ago
		if calls, _ := w.calls(""); !slices.Contains(calls, "11 17:00 daily 2026-03-09") && !slices.Contains(untimed(calls), "daily 2026-03-09") {
			t.Fatalf("the ninth was not requested: %s", calls)
		}
		for api := range datacube.APIs {
			if n := w.shown("account00").Work[api].Days; n != 1 {
				t.Errorf("%d days are known by the %v call, want only the eighth", n, api)
			}
		}
	})
}

// unreadableStore cannot be read while broken is set.
type unreadableStore struct {
	*sqlite.Store
	broken *atomic.Bool
}

func (u unreadableStore) Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error) {
	if u.broken.Load() {
		return nil, errors.New("reading failed")
	}
	return u.Store.Load(ctx, since, appIDs...)
}

// TestNoCallsWhileTheStoreCannotBeRead: all days may be in the store.
func TestNoCallsWhileTheStoreCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, accounts(2)...)
		w.config.HistoryDays = 10
		var broken atomic.Bool
		w.wrapped = func(s *sqlite.Store) refresh.Store { return unreadableStore{s, &broken} }
		w.start()
		setClock(t, "2026-03-10 10:00")
		w.ahead.Store(int64(aYear))
		setClock(t, "2026-03-10 10:20")
		broken.Store(true)
		w.ahead.Store(0)
		calls := len(w.sim.Calls())
		setClock(t, "2026-03-10 11:00")
		if lines := w.log.Lines("level=error", "cannot read the store"); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
		broken.Store(false)
		setClock(t, "2026-03-10 12:00")
		if n := len(w.sim.Calls()) - calls; n > 0 {
			t.Errorf("%d calls for days that are stored", n)
		}
		w.wantDays(10)
		setClock(t, "2026-03-11 09:00")
		for i := range 2 {
			w.wantDay(fmt.Sprintf("account%02d", i), "2026-03-10")
		}
	})
}
