package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/snapshot"
)

// TestResponses checks the responses of an exporter that has everything. The checks share it, since they change nothing.
func TestResponses(t *testing.T) {
	t.Parallel()
	w := newFixture(t, someAccounts()...)
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	for name, check := range map[string]func(*testing.T, *fixture, *exporter){
		"metrics": checkMetrics, "formats and encodings": checkFormatsAndEncodings, "paths": checkPaths,
		"gzip": checkGzipMember, "with and without gzip": checkEncodingsAreEqual,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, w, x)
		})
	}
}

func checkMetrics(t *testing.T, w *fixture, x *exporter) {
	t.Helper()

	got := x.metrics(t)
	w.checkFigures(t, got, w.accounts...)
	w.checkFigures(t, parse(t, x.ask(t, http.MethodGet, "/metrics", "Accept", asProtobuf)), w.accounts...)
	checkWork(t, got, w.accounts)

	want := series("weixin_exporter_build_info", "version", stampedVersion)
	found := false
	for key, value := range got {
		found = found || strings.HasPrefix(key, want[:strings.Index(want, "{")]) &&
			strings.Contains(key, fmt.Sprintf("version=%q", stampedVersion)) &&
			strings.Contains(key, fmt.Sprintf("revision=%q", stampedRevision)) && value == 1
	}
	if !found {
		t.Error("no weixin_exporter_build_info with the stamped version and revision")
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
}

// checkWork checks the metrics of refreshes if every attempt succeeded.
func checkWork(t *testing.T, got samples, accounts []account) {
	t.Helper()
	now, started := float64(clock().Unix()), got["process_start_time_seconds"]
	for _, a := range accounts {
		if got[series("weixin_account_info", "account", a.name, "app_id", a.AppID)] != 1 {
			t.Errorf("%s: no weixin_account_info", a.name)
		}
		for _, api := range apis() {
			of := func(name string, more ...string) (float64, bool) {
				value, ok := got[series(name, append([]string{"account", a.name, "api", api}, more...)...)]
				return value, ok
			}
			if value, _ := of("weixin_refresh_success"); value != 1 {
				t.Errorf("%s, %s: weixin_refresh_success is %v, want 1", a.name, api, value)
			}
			if at, _ := of("weixin_refresh_last_success_timestamp_seconds"); at < started-1 || at > now+1 {
				t.Errorf("%s, %s: last success at %v, started at %v, the time is %v", a.name, api, at, started, now)
			}
			if value, ok := of("weixin_refresh_revisions_total"); value != 0 || !ok {
				t.Errorf("%s, %s: weixin_refresh_revisions_total is %v (exists: %v), want 0", a.name, api, value, ok)
			}
			for _, reason := range []string{"out_of_range", "duplicate", "bad_hour", "bad_value"} {
				if value, ok := of("weixin_refresh_rows_rejected_total", "reason", reason); ok {
					t.Errorf("%s, %s: rows rejected for %s: %v, want no series", a.name, api, reason, value)
				}
			}
			for reason := range snapshot.Reasons {
				value, ok := of("weixin_refresh_failures_total", "reason", reason.String())
				starts := slices.Contains([]string{"busy", "rate", "store"}, reason.String())
				if value != 0 || ok != starts {
					t.Errorf("%s, %s: failures for %s: %v (exists: %v), want 0 (exists: %v)", a.name, api, reason, value, ok, starts)
				}
			}
		}
	}
	for _, api := range append(apis(), "token") {
		calls := got[series("weixin_api_requests_total", "api", api, "errcode", "0")]
		if timed := got[series("weixin_api_request_duration_seconds_count", "api", api)]; calls < float64(len(accounts)) || timed != calls {
			t.Errorf("%s: %v requests, %v durations, want the same number and at least one for each account", api, calls, timed)
		}
		if value, ok := got[series("weixin_api_requests_total", "api", api, "errcode", "http")]; value != 0 || !ok {
			t.Errorf("%s: failed requests: %v (exists: %v), want 0", api, value, ok)
		}
	}
	if got["weixin_exporter_config_last_reload_successful"] != 1 {
		t.Error("weixin_exporter_config_last_reload_successful is not 1")
	}
	if at := got["weixin_exporter_config_last_reload_success_timestamp_seconds"]; at < started-1 || at > now+1 {
		t.Errorf("the configuration was last loaded at %v, started at %v, the time is %v", at, started, now)
	}
}

func checkFormatsAndEncodings(t *testing.T, w *fixture, x *exporter) {
	t.Helper()
	for _, c := range []struct{ name, accept, contentType, end string }{
		{"no header", "", "text/plain; version=0.0.4; charset=utf-8", "\n"},
		{"text", asText, "text/plain; version=0.0.4; charset=utf-8", "\n"},
		{"OpenMetrics", asOpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8", "\n# EOF\n"},
		{"protobuf", asProtobuf, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", ""},
		{"unsupported", "application/json", "text/plain; version=0.0.4; charset=utf-8", "\n"},
	} {
		for _, encoding := range []string{"gzip", "identity"} {
			p := x.ask(t, http.MethodGet, "/metrics", "Accept", c.accept, "Accept-Encoding", encoding)
			wantEncoding := map[string]string{"gzip": "gzip", "identity": ""}[encoding]
			if got := p.header.Get("Content-Encoding"); p.status != http.StatusOK || got != wantEncoding {
				t.Errorf("%s, %s: status %d with encoding %q, want 200 with %q", c.name, encoding, p.status, got, wantEncoding)
				continue
			}
			if encoding == "gzip" {
				plain, err := gunzip([]byte(p.body))
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				p.body = string(plain)
			}
			got, _, _ := strings.Cut(p.header.Get("Content-Type"), "; escaping=")
			if got != c.contentType {
				t.Errorf("%s, %s: content type %q, want %q", c.name, encoding, got, c.contentType)
			}
			if !strings.HasSuffix(p.body, c.end) {
				t.Errorf("%s, %s: does not end in %q", c.name, encoding, c.end)
			}
			if c.name != "OpenMetrics" {
				w.checkFigures(t, parse(t, p), w.accounts...)
			} else {
				checkSameValues(t, x.get(t, "/metrics").body, p.body)
			}
		}
	}
}

// checkSameValues compares the figures in the text format with those in OpenMetrics, which formats
// whole numbers with a fraction.
func checkSameValues(t *testing.T, text, openMetrics string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(weixin_interface_.*) (\S+)$`)
	want := line.FindAllStringSubmatch(text, -1)
	got := line.FindAllStringSubmatch(openMetrics, -1)
	if len(want) != len(got) || len(got) == 0 {
		t.Errorf("%d lines in OpenMetrics, %d in text", len(got), len(want))
		return
	}
	for i := range got {
		a, errA := strconv.ParseFloat(want[i][2], 64)
		b, errB := strconv.ParseFloat(got[i][2], 64)
		if want[i][1] != got[i][1] || a != b || errA != nil || errB != nil {
			t.Errorf("OpenMetrics has %s %s, text has %s %s", got[i][1], got[i][2], want[i][1], want[i][2])
		}
	}
}

func checkPaths(t *testing.T, _ *fixture, x *exporter) {
	t.Helper()
	const readOnly, notFound = "Only GET and HEAD are answered here.\n", "404 page not found\n"
	for _, c := range []struct {
		method, path string
		status       int
		allow, body  string // the body is a part of it
	}{
		{"GET", "/", 200, "", "<title>weixin_exporter</title>"},
		{"GET", "/?anything", 200, "", "<bdi>小店</bdi>"},
		{"GET", "/-/healthy", 200, "", "weixin_exporter is healthy.\n"},
		{"GET", "/-/ready", 200, "", "weixin_exporter is ready.\n"},
		{"GET", "/config", 200, "", "app_secret: <secret>\n"},
		{"GET", "/metrics", 200, "", "weixin_account_info{"},
		{"GET", "/nothing", 404, "", notFound},
		{"GET", "/metrics/", 404, "", notFound},
		{"GET", "/config.yml", 404, "", notFound},
		{"GET", "/-/", 404, "", notFound},
		{"GET", "/-/quit", 404, "", notFound},
		{"POST", "/-/quit", 404, "", notFound},
		{"GET", "/debug/pprof/", 404, "", notFound},
		{"POST", "/", 405, "GET, HEAD", readOnly},
		{"POST", "/metrics", 405, "GET, HEAD", readOnly},
		{"PUT", "/config", 405, "GET, HEAD", readOnly},
		{"DELETE", "/-/healthy", 405, "GET, HEAD", readOnly},
		{"OPTIONS", "/-/ready", 405, "GET, HEAD", readOnly},
		{"GET", "/-/reload", 405, "POST", "To reload the configuration, send a POST request.\n"},
		{"PUT", "/-/reload", 405, "POST", "To reload the configuration, send a POST request.\n"},
		{"POST", "/-/reload", 403, "", "Reloading over HTTP is off; start weixin_exporter with --web.enable-lifecycle, or send it SIGHUP.\n"},
	} {
		p := x.ask(t, c.method, c.path)
		if p.status != c.status || p.header.Get("Allow") != c.allow || !strings.Contains(p.body, c.body) {
			t.Errorf("%s %s: status %d, Allow %q, want %d, %q and a body with %q; got\n%s",
				c.method, c.path, p.status, p.header.Get("Allow"), c.status, c.allow, c.body, mask(p.body))
		}
		if c.method != "GET" {
			continue
		}
		head := x.ask(t, http.MethodHead, c.path)
		if head.status != c.status || head.body != "" || head.header.Get("Content-Type") != p.header.Get("Content-Type") {
			t.Errorf("HEAD %s: status %d, content type %q, %d bytes; want those of GET (%d, %q) and no body", c.path,
				head.status, head.header.Get("Content-Type"), len(head.body), p.status, p.header.Get("Content-Type"))
		}
	}
}

func TestConfigPage(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config)
	want := fmt.Sprintf(`accounts:
- name: shop
  app_id: %s
  app_secret: <secret>
  token:
    type: stable_token
weixin:
  base_url: %s
  timeout: 10s
  requests_per_second: 1000
  concurrency: 8
  quota: false
  http_config:
    follow_redirects: false
    enable_http2: true
refresh:
  interval: 15m
  ready_at: "00:00"
  history: %dd
  recheck_after: 1d
store:
  path: %s/store.db
  retention: 0s
`, w.accounts[0].AppID, w.url, history, w.folder)
	if got := x.get(t, "/config").body; got != want {
		t.Errorf("/config shows\n%s\nwant\n%s", mask(got), want)
	}
}

func TestOtherTelemetryPath(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.telemetry-path=/statistics")
	if got := parse(t, x.get(t, "/statistics")); len(accountsIn(got)) != 1 {
		t.Errorf("accounts %q, want one", accountsIn(got))
	}
	if p := x.ask(t, http.MethodGet, "/metrics"); p.status != http.StatusNotFound {
		t.Errorf("/metrics: status %d, want 404", p.status)
	}
	if !strings.Contains(x.get(t, "/").body, `href="./statistics"`) {
		t.Error("the overview does not link to the metrics")
	}
}

func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.listen-address=127.0.0.1:0")
	for _, client := range x.addresses(t, 2) {
		client.get(t, "/-/healthy")
	}
	x.stop(t, syscall.SIGTERM)
}

// addresses waits until a program listens on so many addresses, and returns a client of each.
func (p *process) addresses(t *testing.T, n int) []web {
	t.Helper()
	var found [][]string
	eventually(t, fmt.Sprintf("%d addresses", n), func() error {
		found = regexp.MustCompile(`Listening on.*address"?[=:]"?([0-9.:]+)`).FindAllStringSubmatch(strings.Join(p.stderr.lines(), "\n"), -1)
		if len(found) != n {
			return fmt.Errorf("%q", found)
		}
		return nil
	})
	clients := make([]web, n)
	for i, address := range found {
		clients[i] = newWeb(t, &url.URL{Scheme: "http", Host: address[1]})
	}
	return clients
}

// If the responses of the simulated Weixin have rows that do not belong there, the figures are still correct, and the
// rejected rows are counted.
func TestStrayRows(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 90_000))
	w.sim.Inject(strayRows())
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	got := x.metrics(t)
	w.checkFigures(t, got, w.accounts...)
	for _, c := range []struct{ api, reason string }{
		{"daily", "out_of_range"},
		{"daily", "duplicate"},
		{"hourly", "out_of_range"},
		{"hourly", "duplicate"},
	} {
		if got[series("weixin_refresh_rows_rejected_total", "account", "shop", "api", c.api, "reason", c.reason)] == 0 {
			t.Errorf("%s: no row is counted as rejected for %s", c.api, c.reason)
		}
	}
	x.logged(t, "rows of the response skipped", "reason=out_of_range", "account=shop")
}

func TestHistoryTakesFewCalls(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	begun := clock()
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	counts := map[string]int{}
	for _, c := range w.sim.Calls() {
		counts[c.API]++
	}
	if clock().Sub(begun) > time.Hour {
		t.Skip("the test was suspended, so more calls may be due")
	}
	// There is one more call for each if midnight in China passes during the test.
	if counts["stable_token"] != 1 || counts["daily"] > 3 || counts["hourly"] > history+1 || len(counts) != 3 {
		t.Errorf("calls: %v; want 1 for a token, 2 daily and %d hourly ones", counts, history)
	}
}
