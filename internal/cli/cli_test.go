package cli_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"--help"}, cli.Done, "healthcheck", ""},
		{[]string{"--version"}, cli.Done, "weixin_exporter, version", ""},
		{[]string{"--no-such-flag"}, cli.Usage, "", "unknown long flag '--no-such-flag'; see --help"},
		{[]string{"no-such-command"}, cli.Usage, "", `unexpected argument "no-such-command"; the commands are help, serve, check, `},
		{[]string{"--web.max-requests=-1"}, cli.Usage, "", `--web.max-requests: must be a whole number, 0 or more, not "-1"; see --help`},
		{[]string{"--web.max-requests=many"}, cli.Usage, "", `--web.max-requests: must be a whole number, 0 or more, not "many"; see --help`},
		{[]string{"help"}, cli.Done, "healthcheck", ""},
		{[]string{"help", "export"}, cli.Done, "usage: weixin_exporter export", ""},
		{[]string{"help", "bogus"}, cli.Usage, "", `unexpected argument "bogus"; the commands are `},
		{[]string{"--log.level=debug", "help", "bogus"}, cli.Usage, "", `unexpected argument "bogus"; the commands are `},
		{[]string{"--log.level=loud"}, cli.Usage, "", `--log.level: must be debug, info, warn or error, not "loud"; see --help`},
	} {
		got := clitest.Finish(t, time.Now, c.args...)
		if got.Code != c.code || !strings.Contains(got.Stdout, c.stdout) || !strings.Contains(got.Stderr, c.stderr) {
			t.Errorf("%q: %+v, want %d, %q and %q", c.args, got, c.code, c.stdout, c.stderr)
		}
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	t.Setenv("WEIXIN_EXPORTER_CONFIG_FILE", "from-the-environment.yml")
	t.Setenv("WEIXIN_EXPORTER_VERSION", "1.2.3") // a build argument rather than a flag
	if got := clitest.Finish(t, time.Now, "check"); got.Code != cli.Fault || !strings.Contains(got.Stderr, "from-the-environment.yml") {
		t.Errorf("%+v", got)
	}
}

func TestCheck(t *testing.T) {
	good := clitest.WriteConfig(t, "accounts:\n- {name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-check, token: {type: token}}\n")
	got := clitest.Finish(t, time.Now, "check", "--config.file="+good)
	if got.Code != cli.Done || !strings.HasSuffix(got.Stdout, good+": no fault found; accounts: 1\n") || !strings.Contains(got.Stdout, "warning: ") {
		t.Errorf("a good file: %+v", got)
	}
	bad := clitest.WriteConfig(t, "accounts:\n- {name: shop, app_id: wx0123456789abcdef}\nrefresh: {interval: soon}\n")
	got = clitest.Finish(t, time.Now, "check", "--config.file="+bad)
	if got.Code != cli.Fault || strings.Count(got.Stderr, "\n"+bad+":") != 1 || !strings.HasPrefix(got.Stderr, bad+":") ||
		!strings.HasSuffix(got.Stderr, "weixin_exporter: error: "+bad+": faults: 2\n") {
		t.Errorf("a file with two faults: %+v", got)
	}
	got = clitest.Finish(t, time.Now, "serve", "--config.file="+bad)
	if got.Code != cli.Fault || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, "(and 1 more; weixin_exporter check shows all)") {
		t.Errorf("serving a file with two faults: %+v", got)
	}
}

func TestClockBeforeTheFirstDay(t *testing.T) {
	config := clitest.WriteConfig(t, "accounts:\n- {name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-clock}\n")
	got := clitest.Finish(t, func() time.Time { return time.Unix(0, 0) }, "--config.file="+config)
	want := "weixin_exporter: error: the clock of this host says 1970-01-01T00:00:00Z, but Weixin's statistics begin at 2014-12-01: set the clock\n"
	if got.Code != cli.Fault || got.Stderr != want {
		t.Errorf("%+v, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "weixin_exporter.db")); err == nil {
		t.Error("a store was made on a wrong clock")
	}
}

func TestPortTaken(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	got := clitest.Finish(t, time.Now, "demo", "--log.level=error", "--web.listen-address="+address)
	want := "weixin_exporter: error: listen tcp " + address + ": bind: address already in use: " +
		"end the other program, or choose another port with --web.listen-address\n"
	// The demonstration may have refused its unverified account before, and logged it.
	if got.Code != cli.Fault || !strings.HasSuffix(got.Stderr, want) {
		t.Errorf("%+v, want %q at the end", got, want)
	}
}

func TestTelemetryPathTaken(t *testing.T) {
	got := clitest.Finish(t, time.Now, "demo", "--log.level=error", "--web.telemetry-path=/config")
	if got.Code != cli.Usage || !strings.Contains(got.Stderr, `--web.telemetry-path: wrong usage: the path /config is taken`) {
		t.Errorf("%+v", got)
	}
}

func TestDemo(t *testing.T) {
	p := clitest.Start(t, "demo")
	p.Output.Wait(`Metrics    ` + p.Base + `/metrics`)
	p.Output.Wait(`figures of yesterday received.* account=support-bot .*api=hourly`)
	p.Output.Wait(`account=not-verified.* errcode=48001`)
	if metrics, ok := p.Shows(`weixin_interface_daily_failures\{account="support-bot"\} (\d{3,})\n`); !ok {
		t.Errorf("the account with an incident has no failures:\n%s", metrics)
	}
	if got := clitest.Finish(t, time.Now, "healthcheck", "--web.listen-address="+strings.TrimPrefix(p.Base, "http://")); got.Code != cli.Done {
		t.Errorf("not healthy: %+v", got)
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	if got := clitest.Finish(t, time.Now, "healthcheck", "--web.listen-address="+strings.TrimPrefix(p.Base, "http://")); got.Code != cli.Fault {
		t.Errorf("healthy after its end: %+v", got)
	}
}

func TestServeAndReload(t *testing.T) {
	shop := weixintest.Account{AppID: "wx0123456789abcdef", AppSecret: "sim-secret-shop", CallbacksPerDay: 10_000}
	bot := weixintest.Account{AppID: "wxfedcba9876543210", AppSecret: "sim-secret-bot", CallbacksPerDay: 10_000}
	simulated := weixintest.New(weixintest.Options{
		Seed: 1, Now: time.Now, Accounts: []weixintest.Account{shop, bot},
		Ready: func(_ string, d datacube.Date) time.Time { return d.End() },
	})
	server := httptest.NewServer(simulated)
	defer server.Close()
	text := func(accounts string) string {
		return "accounts:\n" + accounts + "weixin: {base_url: '" + server.URL + "', requests_per_second: 1000}\nrefresh: {ready_at: '00:00', history: 2d}\n"
	}
	const (
		shopLine = "- {name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-shop, token: {type: token}}\n"
		botLine  = "- {name: bot, app_id: wxfedcba9876543210, app_secret: sim-secret-bot}\n"
	)
	file := clitest.WriteConfig(t, text(shopLine))
	p := clitest.Start(t, "serve", "--config.file="+file, "--web.enable-lifecycle", "--log.format=logfmt")
	p.Output.Wait(`figures of yesterday received.* account=shop .*api=hourly`)
	rewrite := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	rewrite(text(shopLine + botLine))
	if code, body := p.Request("POST", "/-/reload"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	p.Output.Wait(`figures of yesterday received.* account=bot .*api=hourly`)
	if metrics, ok := p.Shows(`weixin_interface_daily_callbacks\{account="bot"\}`); !ok {
		t.Errorf("the second account has no figures:\n%s", metrics)
	}

	rewrite(text(shopLine) + "store: {path: elsewhere.db}\n")
	if code, body := p.Request("POST", "/-/reload"); code != http.StatusInternalServerError || !strings.Contains(body, "store.path cannot change") {
		t.Errorf("another store while running: %d %s", code, body)
	}
	rewrite("accounts: none\n")
	if code, body := p.Request("POST", "/-/reload"); code != http.StatusInternalServerError || !strings.Contains(body, file+":1:1: accounts") {
		t.Errorf("a bad file: %d %s", code, body)
	}
	if _, metrics := p.Request("GET", "/metrics"); !strings.Contains(metrics, "weixin_exporter_config_last_reload_successful 0\n") ||
		!strings.Contains(metrics, `weixin_interface_daily_callbacks{account="bot"}`) {
		t.Errorf("after a bad file:\n%s", metrics)
	}

	rewrite(text(botLine))
	if code, body := p.Request("POST", "/-/reload"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if _, metrics := p.Request("GET", "/metrics"); !strings.Contains(metrics, "weixin_exporter_config_last_reload_successful 1\n") ||
		strings.Contains(metrics, `account="shop"`) {
		t.Errorf("after the account was removed:\n%s", metrics)
	}
	if _, config := p.Request("GET", "/config"); !strings.Contains(config, "app_secret: <secret>") {
		t.Errorf("/config: %s", config)
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	tokens := map[string]int{}
	for _, c := range simulated.Calls() {
		if c.API != "daily" && c.API != "hourly" {
			tokens[c.API+" "+c.AppID]++
		}
	}
	// The second reload made new clients; the accounts kept their tokens.
	if len(tokens) != 2 || tokens["token "+shop.AppID] != 1 || tokens["stable_token "+bot.AppID] != 1 {
		t.Errorf("token calls: %v, want one for each account", tokens)
	}
}

// TestOpenMetricsFamiliesDoNotCollide: strict parsers refuse a family whose name, with or without one of the
// suffixes that its type gives to samples, is taken by another.
func TestOpenMetricsFamiliesDoNotCollide(t *testing.T) {
	p := clitest.Start(t, "demo")
	p.Output.Wait(`figures of yesterday received.* account=support-bot .*api=hourly`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Base+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	suffixes := map[string][]string{
		"counter": {"_total", "_created"}, "summary": {"_count", "_sum", "_created"}, "info": {"_info"},
		"histogram": {"_bucket", "_count", "_sum", "_created"}, "gaugehistogram": {"_bucket", "_gcount", "_gsum"},
	}
	taken := map[string]string{}
	for _, family := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(string(body), -1) {
		for _, suffix := range append([]string{""}, suffixes[family[2]]...) {
			name := family[1] + suffix
			if other, ok := taken[name]; ok {
				t.Errorf("the name %s belongs to the families %s and %s", name, other, family[1])
			}
			taken[name] = family[1]
		}
	}
	for _, name := range []string{"go_memstats_alloc_bytes_total", "go_memstats_heap_alloc_bytes", "weixin_api_requests_total"} {
		if taken[name] == "" {
			t.Errorf("%s is not there", name)
		}
	}
}

func TestVersionOfTheBuild(t *testing.T) {
	build := func(module string, settings ...debug.BuildSetting) func() (*debug.BuildInfo, bool) {
		return func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: settings}, true
		}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "5e17e8ec6de5e6fd423f7e7d8a7f0d2e3fa072fe"}
	for _, c := range []struct {
		stamped string
		read    func() (*debug.BuildInfo, bool)
		want    string
	}{
		{"1.2.3", build("v0.9.0"), "1.2.3"},
		{"", build("v0.9.0"), "v0.9.0"},
		{"", build("(devel)", revision), "5e17e8ec6de5"},
		{"", build("(devel)", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "5e17e8ec6de5-dirty"},
		{"", build("(devel)"), "devel"},
		{"", build(""), "devel"},
		{"", func() (*debug.BuildInfo, bool) { return nil, false }, "unknown"},
	} {
		if got := cli.BuildVersion(c.stamped, c.read); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
