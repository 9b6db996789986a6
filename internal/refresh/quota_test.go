package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

func TestQuotaIsRequestedHourlyAndLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := account(1)
		limited.Quota = 100
		w := newHarness(t, "2026-03-10 08:00", nil, limited)
		w.config.Quota = true
		w.start()
		calls := w.sim.Calls()
		for i, c := range calls {
			if c.API == "quota" && i < len(calls)-2 {
				t.Errorf("a quota is requested before days that are due: %+v", calls)
			}
		}
		setClock(t, "2026-03-10 20:10")
		if n := w.attempts("quota"); n != 2*13 {
			t.Errorf("%d requests for quotas in twelve hours, want one an hour for each call", n)
		}
		minute := weixin.CallRate{Calls: 600_000, Per: time.Minute}
		want := &weixin.CallQuota{Limit: 100, Used: 2, Remaining: 98, Rate: minute, ComponentRate: minute}
		for api := range datacube.APIs {
			if diff := cmp.Diff(want, w.shown("account00").Work[api].Quota); diff != "" {
				t.Errorf("quota of the %s call (-want +got):\n%s", api, diff)
			}
		}

		config := w.config
		config.Quota = false
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		asked := w.attempts("quota")
		setClock(t, "2026-03-10 23:00")
		if w.attempts("quota") != asked || w.shown("account00").Work[datacube.Daily].Quota != nil {
			t.Error("quotas are requested or shown although switched off")
		}
	})
}

// TestQuotaAfterAClockThatWasAhead: the time of the last request is still to come, which does not put the next one off until then.
func TestQuotaAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.Quota = true
		w.start()
		w.ahead.Store(int64(7 * hour))
		setClock(t, "2026-03-10 08:20")
		w.ahead.Store(0)
		asked := w.attempts("quota")
		if asked != 4 {
			t.Fatalf("%d requests for quotas, want two at the start and two with the clock ahead", asked)
		}
		setClock(t, "2026-03-10 10:10")
		if n := w.attempts("quota") - asked; n != 2*2 {
			t.Errorf("%d requests for quotas in two hours, want one an hour for each call", n)
		}
	})
}

func TestQuotaIsOffByDefault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.start()
		setClock(t, "2026-03-10 12:00")
		if n := w.attempts("quota"); n != 0 || w.shown("account00").Work[datacube.Daily].Quota != nil {
			t.Errorf("%d requests for quotas", n)
		}
	})
}

// TestUnknownQuotaIsNotAFailedRefresh: it is logged, no longer shown, and requested again.
func TestUnknownQuotaIsNotAFailedRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.Quota = true
		w.start()
		remove := w.sim.Inject(weixintest.Fault{API: "quota", Errcode: 48001})
		setClock(t, "2026-03-10 09:10")
		work := w.shown("account00").Work[datacube.Daily]
		if work.Quota != nil || !work.Succeeded || work.Problem != nil {
			t.Errorf("a quota that is not available: %+v", work)
		}
		if lines := w.log.Lines("level=warn", "cannot get the quota", "account=account00", "advice="); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
		remove()
		setClock(t, "2026-03-10 10:20")
		if w.shown("account00").Work[datacube.Daily].Quota == nil {
			t.Error("the quota is not requested again")
		}
	})
}

// TestQuotaIsRequestedWhenUsedUp: that is when it is of interest.
func TestQuotaIsRequestedWhenUsedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := account(1)
		limited.Quota = 3
		w := newHarness(t, "2026-03-10 08:00", nil, limited)
		w.config.Quota = true
		w.config.HistoryDays = 8
		w.start()
		setClock(t, "2026-03-10 10:10")
		work := w.shown("account00").Work[datacube.Hourly]
		if work.Succeeded || work.Quota == nil || work.Quota.Remaining != 0 || work.Quota.Used < 3 {
			t.Errorf("with the quota used up: %+v, quota %+v", work, work.Quota)
		}
		if n := w.attempts("hourly"); n != 4 {
			t.Errorf("%d hourly calls with a quota of 3, want 4", n)
		}
	})
}

// TestRateLimitBelowTheRateOfRequests: a rate that is higher than Weixin allows is logged once for all accounts with the
// same limit, again for one with a lower limit, and again after a reload.
func TestRateLimitBelowTheRateOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		accounts := []weixintest.Account{account(1), account(2), account(3)}
		for i := range accounts {
			accounts[i].RateLimit = 300
		}
		w := newHarness(t, "2026-03-10 08:00", nil, accounts...)
		w.config.Quota, w.config.Pace = true, time.Second/10
		w.start()
		setClock(t, "2026-03-10 20:10")
		const msg = "weixin.requests_per_second is higher than Weixin allows"
		if lines := w.loud("level=warn", msg, "requests_per_second=10", "allowed=300/min"); len(lines) != 1 {
			t.Errorf("logged %d times in twelve hours, want once", len(lines))
		}
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-10 23:10")
		if lines := w.loud(msg); len(lines) != 2 {
			t.Errorf("logged %d times with a reload, want twice", len(lines))
		}
		w.config.Pace = time.Second / 5
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-11 03:10")
		if lines := w.loud(msg); len(lines) != 2 {
			t.Errorf("logged %d times although the rate is no longer higher", len(lines)-2)
		}
	})
}
