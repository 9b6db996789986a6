package refresh_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// reopened returns the first account in the harness's closed store.
func reopened(t *testing.T, w *harness, since datacube.Date) (*store.Account, error) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, w.path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	known, err := s.Load(ctx, since, w.config.Accounts[0].AppID)
	if err != nil {
		return nil, err
	}
	return known[w.config.Accounts[0].AppID], nil
}

func TestConfigureReplacesAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stays, leaves, comes := account(1), account(2), account(3)
		w := newHarness(t, "2026-03-10 08:00", nil, stays, leaves, comes)
		config := w.config
		w.config.Accounts = config.Accounts[:2]
		w.start()
		w.wantDay("account00", "2026-03-09")
		w.wantDay("account01", "2026-03-09")
		calls := len(w.sim.Calls())
		first := w.latest.Load().Generation

		renamed := config.Accounts[0]
		renamed.Name = "renamed"
		config.Accounts[0] = renamed
		config.Accounts = append(config.Accounts[:1:1], config.Accounts[2])
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if w.shown("account01") != nil || w.shown("account00") != nil {
			t.Error("a removed account is shown")
		}
		w.wantDay("renamed", "2026-03-09")
		synctest.Wait()
		w.wantDay("account02", "2026-03-09")
		if got := w.latest.Load().Generation; first == 0 || got == 0 || got == first {
			t.Errorf("generation %d before the accounts were replaced, %d after", first, got)
		}
		for _, c := range w.sim.Calls()[calls:] {
			if c.AppID != comes.AppID {
				t.Errorf("a call for %s, which is removed or has all days known: %+v", c.AppID, c)
			}
		}
	})
}

// TestGenerationChangesWithTheAccounts: a reload that leaves the accounts as they are does not have them rendered again.
func TestGenerationChangesWithTheAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2), account(3))
		config := w.config
		w.config.Accounts = config.Accounts[:2]
		w.start()
		for _, c := range []struct {
			change  string
			apply   func(c *refresh.Config)
			changes bool
		}{
			{"nothing", func(*refresh.Config) {}, false},
			{"the order in the configuration", func(c *refresh.Config) { slices.Reverse(c.Accounts) }, false},
			{"the credentials of an account", func(c *refresh.Config) { c.Accounts[0].Credentials = secret.New("other") }, false},
			{"the history", func(c *refresh.Config) { c.HistoryDays++ }, false},
			{"a further account", func(c *refresh.Config) { c.Accounts = append(c.Accounts, config.Accounts[2]) }, true},
			{"the name of an account", func(c *refresh.Config) { c.Accounts[0].Name += "a" }, true},
			{"the names of two accounts", func(c *refresh.Config) {
				c.Accounts[0].Name, c.Accounts[1].Name = c.Accounts[1].Name, c.Accounts[0].Name
			}, true},
			{"the app id of an account", func(c *refresh.Config) { c.Accounts[0].AppID = config.Accounts[2].AppID + "0" }, true},
			{"an account less", func(c *refresh.Config) { c.Accounts = c.Accounts[1:] }, true},
			{"no account", func(c *refresh.Config) { c.Accounts = nil }, true},
			{"nothing again", func(*refresh.Config) {}, false},
		} {
			before := w.latest.Load()
			w.config.Accounts = slices.Clone(w.config.Accounts)
			c.apply(&w.config)
			if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
				t.Fatal(err)
			}
			after := w.latest.Load()
			if after == before || after.Generation == 0 || (after.Generation != before.Generation) != c.changes {
				t.Errorf("%s: generation %d after %d, new snapshot: %t", c.change, after.Generation, before.Generation, after != before)
			}
		}
	})
}

func TestConfigureEndsWaitsAndKeepsCounters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		remove := w.sim.Inject(weixintest.Fault{Errcode: 40164, API: "token"})
		w.start()
		remove()
		if w.shown("account00").Daily != nil {
			t.Fatal("the fault had no effect")
		}
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantDay("account00", "2026-03-09")
		if n := w.shown("account00").Work[datacube.Daily].Failures[reason("allow_list")]; n != 1 {
			t.Errorf("%d failures counted, want the one before", n)
		}
	})
}

func TestRemovedAccountsCallIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2))
		w.sim.Inject(weixintest.Fault{AppID: account(1).AppID, Delay: 9 * time.Second})
		config := w.config
		w.config.Concurrency = 1 // which the slow account occupies
		w.start()
		before := time.Now()
		config.Accounts = config.Accounts[1:]
		config.Concurrency = 1
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantDay("account01", "2026-03-09")
		if waited := time.Since(before); waited > 0 {
			t.Errorf("the call of the removed account went on for %v", waited)
		}
	})
}

func TestMoreHistoryIsFilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.start()
		calls := len(w.sim.Calls())
		config := w.config
		config.HistoryDays = 5
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(w.sim.Calls()) - calls; n != 1+3 {
			t.Errorf("%d calls for three more days, want one daily and three hourly", n)
		}
		for api := range datacube.APIs {
			if n := w.shown("account00").Work[api].Days; n != 5 {
				t.Errorf("%d days known by the %s call, want 5", n, api)
			}
		}
	})
}

func TestConfigureGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.start()
		w.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.runner.ApplyConfig(ctx, w.config); err == nil {
			t.Error("a refresher that does not run accepted a configuration")
		}
	})
}

func TestRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 3
		w.config.RetentionDays = 4
		w.start()
		setClock(t, "2026-03-15 12:00")
		w.wantDay("account00", "2026-03-14")
		if n := w.shown("account00").Work[datacube.Daily].Days; n != 4 {
			t.Errorf("%d days are shown as known, want the four within the retention", n)
		}
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil {
			t.Fatal(err)
		}
		for api := range datacube.APIs {
			if n := known.States[api].Len(); n != 4 {
				t.Errorf("the store holds %d days of the %s call, want 4", n, api)
			}
		}
	})
}

// TestWhatIsPrunedIsShownAtOnce, not only with the next answer.
func TestWhatIsPrunedIsShownAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.config.HistoryDays = 2
		w.config.RetentionDays = 4
		w.write(account(1).AppID, date(t, "2026-03-06"), date(t, "2026-03-07"))
		w.start()
		setClock(t, "2026-03-10 23:59")
		if n := w.shown("account00").Work[datacube.Daily].Days; n != 4 {
			t.Fatalf("%d days are shown before, want 4", n)
		}
		setClock(t, "2026-03-11 00:30")
		if n := w.shown("account00").Work[datacube.Daily].Days; n != 3 {
			t.Errorf("%d days are shown after the oldest was removed, want 3", n)
		}
	})
}

// TestStopWhileCallsAreRunning: calls that end soon are waited for, and what they return is stored. Others are given up.
func TestStopWhileCallsAreRunning(t *testing.T) {
	t.Parallel()
	const enough = 2 * time.Second
	for name, c := range map[string]struct {
		takes, last time.Duration // a call, and the one of the last account
		days        int64         // that are known afterwards
	}{
		"soon":       {time.Second, time.Second, 1},
		"not all":    {time.Second, 8 * time.Second, 1},
		"not at all": {8 * time.Second, 8 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2), account(3))
				w.config.HistoryDays = 1
				w.sim.Inject(weixintest.Fault{API: "daily", AppID: account(3).AppID, Delay: c.last})
				w.sim.Inject(weixintest.Fault{API: "daily", Delay: c.takes})
				w.start()
				before := time.Now()
				w.stop()
				if waited := time.Since(before); waited != min(c.last, enough) {
					t.Errorf("stopping took %v", waited)
				}
				if lines := w.log.Lines("refresh failed"); len(lines) != 0 {
					t.Errorf("stopping is logged as a failure: %q", lines)
				}
				calls := len(w.sim.Calls())
				if calls != 3*2 {
					t.Errorf("%d calls, want one for the token and one for the figures of each account", calls)
				}
				if known, err := reopened(t, w, datacube.FirstDate); err != nil || c.days > 0 && (known == nil || known.Days[datacube.Daily] != c.days) || c.days == 0 && known != nil {
					t.Errorf("the store knows %+v, want %d days: %v", known, c.days, err)
				}
			})
		})
	}
}

// TestSlowAccountsDelayNoOthers: accounts that keep timing out never occupy all workers, and a healthy one comes before
// them.
func TestSlowAccountsDelayNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var accounts []weixintest.Account
		for i := range 9 {
			accounts = append(accounts, account(i))
		}
		w := newHarness(t, "2026-03-10 07:58", nil, accounts...)
		w.config.Concurrency = 2
		for _, a := range accounts[:8] {
			w.sim.Inject(weixintest.Fault{AppID: a.AppID, Delay: time.Hour})
		}
		<-time.After(3 * time.Second) // so that no ten seconds of a slow call end at 08:00
		w.start()
		setClock(t, "2026-03-10 08:16")
		w.wantDay("account08", "2026-03-09")
		calls, _ := w.calls(accounts[8].AppID)
		want := []string{
			"10 07:58 daily 2026-03-08", "10 07:58 hourly 2026-03-08",
			"10 08:00 daily 2026-03-09", "10 08:00 hourly 2026-03-09",
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls for the healthy account (-want +got):\n%s", diff)
		}
		for _, c := range w.sim.Calls() {
			if c.AppID == accounts[8].AppID && c.Begin == date(t, "2026-03-09") && c.At.After(china(t, "2026-03-10 08:00")) {
				t.Errorf("the healthy account waited until %v", c.At)
			}
		}
	})
}

// TestClockSetBack: times noted by a wrong clock do not delay anything once the clock is right.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 1
		w.ahead.Store(int64(24 * time.Hour))
		w.start()
		if n := w.shown("account00").Work[datacube.Daily].Failures[reason("range")]; n != 1 {
			t.Fatalf("%d refusals of the range with a clock that is a day ahead, want 1", n)
		}
		w.ahead.Store(0)
		setClock(t, "2026-03-10 08:16")
		w.wantDay("account00", "2026-03-09")
	})
}

// TestStopBeforeTheStart: ending while the store is read is not an error.
func TestStopBeforeTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		known, err := sqlite.Open(t.Context(), w.path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer known.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		runner := refresh.New(refresh.Options{Store: known, Publisher: w.latest, Logger: log.NewLogfmtLogger(w.log), Now: time.Now})
		if err := runner.Run(ctx, w.config); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}
