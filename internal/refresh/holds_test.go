package refresh_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// crashLoop starts and stops the refresher n times, with d in between.
func (w *harness) crashLoop(n int, d time.Duration) {
	w.t.Helper()
	for range n {
		w.start()
		<-time.After(d)
		synctest.Wait()
		w.stop()
	}
}

// TestHoldsSurviveARestart: a crash loop does not repeat failing calls.
func TestHoldsSurviveARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure weixintest.Fault
		calls   int // at most, in an hour of crashes
	}{
		"quota":      {weixintest.Fault{API: "daily", Errcode: 45009}, 1},
		"permission": {weixintest.Fault{API: "daily", Errcode: 48001}, 1},
		"address":    {weixintest.Fault{API: "token", Errcode: 89506}, 1},
		"allow list": {weixintest.Fault{API: "token", Errcode: 40164}, 6},
		"secret":     {weixintest.Fault{API: "token", Errcode: 40125}, 1},
		"away":       {weixintest.Fault{API: "daily", Status: 502}, 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays = 1
				w.sim.Inject(c.failure)
				w.crashLoop(9, 6*time.Minute)
				calls := 0
				for _, call := range w.sim.Calls() {
					if call.API == c.failure.API || c.failure.API == "token" {
						calls++
					}
				}
				if calls < 1 || calls > c.calls {
					t.Errorf("%d calls in an hour of crashes, want at most %d", calls, c.calls)
				}
				w.start()
				work := w.shown("account00").Work[datacube.Daily]
				if work.Succeeded || work.Problem == nil || work.Problem.Advice.Code == "" || !work.Problem.Since.Equal(china(t, "2026-03-10 08:00")) {
					t.Errorf("after the restart the problem is %+v", work.Problem)
				}
				if lines := w.loud("refresh failed", "account=account00", "next=", "err="); len(lines) == 0 {
					t.Error("no log line about the hold")
				}
				w.stop()
				for _, end := range []string{"", "-wal"} {
					if content, _ := os.ReadFile(w.path + end); bytes.Contains(content, []byte("sim-secret-")) || bytes.Contains(content, []byte("sim-token-")) {
						t.Error("the store contains a secret")
					}
				}
			})
		})
	}
}

// TestRestartAfterAHold: a restart soon after the end of a hold does not make the same problem a new one.
func TestRestartAfterAHold(t *testing.T) {
	t.Parallel()
	for after, kept := range map[time.Duration]bool{0: true, 59 * time.Minute: true, 2 * time.Hour: false} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 16:00", nil, account(1))
				w.config.HistoryDays = 1
				w.sim.Inject(weixintest.Fault{API: "daily", Errcode: 48001})
				w.start()
				synctest.Wait()
				before := w.shown("account00").Work[datacube.Daily].Problem
				w.stop()
				if before == nil {
					t.Fatal("there is no problem")
				}
				<-time.After(time.Until(before.Next.Add(after)))
				w.start()
				<-time.After(time.Minute)
				synctest.Wait()
				now := w.shown("account00").Work[datacube.Daily].Problem
				if now == nil || !now.At.After(before.At) {
					t.Fatalf("no further attempt: %+v", now)
				}
				if now.Since.Equal(before.Since) != kept {
					t.Errorf("the problem began at %v, at first %v", now.Since, before.Since)
				}
				w.stop()
			})
		})
	}
}

// TestHoldsOfAProcessWithAnotherClock: a hold counts although it began a little later by the clock of the process that has
// set it, but not if that clock was wrong.
func TestHoldsOfAProcessWithAnotherClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behind time.Duration
		again  bool
	}{
		"a little behind": {4 * time.Minute, false},
		"far behind":      {4 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 16:00", nil, account(1))
				w.config.HistoryDays = 1
				w.sim.Inject(weixintest.Fault{API: "daily", Errcode: 48001})
				w.crashLoop(1, time.Minute)
				daily := func() int {
					n := 0
					for _, call := range w.sim.Calls() {
						if call.API == "daily" {
							n++
						}
					}
					return n
				}
				before := daily()
				w.ahead.Store(int64(-c.behind))
				w.crashLoop(1, 50*time.Minute)
				if again := daily() > before; before != 1 || again != c.again {
					t.Errorf("%d calls before, made again: %v, want %v", before, again, c.again)
				}
			})
		})
	}
}

// TestChangedSecretIsTriedAtOnce, after a restart and after a reload.
func TestChangedSecretIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{true, false} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				old, right := account(1), account(1)
				old.AppSecret = "sim-secret-old"
				w := newHarness(t, "2026-03-10 08:00", nil, right)
				w.config.HistoryDays = 1
				w.config.Accounts = []refresh.Account{w.account("account00", old)}
				w.start()
				if n := w.shown("account00").Work[datacube.Daily].Failures[reason("config")]; n != 1 {
					t.Fatalf("%d refusals of the secret, want 1", n)
				}
				w.config.Accounts = []refresh.Account{w.account("account00", right)}
				if restart {
					w.stop()
					w.start()
				} else if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				w.wantDay("account00", "2026-03-09")
			})
		})
	}
}

// TestHoldsOfOtherVersions: a hold has an advice, although an earlier version stored it as a text and a later one may
// store a code that this one does not know.
func TestHoldsOfOtherVersions(t *testing.T) {
	t.Parallel()
	for name, detail := range map[string]string{
		"earlier": `{"cause":{"reason":8,"code":48001},"purpose":0,"since":"2026-03-10T00:00:00Z","text":"errcode 48001: api unauthorized","advice":"Have the account verified."}`,
		"later":   `{"cause":{"reason":8,"code":48001},"purpose":0,"since":"2026-03-10T00:00:00Z","text":"errcode 48001: api unauthorized","what_to_do":{"Code":"no_such_code"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays = 1
				w.sim.Inject(weixintest.Fault{API: "daily", Errcode: 48001})
				w.start()
				w.stop()
				known, err := sqlite.Open(t.Context(), w.path, sqlite.Options{})
				if err != nil {
					t.Fatal(err)
				}
				holds, err := known.Holds(t.Context(), account(1).AppID)
				if err != nil || len(holds) == 0 {
					t.Fatalf("%d holds, error %v", len(holds), err)
				}
				for i := range holds {
					if holds[i].API == datacube.Daily {
						holds[i].Detail = detail
					}
				}
				if err := errors.Join(known.SaveHolds(t.Context(), holds), known.Close()); err != nil {
					t.Fatal(err)
				}
				w.start()
				problem := w.shown("account00").Work[datacube.Daily].Problem
				if problem == nil || problem.Advice != weixin.AdviceOn(48001) || problem.Text != "errcode 48001: api unauthorized" {
					t.Errorf("the problem is %+v", problem)
				}
				w.stop()
			})
		})
	}
}

func TestReloadEndsHoldsExceptForAQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2))
		w.config.HistoryDays = 1
		w.sim.Inject(weixintest.Fault{AppID: account(1).AppID, API: "daily", Errcode: 45009})
		remove := w.sim.Inject(weixintest.Fault{AppID: account(2).AppID, API: "daily", Errcode: 48001})
		w.start()
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := w.attempts("daily"); n != 3 {
			t.Errorf("%d daily calls, want one refused for its quota and two for permission", n)
		}
		if problem := w.shown("account00").Work[datacube.Daily].Problem; !problem.OutlastsReload || w.shown("account01").Work[datacube.Daily].Problem.OutlastsReload {
			t.Error("OutlastsReload is wrong")
		}
		// A hold that a reload has ended does not return after a restart.
		remove()
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantDay("account01", "2026-03-09")
		w.stop()
		w.start()
		if problem := w.shown("account01").Work[datacube.Daily].Problem; problem != nil {
			t.Errorf("after the restart the problem is %+v, want none", problem)
		}
	})
}

// TestOtherAddressIsTriedAtOnce: when one account shows that the host has another address, the accounts whose old address
// was refused are tried again.
func TestOtherAddressIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		second := account(2)
		second.AllowList = []string{"192.0.2.1"}
		w := newHarness(t, "2026-03-10 08:00", nil, account(1), second)
		w.config.HistoryDays = 1
		remove := w.sim.Inject(weixintest.Fault{AppID: account(1).AppID, API: "token", Errcode: 40164})
		both := w.config.Accounts
		w.config.Accounts = both[:1]
		w.start()
		remove()
		w.stop()
		client := weixin.NewClient(weixin.Options{
			BaseURL: "http://weixin.test", HTTPClient: &http.Client{Transport: w.sim.TransportFrom("198.51.100.77")}, Timeout: 10 * time.Second, Now: time.Now,
		})
		source := client.StableToken(weixin.Credentials{AppID: account(2).AppID, AppSecret: secret.New(account(2).AppSecret)})
		both[1].Caller = client.Account(source)
		w.config.Accounts = both
		w.start()
		synctest.Wait()
		w.wantDay("account00", "2026-03-09")
	})
}

// TestFailedAttemptsOfADayAreBounded, also across restarts and reloads.
func TestFailedAttemptsOfADayAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		every time.Duration
		again func(*harness)
		most  int
	}{
		"running":   {time.Hour, func(*harness) {}, 48},
		"restarted": {2 * time.Hour, func(w *harness) { w.stop(); w.start() }, 48},
		"reloaded":  {30 * time.Minute, func(w *harness) { _ = w.runner.ApplyConfig(w.t.Context(), w.config) }, 96},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 00:01", nil, account(1))
				w.config.HistoryDays, w.config.ReadyAt = 1, 0
				remove := w.sim.Inject(weixintest.Fault{API: "daily", Errcode: -1})
				w.start()
				for range 24*time.Hour/c.every - 1 {
					<-time.After(c.every)
					synctest.Wait()
					c.again(w)
				}
				if n := w.attempts("daily"); n > c.most || n < 40 {
					t.Errorf("%d daily calls in a day on which each fails, want at most %d", n, c.most)
				}
				var at time.Time
				for _, call := range w.sim.Calls() {
					if call.API != "daily" {
						continue
					}
					if name == "running" && !at.IsZero() && call.At.Sub(at) > 90*time.Minute {
						t.Errorf("no attempt between %v and %v", at, call.At)
					}
					at = call.At
				}
				remove()
				setClock(t, "2026-03-11 00:05")
				w.wantDay("account00", "2026-03-10")
			})
		})
	}
}
