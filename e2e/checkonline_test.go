package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// finished is the result of a command.
type finished struct {
	code           int
	stdout, stderr string
}

// finish runs the exporter with environment variables until it ends.
func finish(t *testing.T, variables []string, args ...string) finished {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite.binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(environment(t.TempDir()), variables...)
	stdout, stderr := newStream(), newStream()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	code, err := exitCode(cmd.Run())
	suite.recorder.record(t.Name(), "stdout", stdout.String())
	suite.recorder.record(t.Name(), "stderr", stderr.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, mask(stderr.String()))
	}
	return finished{code, stdout.String(), stderr.String()}
}

// checkOnline runs check --online.
func (w *fixture) checkOnline(t *testing.T, args ...string) finished {
	t.Helper()
	return finish(t, nil, append([]string{"check", "--online", "--config.file=" + w.config}, args...)...)
}

// golden compares a text with a file in testdata, which has placeholders for what differs between runs.
func (w *fixture) golden(t *testing.T, name, got string, servers ...string) {
	t.Helper()
	got = strings.ReplaceAll(got, w.folder, "FOLDER")
	for _, server := range servers {
		got = strings.ReplaceAll(got, server, "SERVER")
	}
	for _, change := range [][2]string{
		{`\b\d{4}-\d\d-\d\d\b`, "DATE"},
		{` \(rid [0-9a-f-]+\)`, ""}, // not every response has one
		{` +\n`, "\n"},
		{`(\S) {2,}`, "$1  "}, // the width of columns
		{`-{3,}`, "---"},
	} {
		got = regexp.MustCompile(change[0]).ReplaceAllString(got, change[1])
	}
	path := filepath.Join("testdata", name)
	if os.Getenv("E2E_UPDATE") != "" {
		writeFile(t, path, got)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, mask(diff))
	}
}

// newFaultyFixture returns a fixture in which each account has a different state, with its configuration, and the address
// of its token server.
func newFaultyFixture(t *testing.T) (*fixture, string) {
	t.Helper()
	fine, file, server, platform := newAccount("fine", 1, 700), newAccount("by-file", 2, 700), newAccount("by-url", 3, 700), authorized("by-platform", 4)
	address, unverified, wrong := newAccount("address", 5, 700), newAccount("unverified", 6, 700), newAccount("wrong-secret", 7, 700)
	usedUp, late, missing := newAccount("used-up", 8, 700), newAccount("late", 9, 700), newAccount("file-missing", 10, 700)
	fine.Quota, usedUp.Quota = 500, 1
	address.AllowList = []string{"198.51.100.1"}
	unverified.Errcode = 48001
	o := platforms()
	o.Ready = func(appID string, date datacube.Date) time.Time {
		if appID == late.AppID {
			return date.End().Add(72 * time.Hour)
		}
		return date.End()
	}
	w := newFixtureWith(t, o, fine, file, server, platform, address, unverified, wrong, usedUp, late, missing)
	base := w.tokenServer(t, false)
	w.put(t, "token", w.tokenOf(t, file))
	w.put(t, "refresh", w.sim.RefreshToken(platform.AppID))
	other := &service{fixture: w, account: usedUp}
	other.takeToken(t)
	if code := other.call(t); code != 0 {
		t.Fatalf("using up the quota: errcode %d", code)
	}
	bySecret := func(a account) sourced { return sourced{a, "app_secret: " + a.AppSecret} }
	key := base.JoinPath("raw", server.AppID)
	key.RawQuery = "key=" + secretMarker + "key"
	w.write(t, w.list(bySecret(fine), sourced{file, fromFile("token")}, sourced{server, fromURL(key.String())},
		sourced{platform, fromPlatform(fmt.Sprintf("type: url, url: %q", base.JoinPath("string", "component", agency)), "refresh")},
		bySecret(address), bySecret(unverified), sourced{wrong, "app_secret: " + secretMarker + "wrong"}, bySecret(usedUp), bySecret(late),
		sourced{missing, fromFile("missing")}))
	return w, base.Host
}

// checkFewCalls fails if check --online made too many calls for an account.
func (w *fixture) checkFewCalls(t *testing.T, from int, accounts ...account) {
	t.Helper()
	for _, a := range accounts {
		withToken, forToken := 0, 0
		for _, c := range w.callsFor(a, from) {
			if slices.Contains([]string{"token", "stable_token", "token_server", "authorizer"}, c.API) {
				forToken++
			} else {
				withToken++
			}
		}
		if withToken > 4 || forToken > 1 {
			t.Errorf("%s: %d calls with its token and %d to obtain it; want at most 4 and 1", a.name, withToken, forToken)
		}
	}
}

func TestCheckOnline(t *testing.T) {
	t.Parallel()
	w, server := newFaultyFixture(t)
	const unhealthy = 5

	from := len(w.sim.Calls())
	table := w.checkOnline(t)
	w.checkFewCalls(t, from, w.accounts...)
	if want := fmt.Sprintf("weixin_exporter: error: accounts with faults: %d of %d\n", unhealthy, len(w.accounts)); table.code != 1 || table.stderr != want {
		t.Errorf("exit code %d, stderr %q; want 1, %q", table.code, mask(table.stderr), want)
	}
	if strings.Contains(table.stdout, "\x1b") {
		t.Error("colors, although stdout is not a terminal")
	}
	w.golden(t, "checkonline/table.txt", table.stdout, server, strings.TrimPrefix(w.url, "http://"))

	w, server = newFaultyFixture(t)
	from = len(w.sim.Calls())
	machine := w.checkOnline(t, "--output=json")
	w.checkFewCalls(t, from, w.accounts...)
	var report struct {
		Accounts []struct {
			Account string
			Healthy bool
		}
	}
	if err := json.Unmarshal([]byte(machine.stdout), &report); err != nil || len(report.Accounts) != len(w.accounts) || machine.code != 1 {
		t.Fatalf("exit code %d, %d accounts: %v", machine.code, len(report.Accounts), err)
	}
	unhealthyAccounts := 0
	for i, r := range report.Accounts {
		if r.Account != w.accounts[i].name {
			t.Errorf("account %q at index %d, want %q", r.Account, i, w.accounts[i].name)
		}
		if !r.Healthy {
			unhealthyAccounts++
		}
	}
	if unhealthyAccounts != unhealthy {
		t.Errorf("%d accounts with faults, want %d", unhealthyAccounts, unhealthy)
	}
	w.golden(t, "checkonline/report.json", machine.stdout, server, strings.TrimPrefix(w.url, "http://"))
	for _, host := range []string{server, strings.TrimPrefix(w.url, "http://")} {
		if strings.Contains(table.stdout+machine.stdout+machine.stderr, "@"+host) {
			t.Error("the user of a URL is shown")
		}
	}
	if text := table.stdout + machine.stdout + machine.stderr; strings.Contains(text, "key=") {
		t.Error("the query of a URL is shown")
	}
}

func TestCheckOnlineOfOneAccount(t *testing.T) {
	t.Parallel()
	w, _ := newFaultyFixture(t)
	from := len(w.sim.Calls())
	for _, c := range []struct {
		account, stderr string
		code            int
	}{
		{"fine", "", 0},
		{"late", "", 0},
		{"unverified", "weixin_exporter: error: accounts with faults: 1 of 1\n", 1},
		{"absent", fmt.Sprintf("weixin_exporter: error: --account=absent: wrong usage: no account of %s has that name\n", w.config), 2},
	} {
		got := w.checkOnline(t, "--account="+c.account)
		if got.code != c.code || got.stderr != c.stderr {
			t.Errorf("%s: exit code %d, stderr %q; want %d, %q", c.account, got.code, mask(got.stderr), c.code, c.stderr)
		}
	}
	for _, a := range w.accounts {
		asked := len(w.callsFor(a, from))
		if wanted := slices.Contains([]string{"fine", "late", "unverified"}, a.name); (asked > 0) != wanted {
			t.Errorf("%s: %d calls, although --account names others: %v", a.name, asked, !wanted)
		}
	}
	if got := w.checkOnline(t, "--output=xml"); got.code != 2 || !strings.Contains(got.stderr, "--output: must be text or json") {
		t.Errorf("an invalid output: exit code %d, stderr %q; want 2 and the allowed values", got.code, got.stderr)
	}
}

// The accounts are checked in parallel, but not more at once than configured.
func TestCheckOnlineInParallel(t *testing.T) {
	t.Parallel()
	var accounts []account
	for i := range 50 {
		accounts = append(accounts, newAccount(fmt.Sprintf("account-%02d", i), i, 700))
	}
	w := newFixture(t, accounts...)
	w.sim.Inject(weixintest.Fault{Delay: 10 * time.Millisecond})
	var running, most atomic.Int64
	counted := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for now, before := running.Add(1), most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		w.sim.ServeHTTP(rw, r)
		running.Add(-1)
	}))
	t.Cleanup(counted.Close)
	w.url = counted.URL
	w.write(t, w.yaml(accounts...))
	got := w.checkOnline(t, "--output=json")
	if got.code != 0 || strings.Count(got.stdout, `"healthy": true`) != len(accounts) {
		t.Errorf("exit code %d, %d healthy accounts; want 0, %d:\n%s", got.code, strings.Count(got.stdout, `"healthy": true`), len(accounts), mask(got.stderr))
	}
	// The next account begins a moment before the server has completed the last call.
	if n := most.Load(); n < 2 || n > 8+8 {
		t.Errorf("%d calls at once, want several, but not more than the concurrency of 8 allows", n)
	}
	w.checkFewCalls(t, 0, accounts...)
}

// On a terminal there are colors, unless NO_COLOR is set.
func TestCheckOnlineOnATerminal(t *testing.T) {
	t.Parallel()
	w, _ := newFaultyFixture(t)
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/checkonline/terminal.txtar"},
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXPORTER", suite.binary)
			env.Setenv("CONFIG", w.config)
			env.Vars = append(env.Vars, environment(env.WorkDir)...)
			return nil
		},
	})
}

// check --online reports whether each remote write endpoint accepts requests, without storing anything there.
func TestCheckOnlineOfRemoteWrite(t *testing.T) {
	t.Parallel()
	shop := newAccount("shop", 1, 500)
	w := newFixture(t, shop)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	plain := strings.Replace(tls.URL, "https://", "http://", 1)
	d := prometheusReceiver(t, "PROMETHEUS3", "10d")
	w.write(t, w.yamlWith(history, fmt.Sprintf("url: %q", d.write), fmt.Sprintf("url: %q", plain+"/write")))
	got := w.checkOnline(t)
	if got.code != 1 || !strings.Contains(got.stderr, "remote-write endpoints with faults: 1 of 2") {
		t.Errorf("exit code %d, stderr\n%s", got.code, mask(got.stderr))
	}
	for _, want := range []string{
		"remote_write[0] (" + endpointOf(d.write) + "): accepts requests\n",
		"warning: remote_write[0] (" + endpointOf(d.write) + "): the receiver keeps samples for only 15d",
		"warning: remote_write[0] (" + endpointOf(d.write) + "): the receiver's storage.tsdb.out_of_order_time_window is 10d",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, mask(got.stdout))
		}
	}
	want := "remote_write[1] (" + endpointOf(plain) + "/write): HTTP status 400: Client sent an HTTP request to an HTTPS server."
	if !strings.Contains(got.stderr, want) {
		t.Errorf("stderr lacks %q:\n%s", want, mask(got.stderr))
	}
	if n := d.samples(t).Count(); n != 0 {
		t.Errorf("the receiver has %d samples", n)
	}
	if got := w.checkOnline(t, "--account=shop"); got.code != 0 || strings.Contains(got.stdout, "remote_write") {
		t.Errorf("for one account: exit code %d, stdout\n%s", got.code, mask(got.stdout))
	}
}
