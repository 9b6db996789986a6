package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/testlog"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// exporter is one of several refreshers that share the store of a harness.
type exporter struct {
	*harness
	*member

	latest *snapshot.Latest
	log    *testlog.Log
	runner *refresh.Refresher
	calls  atomic.Int64 // made by this one
	part   atomic.Int64 // its share of the rate, in percent
	broken atomic.Pointer[error]
	stop   func() // ends it in good order
	kill   func() // ends it without a word to the others
}

// observed counts and delays the answers that one exporter gets.
type observed struct {
	refresh.Caller
	exporter *exporter
}

func (o observed) InterfaceSummary(ctx context.Context, begin, end datacube.Date) (weixin.DailyResponse, error) {
	response, err := o.Caller.InterfaceSummary(ctx, begin, end)
	return response, o.arrive(ctx, err)
}

func (o observed) InterfaceSummaryHour(ctx context.Context, date datacube.Date) (weixin.HourlyResponse, error) {
	response, err := o.Caller.InterfaceSummaryHour(ctx, date)
	return response, o.arrive(ctx, err)
}

func (o observed) arrive(ctx context.Context, err error) error {
	o.exporter.calls.Add(1)
	select {
	case <-time.After(o.exporter.delay):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join starts another exporter.
func (w *harness) join(table *table) *exporter {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqlite.Open(ctx, w.path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	x := &exporter{harness: w, member: table.join(), latest: snapshot.NewLatest(), log: testlog.New(w.t)}
	config := w.config
	config.SetShare = func(part float64) { x.part.Store(int64(100*part + 0.5)) }
	config.Accounts = nil
	var appIDs []string
	for _, a := range w.config.Accounts {
		a.Caller = observed{a.Caller, x}
		config.Accounts, appIDs = append(config.Accounts, a), append(appIDs, a.AppID)
	}
	fault := func(string) error {
		if err := x.broken.Load(); err != nil {
			return *err
		}
		return nil
	}
	x.runner = refresh.New(refresh.Options{
		Store: fenced{db, x.member, fault}, Changes: db, Publisher: x.latest, Logger: log.NewLogfmtLogger(x.log), Now: time.Now, Sharing: x.member,
	})
	x.Want(store.WorkOf(appIDs...))
	_ = x.KeepSlots(ctx)
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := x.runner.Run(ctx, config); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	parts.Go(func() {
		ticker := time.NewTicker(store.KeepSlotsEvery)
		defer ticker.Stop()
		for ctx.Err() == nil {
			select {
			case <-ticker.C:
				_ = x.KeepSlots(ctx)
			case <-ctx.Done():
			}
		}
	})
	x.kill = sync.OnceFunc(func() {
		cancel()
		parts.Wait()
		if err := db.Close(); err != nil {
			w.t.Errorf("closing the store: %v", err)
		}
		if n := x.using(); n > 0 {
			w.t.Errorf("%d slots are in use after the end", n)
		}
	})
	x.stop = func() {
		x.kill()
		x.leave()
	}
	w.t.Cleanup(x.kill)
	synctest.Wait()
	return x
}

// breaks makes accesses to the exporter's store fail; nil makes it work again.
func (x *exporter) breaks(err error) {
	if err == nil {
		x.broken.Store(nil)
		return
	}
	x.broken.Store(&err)
}

// account returns an account of the exporter's latest snapshot.
func (x *exporter) account(name string) *snapshot.Account {
	x.t.Helper()
	for _, a := range x.latest.Load().Accounts {
		if a.Name == name {
			return a
		}
	}
	x.t.Fatalf("%s is not shown", name)
	return nil
}

// newFleet returns a harness with n accounts.
func newFleet(t *testing.T, now string, n int) *harness {
	t.Helper()
	accounts := make([]weixintest.Account, n)
	for i := range accounts {
		accounts[i] = account(i + 1)
	}
	w := newHarness(t, now, nil, accounts...)
	w.delay = 300 * time.Millisecond
	return w
}

// repeated returns the interface calls that were made more than once.
func (w *harness) repeated() []string {
	var twice []string
	seen := map[string]int{}
	for _, c := range w.sim.Calls() {
		if c.API != "daily" && c.API != "hourly" {
			continue
		}
		key := fmt.Sprintf("%s %s %s..%s", c.AppID, c.API, c.Begin, c.End)
		if seen[key]++; seen[key] == 2 {
			twice = append(twice, key)
		}
	}
	return twice
}

// wantAll fails unless the exporters show a day of all accounts, as a success of the last minutes.
func (w *harness) wantAll(day string, exporters ...*exporter) {
	w.t.Helper()
	for i, x := range exporters {
		for _, a := range x.latest.Load().Accounts {
			if a.Daily == nil || a.Hourly == nil || a.Daily.Date != date(w.t, day) || a.Hourly.Date != date(w.t, day) {
				w.t.Errorf("exporter %d does not show %s of %s", i, day, a.Name)
				continue
			}
			if a.Daily.Figures != w.sim.Day(a.AppID, a.Daily.Date) {
				w.t.Errorf("exporter %d shows wrong figures of %s", i, a.Name)
			}
			for api := range a.Work {
				first := exporters[0].account(a.Name).Work[api]
				if work := a.Work[api]; !work.Succeeded || work.Problem != nil || work.Days != first.Days || work.LastSuccess.Unix() != first.LastSuccess.Unix() {
					w.t.Errorf("exporter %d shows of %s, %v: %+v\nthe first one: %+v", i, a.Name, datacube.API(api), work, first)
				}
			}
		}
	}
}

// TestExportersShareTheAccounts: three exporters of one store divide the accounts, hand them over while calls are running, make
// no call twice, and show the same.
func TestExportersShareTheAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 07:59", 45)
		w.config.HistoryDays = 5
		table := newTable()
		one := w.join(table)
		if got := one.part.Load(); got != 100 {
			t.Errorf("alone it has %d %% of the rate", got)
		}
		setClock(t, "2026-03-10 07:59:02")
		two, three := w.join(table), w.join(table)
		setClock(t, "2026-03-10 08:10")
		w.wantAll("2026-03-09", one, two, three)
		if twice := w.repeated(); len(twice) > 0 {
			t.Errorf("calls were repeated: %q", twice)
		}
		// A few of the 45 accounts share a slot with another one.
		for i, x := range []*exporter{one, two, three} {
			if n := x.calls.Load(); n < 30 {
				t.Errorf("exporter %d made only %d calls", i, n)
			}
			if part := x.part.Load(); part < 30 || part > 37 {
				t.Errorf("exporter %d has %d %% of the rate", i, part)
			}
			if lines := x.log.Lines("level=error"); len(lines) > 0 {
				t.Errorf("exporter %d logged %q", i, lines)
			}
			if since := time.Since(x.runner.Activity().CaughtUp); since > 2*time.Second {
				t.Errorf("exporter %d last read what the others stored %v ago", i, since)
			}
		}
		two.stop()
		three.stop()
		setClock(t, "2026-03-10 08:10:30")
		if part := one.part.Load(); part != 100 {
			t.Errorf("alone again it has %d %% of the rate", part)
		}
		if twice := w.repeated(); len(twice) > 0 {
			t.Errorf("calls were repeated: %q", twice)
		}
	})
}

// TestEveryExporterShowsTheSameSoon: what one of them learns is shown by the others within 5 seconds.
func TestEveryExporterShowsTheSameSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 07:58", 8)
		table := newTable()
		one, two := w.join(table), w.join(table)
		setClock(t, "2026-03-10 07:59:59")
		w.wantAll("2026-03-08", one, two)
		setClock(t, "2026-03-10 08:00:02")
		done := one.calls.Load() + two.calls.Load()
		setClock(t, "2026-03-10 08:00:06")
		if n := one.calls.Load() + two.calls.Load(); n != done || n != 32 {
			t.Fatalf("%d and then %d calls were made, want 32 in all", done, n-done)
		}
		w.wantAll("2026-03-09", one, two)
	})
}

// TestKilledExporter: the others go on with its accounts once its lease has ended, and repeat only calls that were running.
func TestKilledExporter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 07:50", 40)
		table := newTable()
		one, two := w.join(table), w.join(table)
		setClock(t, "2026-03-10 08:00:02")
		one.kill()
		setClock(t, "2026-03-10 08:00:45")
		w.wantAll("2026-03-09", two)
		if twice := w.repeated(); len(twice) > w.config.Concurrency {
			t.Errorf("%d calls were repeated: %q", len(twice), twice)
		}
		if got := two.part.Load(); got != 100 {
			t.Errorf("it is alone, with %d %% of the rate", got)
		}
	})
}

// TestTakeoverRespectsHolds: a call that must wait until midnight is not made by another exporter either, which shows the
// failure from then on, but not before.
func TestTakeoverRespectsHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 23:30", 1)
		table := newTable()
		end := w.sim.Inject(weixintest.Fault{API: "daily", Errcode: 45009})
		one := w.join(table)
		two := w.join(table)
		setClock(t, "2026-03-10 23:40")
		if p := one.account("account00").Work[datacube.Daily].Problem; p == nil || p.Cause.Reason != weixin.Quota {
			t.Fatalf("the problem is %+v", p)
		}
		work := two.account("account00").Work[datacube.Daily]
		if work.Problem != nil || work.Failures != [snapshot.Reasons]int64{} {
			t.Errorf("an exporter that makes no calls of the account claims %+v", work)
		}
		if a := two.runner.Activity(); a.Ready+a.Waiting > 0 {
			t.Errorf("an exporter without slots has %+v to do", a)
		}
		end()
		calls := two.attempts("daily")
		one.kill()
		setClock(t, "2026-03-10 23:59")
		if n := two.attempts("daily"); n != calls {
			t.Errorf("%d calls were made although the quota was used up", n-calls)
		}
		if p := two.account("account00").Work[datacube.Daily].Problem; p == nil || p.Cause.Reason != weixin.Quota || !p.Next.Equal(china(t, "2026-03-11 00:01")) {
			t.Errorf("after the takeover the problem is %+v", p)
		}
		setClock(t, "2026-03-11 00:02")
		if n := two.attempts("daily"); n == calls {
			t.Error("the call was not made after midnight")
		}
	})
}

// TestAnswersOfLostSlotsAreDropped: the new owner makes the call again, and the former one shows what that stores. The
// answers for other accounts are stored.
func TestAnswersOfLostSlotsAreDropped(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]weixintest.Fault{
		"answer": {},
		"hold":   {AppID: account(1).AppID, API: "daily", Errcode: 48001, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFleet(t, "2026-03-10 08:00", 4)
				w.config.HistoryDays, w.config.Concurrency = 1, 16
				table := newTable()
				if failure.Errcode != 0 {
					w.sim.Inject(failure)
				}
				w.delay = 1500 * time.Millisecond
				one := w.join(table)
				two := w.join(table) // without slots until the next KeepSlots of the first
				setClock(t, "2026-03-10 08:00:01")
				one.steal(store.SlotOf(account(1).AppID), two.member)
				setClock(t, "2026-03-10 08:00:30")
				w.wantAll("2026-03-09", one, two)
				for _, twice := range w.repeated() {
					if !strings.HasPrefix(twice, account(1).AppID) {
						t.Errorf("repeated: %s", twice)
					}
				}
				if n := w.asked(account(1).AppID, date(t, "2026-03-09")); n < 3 {
					t.Errorf("the new owner made no call: %d", n)
				}
				if lines := one.log.Lines("level=info", "another process has taken over", "accounts=1"); len(lines) != 1 {
					t.Errorf("log lines: %q", lines)
				}
				if lines := one.log.Lines("level=error", "store"); len(lines) > 0 {
					t.Errorf("a failure of the store was logged: %q", lines)
				}
				if n := one.latest.Load().StoreFailures; len(n) > 0 {
					t.Errorf("failures of the store were counted: %v", n)
				}
				if n := one.using() + two.using(); n != 0 {
					t.Errorf("%d slots are still in use", n)
				}
			})
		})
	}
}

// TestUnsavedAnswersOfLostSlots: answers that wait for the store are dropped if another exporter has taken over meanwhile.
func TestUnsavedAnswersOfLostSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 08:00", 6)
		w.config.HistoryDays = 1
		table := newTable()
		one := w.join(table)
		one.breaks(errors.New("disk gone"))
		setClock(t, "2026-03-10 08:00:04")
		if n := one.using(); n == 0 {
			t.Error("the slots of answers that are not stored can be handed over")
		}
		two := w.join(table)
		setClock(t, "2026-03-10 08:00:14")
		shown := one.account("account00").Work
		if !shown[0].Unstored && !shown[1].Unstored {
			t.Fatalf("no answer waits for the store: %+v", shown)
		}
		one.reach(false) // and its lease ends
		setClock(t, "2026-03-10 08:01")
		w.wantAll("2026-03-09", two)
		one.breaks(nil)
		one.reach(true)
		setClock(t, "2026-03-10 08:03")
		w.wantAll("2026-03-09", one, two)
		for _, a := range one.latest.Load().Accounts {
			if a.Work[0].Unstored || a.Work[1].Unstored {
				t.Errorf("an answer of %s still waits for the store", a.Name)
			}
		}
		if n := one.using(); n != 0 {
			t.Errorf("%d slots are still in use", n)
		}
	})
}

// TestTakeoverWaitsForTheStore: accounts that cannot be read from the store are not called, and taken over when they can.
func TestTakeoverWaitsForTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 07:50", 5)
		table := newTable()
		one := w.join(table)
		setClock(t, "2026-03-10 07:51")
		two := w.join(table)
		setClock(t, "2026-03-10 07:51:01")
		two.breaks(errors.New("disk gone"))
		one.stop()
		calls := len(w.sim.Calls())
		setClock(t, "2026-03-10 08:05")
		if n := len(w.sim.Calls()) - calls; n > 0 {
			t.Errorf("%d calls without the holds", n)
		}
		if lines := two.log.Lines("level=error", "cannot read the accounts to take over", "disk gone"); len(lines) != 1 {
			t.Errorf("log lines: %q", lines)
		}
		two.breaks(nil)
		setClock(t, "2026-03-10 08:05:20")
		w.wantAll("2026-03-09", two)
	})
}

// TestLeaseThatEndsForAWhile: an exporter that does not reach the table makes no call, and goes on when it does.
func TestLeaseThatEndsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-10 07:55", 3)
		one := w.join(newTable())
		setClock(t, "2026-03-10 07:56")
		w.wantAll("2026-03-08", one)
		one.reach(false)
		calls := len(w.sim.Calls())
		setClock(t, "2026-03-10 08:10")
		if n := len(w.sim.Calls()) - calls; n != 0 {
			t.Errorf("%d calls were made without the lease", n)
		}
		w.wantAll("2026-03-08", one)
		one.reach(true)
		setClock(t, "2026-03-10 08:11")
		w.wantAll("2026-03-09", one)
	})
}

// TestDaysThatAnotherExporterRemoved: the number of known days follows.
func TestDaysThatAnotherExporterRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFleet(t, "2026-03-09 23:50", 2)
		w.config.HistoryDays, w.config.RetentionDays = 2, 3
		for _, a := range w.config.Accounts {
			w.write(a.AppID, date(t, "2026-03-06"))
		}
		table := newTable()
		one, two := w.join(table), w.join(table)
		setClock(t, "2026-03-09 23:55")
		for want := int64(3); want >= 2; want-- {
			w.wantAll("2026-03-08", one, two)
			for i, x := range []*exporter{one, two} {
				if n := x.account("account00").Work[datacube.Daily].Days; n != want {
					t.Errorf("exporter %d knows %d days, want %d", i, n, want)
				}
			}
			setClock(t, "2026-03-10 00:20")
		}
	})
}
