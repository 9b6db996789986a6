package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// What is shown of a day that Weixin does not have yet: how often it was asked for, and when it is asked for next. It is
// the same after a restart.
func TestNotReadyShowsTheNextAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", func(_ string, date datacube.Date) time.Time { return date.End().Add(11 * time.Hour) }, account(1))
		w.config.HistoryDays = 1
		w.start()
		// Asked at 08:00, 08:15 and 08:45; the gaps double up to an hour.
		setClock(t, "2026-03-10 08:50")
		check := func(when string) {
			t.Helper()
			for api, work := range w.shown("account00").Work {
				if next := china(t, "2026-03-10 09:45"); !work.NotReady || work.Asked != 3 || work.Next.Sub(next).Abs() > time.Minute {
					t.Errorf("%s, %v: not ready %v, asked %d times, next at %v; want 3 times and %v", when, datacube.API(api), work.NotReady, work.Asked, work.Next, next)
				}
			}
		}
		check("running")
		w.stop()
		w.start()
		check("after a restart")
		setClock(t, "2026-03-10 12:00")
		for _, work := range w.shown("account00").Work {
			if work.NotReady || work.Asked != 0 || !work.Next.IsZero() {
				t.Errorf("once the day is known: not ready %v, asked %d times, next at %v", work.NotReady, work.Asked, work.Next)
			}
		}
	})
}

func TestActivity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(10)...)
		w.config.HistoryDays, w.config.Concurrency = 1, 4
		w.sim.Inject(weixintest.Fault{Delay: 5 * time.Second})
		w.start()
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		if a := w.runner.Activity(); a.Underway != 4 || a.Underway+a.Ready+a.Waiting != 10 {
			t.Errorf("with all workers busy: %+v", a)
		}
		setClock(t, "2026-03-10 09:00")
		a := w.runner.Activity()
		if a.Underway != 0 || a.Ready != 0 || a.Waiting != 10 || !a.Next.After(time.Now()) || a.Next.After(time.Now().Add(w.config.Interval)) {
			t.Errorf("with nothing due: %+v", a)
		}
	})
}
