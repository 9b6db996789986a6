package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

func TestRevisedDayIsStoredCountedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.start()
		wrong := w.sim.Hours(account(1).AppID, date(t, "2026-03-09"))[20]
		wrong.Callbacks += 1000
		w.sim.Revise(account(1).AppID, date(t, "2026-03-09"), 20, wrong)
		setClock(t, "2026-03-11 07:59")
		if a := w.shown("account00"); a.Work[datacube.Daily].Revisions != 0 {
			t.Fatalf("a revision before the recheck: %+v", a.Work)
		}
		setClock(t, "2026-03-11 08:20")
		for api := range datacube.APIs {
			if n := w.shown("account00").Work[api].Revisions; n != 1 {
				t.Errorf("%d revisions by the %s call, want 1", n, api)
			}
			if lines := w.log.Lines("revised", "ref_date=2026-03-09", "api="+api.String()); len(lines) != 1 {
				t.Errorf("%d log lines about the revision by the %s call, want 1", len(lines), api)
			}
		}
		// The revised day is stored: a restart on the tenth would show it.
		w.stop()
		known, err := reopened(t, w, date(t, "2026-03-09"))
		if err != nil {
			t.Fatal(err)
		}
		if !known.States[datacube.Daily].At(date(t, "2026-03-09")).Rechecked {
			t.Error("the day is not marked as rechecked")
		}
	})
}

func TestRevisionOfTheDayShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.RecheckAfter = time.Hour
		w.start()
		f := w.sim.Hours(account(1).AppID, date(t, "2026-03-09"))[9]
		f.Failures++
		w.sim.Revise(account(1).AppID, date(t, "2026-03-09"), 9, f)
		setClock(t, "2026-03-10 09:16")
		w.wantDay("account00", "2026-03-09")
	})
}

func TestEmptyAnswerForAKnownDayLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.start()
		w.wantDay("account00", "2026-03-09")
		w.sim.Inject(weixintest.Fault{NoRows: true})
		setClock(t, "2026-03-11 12:00")
		w.wantDay("account00", "2026-03-09")
		if lines := w.log.Lines("level=warn", "kept", "ref_date=2026-03-09"); len(lines) != 2 {
			t.Errorf("%d log lines about kept figures, want one for each call", len(lines))
		}
		for api := range datacube.APIs {
			if n := w.shown("account00").Work[api].Revisions; n != 0 {
				t.Errorf("%d revisions although nothing was stored", n)
			}
		}
	})
}

// TestRevisionAfterARecheckWithoutRows: an answer without rows has checked nothing, so the day is asked for again, and its
// revision is found.
func TestRevisionAfterARecheckWithoutRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 10
		w.start()
		ninth := date(t, "2026-03-09")
		revised := w.sim.Hours(account(1).AppID, ninth)[20]
		revised.Callbacks += 1000
		w.sim.Revise(account(1).AppID, ninth, 20, revised)
		end := w.sim.Inject(weixintest.Fault{NoRows: true})
		setClock(t, "2026-03-11 12:00")
		before := w.asked(account(1).AppID, ninth)
		setClock(t, "2026-03-13 23:00")
		if n := w.asked(account(1).AppID, ninth) - before; n > 2 {
			t.Errorf("%d calls for the ninth in two days without rows", n)
		}
		end()
		setClock(t, "2026-03-21 12:00")
		if wrong, unknown := w.wrongDays(ninth, ninth); len(wrong)+unknown > 0 {
			t.Errorf("wrong: %s; %d unknown", wrong, unknown)
		}
	})
}

// TestRechecksThatWeixinPutsOff take few calls, however long the history is, and revisions are found later.
func TestRechecksThatWeixinPutsOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.config.HistoryDays = 20
		w.start()
		setClock(t, "2026-03-10 20:00")
		fifth := date(t, "2026-03-05")
		revised := w.sim.Hours(account(1).AppID, fifth)[20]
		revised.Callbacks += 1000
		w.sim.Revise(account(1).AppID, fifth, 20, revised)
		ends := []func(){w.sim.Inject(weixintest.Fault{Errcode: 61503, API: "daily"}), w.sim.Inject(weixintest.Fault{Errcode: 61503, API: "hourly"})}
		before := w.attempts("hourly")
		setClock(t, "2026-03-12 07:00")
		const ofYesterday = 30
		if n := w.attempts("hourly") - before; n < 20 || n > 20+ofYesterday {
			t.Errorf("%d hourly calls while nothing was ready, with 20 days to recheck", n)
		}
		for _, end := range ends {
			end()
		}
		setClock(t, "2026-03-14 12:00")
		if wrong, unknown := w.wrongDays(fifth, fifth); len(wrong)+unknown > 0 {
			t.Errorf("wrong: %s; %d unknown", wrong, unknown)
		}
	})
}

// TestQuietAccount: the days of an account without traffic are known to be empty 48 hours after their end, and the number
// of calls is bounded.
func TestQuietAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quiet := account(1)
		quiet.CallbacksPerDay = 0
		w := newHarness(t, "2026-03-10 00:00", nil, quiet)
		w.config.HistoryDays = 3
		w.start()
		setClock(t, "2026-03-10 23:59")
		a := w.shown("account00")
		want := date(t, "2026-03-07") // ended 48 hours ago; the eighth did not
		if a.Daily == nil || a.Daily.Date != want || a.Daily.Figures != (datacube.Figures{}) {
			t.Errorf("shows %+v, want %s without traffic", a.Daily, want)
		}
		if a.Hourly == nil || a.Hourly.Date != want || a.Hourly.Hours != (datacube.Hours{}) {
			t.Errorf("shows %+v, want %s without traffic", a.Hourly, want)
		}
		before := w.attempts("daily") + w.attempts("hourly")
		setClock(t, "2026-03-11 23:59")
		if n := w.attempts("daily") + w.attempts("hourly") - before; n > 2*22 {
			t.Errorf("%d calls a day for an account without traffic", n)
		}
		if a := w.shown("account00"); a.Daily.Date != date(t, "2026-03-08") {
			t.Errorf("shows %s a day later, want 2026-03-08", a.Daily.Date)
		}
	})
}

// TestDayWithoutTrafficBeforeOneWith: a later day with rows settles an empty day.
func TestDayWithoutTrafficBeforeOneWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		eighth := date(t, "2026-03-08")
		for hour := range datacube.HoursPerDay {
			w.sim.Revise(account(1).AppID, eighth, hour, datacube.Figures{})
		}
		w.start()
		w.wantDay("account00", "2026-03-09")
		w.stop()
		known, err := reopened(t, w, eighth)
		if err != nil {
			t.Fatal(err)
		}
		for api := range datacube.APIs {
			state := known.States[api].At(eighth)
			if state.Status.String() != "known" || !state.Empty {
				t.Errorf("by the %s call the empty day is %+v, want known to be empty", api, state)
			}
		}
		if _, tokens := w.calls(""); tokens != 1 {
			t.Errorf("%d token calls, want 1", tokens)
		}
		calls, _ := w.calls("")
		want := []string{
			"10 08:00 daily 2026-03-09", "10 08:00 hourly 2026-03-09", "10 08:00 daily 2026-03-08", "10 08:00 hourly 2026-03-08",
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

// TestNotReadyIsNotAFailure: after errcode 61503 the day is requested again as after an empty list, but it never means a
// day without traffic.
func TestNotReadyIsNotAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		remove := w.sim.Inject(weixintest.Fault{Errcode: 61503})
		w.start()
		setClock(t, "2026-03-12 07:00")
		a := w.shown("account00")
		if a.Daily != nil || a.Hourly != nil {
			t.Errorf("61503 made a day known: %+v %+v", a.Daily, a.Hourly)
		}
		for api := range datacube.APIs {
			work := a.Work[api]
			if !work.Succeeded || work.Problem != nil || work.Failures != [len(work.Failures)]int64{} {
				t.Errorf("61503 counts as a failure of the %s call: %+v", api, work)
			}
		}
		if n := w.attempts("daily"); n > 2*25 {
			t.Errorf("%d daily calls in two days", n)
		}
		w.stop()
		known, err := reopened(t, w, date(t, "2026-03-10"))
		if err != nil {
			t.Fatal(err)
		}
		if state := known.States[datacube.Daily].At(date(t, "2026-03-10")); state.Status != store.NotReady || state.Empty {
			t.Errorf("61503 is stored as %+v, want not available and not an empty list", state)
		}
		w.start()
		remove()
		setClock(t, "2026-03-12 08:20")
		w.wantDay("account00", "2026-03-11")
		if n := w.shown("account00").Work[datacube.Daily].Days; n != 2 {
			t.Errorf("%d days known, want 2", n)
		}
	})
}

// TestInvalidRowsDoNotMakeADayEmpty: the answer has rows, but none that could be understood.
func TestInvalidRowsDoNotMakeADayEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 5
		remove := w.sim.Inject(weixintest.Fault{
			API:  "hourly",
			Body: []byte(`{"list":[{"ref_date":"2026-03-05","ref_hour":1000,"callback_count":-1,"fail_count":0,"total_time_cost":0,"max_time_cost":0},{"ref_hour":77}]}`),
		})
		w.start()
		setClock(t, "2026-03-10 08:05")
		if a := w.shown("account00"); a.Hourly != nil {
			t.Errorf("a day with invalid rows is known: %+v", a.Hourly)
		}
		remove()
		setClock(t, "2026-03-11 09:00")
		if n := w.shown("account00").Work[datacube.Hourly].Days; n != 6 {
			t.Errorf("%d days known once the rows are valid, want 6", n)
		}
	})
}

func TestPlainHoursAreAcceptedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 1
		w.sim.Inject(weixintest.Fault{
			API:  "hourly",
			Body: []byte(`{"list":[{"ref_date":"2026-03-09","ref_hour":13,"callback_count":5,"fail_count":1,"total_time_cost":900,"max_time_cost":400}]}`),
		})
		w.start()
		a := w.shown("account00")
		want := datacube.Figures{Callbacks: 5, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 400}
		if a.Hourly == nil || a.Hourly.Hours[13] != want {
			t.Fatalf("shows %+v, want %+v at 13", a.Hourly, want)
		}
		if n := a.Work[datacube.Hourly].PlainHours; n != 1 {
			t.Errorf("%d plain hours counted, want 1", n)
		}
		if lines := w.log.Lines("level=warn", "plain hour", "rows=1"); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
	})
}
