package refresh_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// countedBrokenStore is a brokenStore that counts attempts.
type countedBrokenStore struct {
	brokenStore
	saves *atomic.Int64
}

func (c countedBrokenStore) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	c.saves.Add(1)
	return c.brokenStore.Save(ctx, records)
}

func (c countedBrokenStore) SaveHolds(ctx context.Context, holds []store.Hold) error {
	if c.broken.Load() {
		return errDiskFull
	}
	return c.Store.SaveHolds(ctx, holds)
}

// TestStoreThatCannotBeWritten: answers are shown, no more calls are made and the store is retried. Once it works, no call is
// made twice.
func TestStoreThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(23)...)
		w.config.HistoryDays = 1
		var broken atomic.Bool
		var saves atomic.Int64
		broken.Store(true)
		w.wrapped = func(s *sqlite.Store) refresh.Store {
			return countedBrokenStore{brokenStore{s, &broken}, &saves}
		}
		w.start()
		calls, _ := w.calls("")
		if len(calls) == 0 || len(calls) > 23 {
			t.Errorf("%d calls, want only those that were running when the store failed", len(calls))
		}
		setClock(t, "2026-03-10 09:00")
		if after, _ := w.calls(""); len(after) != len(calls) {
			t.Errorf("%d calls while nothing could be stored", len(after)-len(calls))
		}
		if n := saves.Load(); n < 30 || n > 130 {
			t.Errorf("the store was retried %d times in an hour, want about once a minute", n)
		}
		latest := w.latest.Load()
		shown := 0
		for _, a := range latest.Accounts {
			for api := range datacube.APIs {
				work := a.Work[api]
				if !work.Unstored {
					continue
				}
				shown++
				if work.Days != 1 || work.Succeeded || work.Failures[snapshot.StoreFault] != 1 || work.Problem == nil {
					t.Errorf("an answer that is not stored: %+v", work)
				}
			}
		}
		if shown != len(calls) {
			t.Errorf("%d answers are shown as not stored, of %d", shown, len(calls))
		}
		if latest.Store == nil || latest.StoreFailures["other"] != saves.Load() {
			t.Errorf("the problem of the store is %+v, its failures %v; want %d", latest.Store, latest.StoreFailures, saves.Load())
		}
		if lines := w.log.Lines("level=error", "disk full"); len(lines) != 1 {
			t.Errorf("%d lines about the failing store, want 1: %q", len(lines), lines)
		}
		broken.Store(false)
		setClock(t, "2026-03-10 09:05")
		if lines := w.log.Lines("level=info", "writing to the store works again"); len(lines) != 1 {
			t.Errorf("%d lines about its recovery", len(lines))
		}
		for i := range 23 {
			w.wantDay(fmt.Sprintf("account%02d", i), "2026-03-09")
		}
		if calls, _ := w.calls(""); len(calls) != 2*23 {
			t.Errorf("%d calls in all, want one for each day and call", len(calls))
		}
		w.wantDays(1)
		if latest := w.latest.Load(); latest.Store != nil || latest.Accounts[0].Work[datacube.Daily].Unstored {
			t.Error("the store is still shown as failing")
		}
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil || known.Days != [datacube.APIs]int64{1, 1} {
			t.Errorf("the store holds %+v, %v", known, err)
		}
	})
}

// TestInvalidAnswerSavedLateIsNotASuccess: a store that fails for a few minutes must not turn an answer
// that was not understood into a success, and an answer that was understood is a success only once it
// is saved.
func TestInvalidAnswerSavedLateIsNotASuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(2)...)
		w.config.HistoryDays = 1
		w.sim.Inject(weixintest.Fault{AppID: account(0).AppID, API: "daily", Body: []byte(`{"list":[null]}`)})
		var broken atomic.Bool
		broken.Store(true)
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.start()
		setClock(t, "2026-03-10 08:05")
		for _, name := range []string{"account00", "account01"} {
			work := w.shown(name).Work[datacube.Daily]
			if work.Succeeded || !work.LastSuccess.IsZero() || !work.Unstored || work.Problem == nil || work.Problem.Cause.Reason != snapshot.StoreFault {
				t.Errorf("%s while the store fails: %+v, problem %+v", name, work, work.Problem)
			}
		}
		broken.Store(false)
		setClock(t, "2026-03-10 08:10") // after the store is tried again, before the day is requested again
		invalid := w.shown("account00").Work[datacube.Daily]
		if invalid.Succeeded || !invalid.LastSuccess.IsZero() || invalid.Unstored || invalid.Failures[snapshot.InvalidRows] != 1 {
			t.Errorf("the invalid answer, saved late: %+v", invalid)
		}
		if p := invalid.Problem; p == nil || p.Cause.Reason != snapshot.InvalidRows || !p.Next.Equal(china(t, "2026-03-10 08:15")) {
			t.Errorf("the problem of the invalid answer, saved late: %+v", p)
		}
		valid := w.shown("account01").Work[datacube.Daily]
		if !valid.Succeeded || !valid.LastSuccess.Equal(china(t, "2026-03-10 08:00")) || valid.Unstored || valid.Problem != nil {
			t.Errorf("the valid answer, saved late: %+v", valid)
		}
		setClock(t, "2026-03-10 08:20")
		if again := w.shown("account00").Work[datacube.Daily]; again.Failures[snapshot.InvalidRows] != 2 {
			t.Errorf("%d invalid answers after the day was requested again, want 2", again.Failures[snapshot.InvalidRows])
		}
		w.stop()
		w.start() // a restart shows the same
		if resumed := w.shown("account00").Work[datacube.Daily]; resumed.Succeeded || !resumed.LastSuccess.IsZero() {
			t.Errorf("the invalid answer after a restart: %+v", resumed)
		}
	})
}

// TestStopSavesWhatWaits: at the end what waits for the store is saved, also if the next attempt is not due yet.
func TestStopSavesWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 1
		var broken atomic.Bool
		var saves atomic.Int64
		broken.Store(true)
		w.wrapped = func(s *sqlite.Store) refresh.Store {
			return countedBrokenStore{brokenStore{s, &broken}, &saves}
		}
		w.start()
		setClock(t, "2026-03-10 08:30")
		if !w.shown("account00").Work[datacube.Daily].Unstored {
			t.Fatal("no answer waits for the store")
		}
		broken.Store(false)
		before := saves.Load()
		w.stop()
		if n := saves.Load() - before; n != 1 {
			t.Errorf("saved %d times at the end, want once", n)
		}
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil || known == nil || known.Days[datacube.Daily] != 1 {
			t.Errorf("the store holds %+v, want the day: %v", known, err)
		}
	})
}

// TestStopWhileTheStoreFails makes one last attempt.
func TestStopWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		var broken atomic.Bool
		var saves atomic.Int64
		broken.Store(true)
		w.wrapped = func(s *sqlite.Store) refresh.Store {
			return countedBrokenStore{brokenStore{s, &broken}, &saves}
		}
		w.start()
		before := saves.Load()
		w.stop()
		if n := saves.Load() - before; n != 1 {
			t.Errorf("tried %d times at the end, want once", n)
		}
	})
}

// TestStopWhileACallIsRunningAndTheStoreFails: what waits is saved with the answer to the last call, even if the store still failed
// when the stop began.
func TestStopWhileACallIsRunningAndTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2))
		w.config.HistoryDays = 1
		var broken atomic.Bool
		broken.Store(true)
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.sim.Inject(weixintest.Fault{AppID: account(2).AppID, API: "daily", Delay: time.Second})
		w.start()
		<-time.After(200 * time.Millisecond) // until it is published
		synctest.Wait()
		if !w.shown("account00").Work[datacube.Daily].Unstored {
			t.Fatal("no answer waits for the store")
		}
		time.AfterFunc(500*time.Millisecond, func() { broken.Store(false) })
		w.stop()
		for i := 1; i <= 2; i++ {
			if days, _ := stored(t, w.path, account(i).AppID); len(days) != 1 {
				t.Errorf("account %d: %d days are stored, want the one that was asked for", i, len(days))
			}
		}
	})
}
