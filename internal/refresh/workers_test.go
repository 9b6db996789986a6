package refresh_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin/weixintest"
)

// TestHangingAccountsDelayNoOthers: 24 accounts hang and five do not, with two workers. The five wait for less than one
// timeout, both at the first attempts and when accounts begin to hang later.
func TestHangingAccountsDelayNoOthers(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"from the first attempt on": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-09 08:00", nil, accounts(29)...)
				w.config.HistoryDays, w.config.Concurrency = 1, 2
				w.config.Pace = 100 * time.Millisecond
				hang := func() {
					for i := range 24 {
						w.sim.Inject(weixintest.Fault{AppID: account(i).AppID, Delay: time.Hour})
					}
				}
				day := "2026-03-08"
				if first {
					hang()
				}
				w.start()
				if !first {
					setClock(t, "2026-03-10 07:59")
					w.wantDay("account00", day)
					hang()
					setClock(t, "2026-03-10 08:00")
					day = "2026-03-09"
				}
				<-time.After(10 * time.Second)
				synctest.Wait()
				for i := 24; i < 29; i++ {
					w.wantDay(fmt.Sprintf("account%02d", i), day)
				}
			})
		})
	}
}

// TestSlowCallsAreBounded: if Weixin never answers, there are sixteen slow calls for each of the two workers, and one worker
// is occupied; the other one stays free for accounts that answer.
func TestSlowCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(200)...)
		w.config.HistoryDays, w.config.Concurrency = 1, 2
		w.sim.Inject(weixintest.Fault{Delay: time.Hour})
		w.start()
		<-time.After(9900 * time.Millisecond)
		synctest.Wait()
		if n := len(w.sim.Calls()); n != 2*16+1 {
			t.Errorf("%d calls before the first timeout, want 33", n)
		}
	})
}
