package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// backfill runs the command on the fixture's store for the days since some days ago.
func (w *fixture) backfill(t *testing.T, daysAgo int, args ...string) finished {
	t.Helper()
	return finish(t, nil, w.backfillArgs(daysAgo, args...)...)
}

func (w *fixture) backfillArgs(daysAgo int, args ...string) []string {
	since := datacube.DateOf(clock()) - datacube.Date(daysAgo)
	return append([]string{"backfill", "--config.file=" + w.config, "--since=" + since.String()}, args...)
}

// summaryCalls returns the interface calls, from the call with the given index on.
func (w *fixture) summaryCalls(from int) []weixintest.Call {
	var calls []weixintest.Call
	for _, c := range w.sim.Calls()[from:] {
		if c.API == "daily" || c.API == "hourly" {
			calls = append(calls, c)
		}
	}
	return calls
}

// planned returns the number of calls that a dry run reports.
func (w *fixture) planned(t *testing.T, daysAgo int, args ...string) int {
	t.Helper()
	before := len(w.sim.Calls())
	got := w.backfill(t, daysAgo, append(args, "--dry-run")...)
	var n int
	line := regexp.MustCompile(`(?m): (\d+) calls, none of which was made\.$`).FindStringSubmatch(got.stdout)
	if got.code != 0 || line == nil {
		t.Fatalf("dry run: code %d, %s%s", got.code, mask(got.stdout), mask(got.stderr))
	}
	if _, err := fmt.Sscan(line[1], &n); err != nil {
		t.Fatal(err)
	}
	if made := len(w.sim.Calls()) - before; made > 0 {
		t.Errorf("a dry run made %d calls", made)
	}
	return n
}

// serve and backfill use the same store at the same time, and serve shows the new days.
func TestBackfillDuringServe(t *testing.T) {
	t.Parallel()
	const days = 400
	shop, quiet := newAccount("shop", 1, 9000), newAccount("quiet", 2, 0)
	w := newFixture(t, shop, quiet)
	// Before ready_at, serve does not request yesterday. The backfill has a configuration of its own.
	text := strings.Replace(w.list(sourced{shop, "app_secret: " + shop.AppSecret}, sourced{quiet, "app_secret: " + quiet.AppSecret}), "history: 2d", "history: 5d", 1)
	w.put(t, "config.yml", strings.Replace(text, `ready_at: "00:00"`, `ready_at: "23:59"`, 1))
	x := serve(t, w.config)
	w.waitDays(t, x.web, 4, shop)
	w.write(t, text)

	planned := w.planned(t, days)
	before := len(w.sim.Calls())
	got := w.backfill(t, days)
	if got.code != 0 || !strings.Contains(got.stdout, "2 accounts:") || !strings.Contains(got.stderr, "msg=\"filling the store\"") {
		t.Fatalf("code %d\n%s%s", got.code, mask(got.stdout), mask(got.stderr))
	}
	calls := w.summaryCalls(before)
	if len(calls) != planned || planned < 2*days || planned > 2*(days+days/30+3) {
		t.Errorf("%d calls were planned and %d made", planned, len(calls))
	}
	for _, c := range calls {
		if latest := datacube.DateOf(clock()) - 3; c.AppID == shop.AppID && c.End >= latest-1 && c.End < latest {
			t.Errorf("a day that serve had stored was requested: %+v", c)
		}
	}
	w.waitDays(t, x.web, days, shop)
	w.waitDays(t, x.web, days-2, quiet)
	shown := x.metrics(t)
	for _, api := range apis() {
		if latest, ok := dateOf(shown, api, shop); !ok || latest < datacube.DateOf(clock())-1 {
			t.Errorf("%s: the latest day shown is %v, want yesterday", api, latest)
		}
		if n := shown[series("weixin_refresh_revisions_total", "account", "shop", "api", api)]; n != 0 {
			t.Errorf("%s: %v revisions, although no figure changed", api, n)
		}
	}
	if n := w.planned(t, days, "--account=shop"); n != 0 {
		t.Errorf("%d calls are left", n)
	}
	for _, line := range x.stderr.lines() {
		if strings.Contains(line, "level=error") || strings.Contains(line, "locked") {
			t.Errorf("serve logs: %s", mask(line))
		}
	}
}

// A signal stops a backfill cleanly, and the next one repeats no call.
func TestBackfillResumes(t *testing.T) {
	t.Parallel()
	const days = 60
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700), newAccount("news", 3, 20))
	slow := w.sim.Inject(weixintest.Fault{Delay: 30 * time.Millisecond})
	planned := w.planned(t, days)
	for i, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		p := start(t, suite.binary, w.backfillArgs(days)...)
		from := len(w.summaryCalls(0))
		eventually(t, "some calls", func() error {
			if n := len(w.summaryCalls(0)) - from; n < 10 {
				return fmt.Errorf("%d calls", n)
			}
			return nil
		})
		p.stop(t, s)
		if !strings.HasSuffix(p.stdout.String(), "\nstopped; every response is stored; run the same command again to continue\n") {
			t.Errorf("stop %d: %s", i, mask(p.stdout.String()))
		}
	}
	slow()
	if got := w.backfill(t, days); got.code != 0 || !strings.Contains(got.stdout, ", 0 left.") {
		t.Errorf("code %d\n%s", got.code, mask(got.stdout))
	}
	seen := map[weixintest.Call]bool{}
	for _, c := range w.summaryCalls(0) {
		key := weixintest.Call{API: c.API, AppID: c.AppID, Begin: c.Begin, End: c.End}
		if seen[key] {
			t.Errorf("requested twice: %+v", c)
		}
		seen[key] = true
	}
	if n := len(w.summaryCalls(0)); n != planned {
		t.Errorf("%d calls in total, want %d", n, planned)
	}
}

// An exhausted quota has its own exit code, and the message says when to run the command again.
func TestBackfillExitCodes(t *testing.T) {
	t.Parallel()
	limited, unverified, shop := newAccount("limited", 1, 9000), newAccount("unverified", 2, 700), newAccount("shop", 3, 700)
	limited.Quota, unverified.Errcode = 8, 48001
	w := newFixture(t, limited, unverified, shop)
	got := w.backfill(t, 20, "--account=limited", "--account=shop")
	if want := "weixin_exporter: error: the day's quota is used up for 1 of 2 accounts: limited; " +
		"run the same command again after midnight in China, or with --wait\n"; got.code != 3 || !strings.HasSuffix(got.stderr, want) {
		t.Errorf("code %d\n%s", got.code, mask(got.stderr))
	}
	if !strings.Contains(got.stdout, "\nlimited, hourly: 12 calls left: errcode 45009") {
		t.Errorf("the summary does not report what is left:\n%s", mask(got.stdout))
	}
	got = w.backfill(t, 20, "--log.format=json")
	if want := "weixin_exporter: error: accounts that could not be filled: 1 of 3: unverified\n"; got.code != 1 || !strings.HasSuffix(got.stderr, want) {
		t.Errorf("code %d\n%s", got.code, mask(got.stderr))
	}
	if !strings.Contains(got.stdout, "\nunverified, daily: 1 calls left: errcode 48001") || !strings.Contains(got.stdout, "\n  What to do: The account has no right") {
		t.Errorf("the summary does not report what to do:\n%s", mask(got.stdout))
	}
	// The next day, it continues.
	w.pass(24 * time.Hour)
	before := w.count("hourly", limited.AppID)
	got = w.backfill(t, 20, "--account=limited")
	if n := w.count("hourly", limited.AppID) - before; got.code != 3 || n != 9 {
		t.Errorf("the next day: code %d after %d calls, want 3 after 9", got.code, n)
	}
}

// On a terminal there are progress bars, and nothing is left of them at the end.
func TestBackfillOnATerminal(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("小店", 2, 700), newAccount("a-name-that-is-very-long-indeed", 3, 700))
	w.sim.Inject(weixintest.Fault{Delay: 20 * time.Millisecond})
	since := datacube.DateOf(clock()) - 60
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/backfill/terminal.txtar"},
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXPORTER", suite.binary)
			env.Setenv("CONFIG", w.config)
			env.Setenv("SINCE", since.String())
			env.Vars = append(env.Vars, environment(env.WorkDir)...)
			return nil
		},
	})
}
