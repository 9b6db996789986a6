package e2e_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// history is the number of days that the exporters under test request, and quietDays how many of them are known at
// once for an account without traffic: a day without rows is known to be empty only 48 hours after its end.
const (
	history   = 30
	quietDays = history - 2
)

// loopback is the address of the programs under test, as seen by the simulated Weixin.
const loopback = "127.0.0.1"

// account is an account of the simulated Weixin, with its name in the exporter.
type account struct {
	name string
	weixintest.Account
}

// newAccount returns an account with a unique app id.
func newAccount(name string, n int, callbacks int64) account {
	return account{name, weixintest.Account{
		AppID:           fmt.Sprintf("wx%016x", 0xe2e000+n),
		AppSecret:       fmt.Sprintf("%se2e-%016x", secretMarker, 0xabc000+n),
		CallbacksPerDay: callbacks,
	}}
}

// someAccounts returns accounts of different sizes, some with names that need escaping.
func someAccounts() []account {
	return []account{
		newAccount("shop", 1, 90_000),
		newAccount("小店", 2, 800),
		newAccount(`客服 "机器人" \ №2`, 3, 12),
		newAccount("quiet", 4, 0),
	}
}

// fixture is a simulated Weixin on a loopback port, and a folder with the exporter's configuration.
type fixture struct {
	sim      *weixintest.Server
	url      string
	folder   string
	config   string // the path of the configuration file
	accounts []account
	ahead    atomic.Int64 // how far the clock of the simulated Weixin is ahead, in nanoseconds
}

// newFixture returns a fixture whose figures are available as soon as their day is over, so that the tests do not depend
// on the time of day, and whose days stay the same for as long as a test takes.
func newFixture(t *testing.T, accounts ...account) *fixture {
	t.Helper()
	return newFixtureWith(t, weixintest.Options{}, accounts...)
}

// newFixtureWith is newFixture with options of the simulated Weixin beyond its clock and accounts.
func newFixtureWith(t *testing.T, o weixintest.Options, accounts ...account) *fixture {
	t.Helper()
	withinADay(t)
	return newFixtureOf(t, o, clock, accounts)
}

// newFixtureAt is newFixture with a clock from the test.
func newFixtureAt(t *testing.T, now func() time.Time, accounts ...account) *fixture {
	t.Helper()
	return newFixtureOf(t, weixintest.Options{}, now, accounts)
}

// newFixtureOf returns a fixture with options of the simulated Weixin, and with its clock.
func newFixtureOf(t *testing.T, o weixintest.Options, now func() time.Time, accounts []account) *fixture {
	t.Helper()
	w := &fixture{accounts: accounts, folder: t.TempDir()}
	w.sim = newSim(o, func() time.Time { return now().Add(time.Duration(w.ahead.Load())) }, accounts)
	w.config = filepath.Join(w.folder, "config.yml")
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.write(t, w.yaml(accounts...))
	return w
}

func newSim(o weixintest.Options, now func() time.Time, accounts []account) *weixintest.Server {
	o.Seed, o.Now = 2, now
	for _, a := range accounts {
		o.Accounts = append(o.Accounts, a.Account)
	}
	if o.Ready == nil {
		o.Ready = func(_ string, date datacube.Date) time.Time { return date.End() }
	}
	sim := weixintest.New(o)
	suite.recorder.addSecrets(sim)
	return sim
}

// yaml returns a configuration with the accounts and with settings for quick tests.
func (w *fixture) yaml(accounts ...account) string {
	entries := make([]string, len(accounts))
	for i, a := range accounts {
		entries[i] = entry(a, "app_secret: "+a.AppSecret)
	}
	return "accounts:\n" + strings.Join(entries, "") + w.settings(history)
}

// entry returns an account in a list, with the key of its token source.
func entry(a account, key string) string {
	return fmt.Sprintf("  - name: %q\n    app_id: %s\n    %s\n", a.name, a.AppID, key)
}

// settings returns settings for quick tests, with a history of the given number of days.
func (w *fixture) settings(days int) string {
	return fmt.Sprintf("weixin:\n  base_url: %s\n  requests_per_second: 1000\n  concurrency: 8\n", w.url) +
		fmt.Sprintf("refresh:\n  ready_at: \"00:00\"\n  history: %dd\n", days) +
		"store:\n  path: store.db\n"
}

// write replaces the configuration file.
func (w *fixture) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitHanging waits until a number of calls have arrived that the simulated Weixin does not answer for now.
func (w *fixture) waitHanging(t *testing.T, calls int) {
	t.Helper()
	eventually(t, "calls that hang", func() error {
		hanging := 0
		for _, c := range w.sim.Calls() {
			if c.Errcode == weixintest.NoAnswer {
				hanging++
			}
		}
		if hanging < calls {
			return fmt.Errorf("%d calls hang, want %d", hanging, calls)
		}
		return nil
	})
}

// waitComplete waits until an exporter has all days of the accounts.
func (w *fixture) waitComplete(t *testing.T, x web, accounts ...account) {
	t.Helper()
	eventually(t, "all days to be known", func() error {
		got := x.metrics(t)
		for _, a := range accounts {
			days := float64(history)
			if a.CallbacksPerDay == 0 {
				days = quietDays
			}
			for _, api := range apis() {
				if known := got[series("weixin_store_known_dates", "account", a.name, "api", api)]; known < days {
					return fmt.Errorf("%s, %s: %v days known, want %v", a.name, api, known, days)
				}
			}
		}
		return nil
	})
}

// waitFigures waits until an exporter shows figures of both calls for the accounts.
func (w *fixture) waitFigures(t *testing.T, x web, accounts ...account) {
	t.Helper()
	eventually(t, "figures of all accounts", func() error {
		got := x.metrics(t)
		for _, a := range accounts {
			for _, api := range apis() {
				if _, ok := dateOf(got, api, a); !ok {
					return fmt.Errorf("%s, %s: none", a.name, api)
				}
			}
		}
		return nil
	})
}

func apis() []string { return []string{datacube.Daily.String(), datacube.Hourly.String()} }

// dateOf returns the day of an account's figures; false if there are none.
func dateOf(got samples, api string, a account) (datacube.Date, bool) {
	start, ok := got[series("weixin_interface_"+api+"_data_timestamp_seconds", "account", a.name)]
	return datacube.DateOf(time.Unix(int64(start), 0)), ok
}

// truth returns the correct series of an account for the given days.
func (w *fixture) truth(a account, daily, hourly datacube.Date) samples {
	want := samples{}
	add := func(period string, f datacube.Figures, labels ...string) {
		name := func(what string) string { return series("weixin_interface_"+period+"_"+what, labels...) }
		want[name("callbacks")] = float64(f.Callbacks)
		want[name("failures")] = float64(f.Failures)
		want[name("time_cost_seconds")] = float64(f.TimeCostMillis) / 1000
		want[name("max_time_cost_seconds")] = float64(f.MaxTimeCostMillis) / 1000
		if f.Callbacks > 0 {
			want[name("average_time_cost_seconds")] = float64(f.TimeCostMillis) / float64(f.Callbacks) / 1000
		}
	}
	add("daily", w.sim.Day(a.AppID, daily), "account", a.name)
	for hour, f := range w.sim.Hours(a.AppID, hourly) {
		add("hourly", f, "account", a.name, "hour", fmt.Sprintf("%02d", hour))
	}
	want[series("weixin_interface_daily_data_timestamp_seconds", "account", a.name)] = float64(daily.Start().Unix())
	want[series("weixin_interface_hourly_data_timestamp_seconds", "account", a.name)] = float64(hourly.Start().Unix())
	return want
}

// checkFigures compares all weixin_interface series with the figures of exactly these accounts in the simulated
// Weixin.
func (w *fixture) checkFigures(t *testing.T, got samples, accounts ...account) {
	t.Helper()
	today := datacube.DateOf(clock())
	want := samples{}
	for _, a := range accounts {
		dates := map[string]datacube.Date{}
		for _, api := range apis() {
			date, ok := dateOf(got, api, a)
			latest := today - 1
			if a.CallbacksPerDay == 0 {
				latest = today - 3
			}
			// The figures may be a day older if midnight in China has just passed.
			if !ok || date != latest && date != latest-1 {
				t.Errorf("%s, %s: the figures are of %v (exists: %v), want %v", a.name, api, date, ok, latest)
			}
			dates[api] = date
		}
		maps.Copy(want, w.truth(a, dates["daily"], dates["hourly"]))
	}
	figures := samples{}
	for key, value := range got {
		if strings.HasPrefix(key, "weixin_interface_") {
			figures[key] = value
		}
	}
	if diff := cmp.Diff(want, figures, cmp.Comparer(near)); diff != "" {
		t.Errorf("the figures are wrong (-want +got):\n%s", mask(diff))
	}
}

// near allows for rounding in the division of averages.
func near(a, b float64) bool { return a == b || max(a-b, b-a) < 1e-12*max(a, b) }

// accountsIn returns the names of all accounts, sorted.
func accountsIn(got samples) []string {
	names := map[string]bool{}
	for key := range got {
		if strings.HasPrefix(key, "weixin_account_info{") {
			names[between(key, `account="`, `", app_id=`)] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// between returns the text between two others.
func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// callsFor returns the calls of an account, from the call with the given index on.
func (w *fixture) callsFor(a account, from int) []weixintest.Call {
	var found []weixintest.Call
	for _, c := range w.sim.Calls()[from:] {
		if c.AppID == a.AppID {
			found = append(found, c)
		}
	}
	return found
}
