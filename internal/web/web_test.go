package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin/datacube"
)

// surface is the handler under test with its parts.
type surface struct {
	t       *testing.T
	board   *snapshot.Latest
	reloads int
	options web.Options
}

var errBad = errors.New("config.yml:3:5: accounts[0].name: bad")

func newSurface(t *testing.T) *surface {
	t.Helper()
	s := &surface{t: t, board: snapshot.NewLatest()}
	s.options = web.Options{
		Metrics:       http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		TelemetryPath: "/metrics",
		Discovery:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]\n") }),
		Source:        s.board,
		Config:        func() ([]byte, error) { return []byte("accounts: []\n"), nil },
		Reload:        func(context.Context) error { s.reloads++; return nil },
		Lifecycle:     true,
		Version:       "1.2.3",
		Now:           func() time.Time { return time.Date(2026, 3, 10, 1, 2, 3, 0, time.UTC) },
		Logger:        log.NewLogfmtLogger(t.Output()),
	}
	return s
}

// ask sends one request to a handler made from the options.
func (s *surface) ask(method, path string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	h, err := web.NewHandler(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
		body         string // a part of it
		allow        string
	}{
		{"GET", "/metrics", 200, "up 1\n", ""},
		{"HEAD", "/metrics", 200, "", ""},
		{"POST", "/metrics", 405, "Only GET and HEAD", "GET, HEAD"},
		{"GET", "/sd", 200, "[]\n", ""},
		{"POST", "/sd", 405, "Only GET and HEAD", "GET, HEAD"},
		{"GET", "/", 200, "weixin_exporter</title>", ""},
		{"GET", "/-/healthy", 200, "healthy", ""},
		{"GET", "/-/ready", 200, "ready", ""},
		{"GET", "/config", 200, "accounts: []\n", ""},
		{"DELETE", "/config", 405, "Only GET and HEAD", "GET, HEAD"},
		{"POST", "/-/reload", 200, "was reloaded", ""},
		{"GET", "/-/reload", 405, "send a POST request", "POST"},
		{"GET", "/metrics/", 404, "not found", ""},
		{"GET", "/no/such/path", 404, "not found", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			s := newSurface(t)
			s.board.Publish(&snapshot.Snapshot{})
			w := s.ask(c.method, c.path)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Allow") != c.allow {
				t.Errorf("%d %q Allow %q, want %d %q Allow %q", w.Code, w.Body, w.Header().Get("Allow"), c.code, c.body, c.allow)
			}
		})
	}
}

func TestReadyWaitsForTheFirstSnapshotAlone(t *testing.T) {
	s := newSurface(t)
	if w := s.ask("GET", "/-/ready"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d before the first snapshot", w.Code)
	}
	if w := s.ask("GET", "/-/healthy"); w.Code != http.StatusOK {
		t.Errorf("not healthy before the first snapshot: %d", w.Code)
	}
	s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{{Name: "never answered"}}})
	if w := s.ask("GET", "/-/ready"); w.Code != http.StatusOK {
		t.Errorf("%d after it", w.Code)
	}
}

func TestReload(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		s := newSurface(t)
		s.options.Lifecycle = false
		w := s.ask("POST", "/-/reload")
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--web.enable-lifecycle") || s.reloads != 0 {
			t.Errorf("%d %q after %d reloads", w.Code, w.Body, s.reloads)
		}
	})
	t.Run("bad file", func(t *testing.T) {
		s := newSurface(t)
		s.options.Reload = func(context.Context) error { return errBad }
		w := s.ask("POST", "/-/reload")
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), errBad.Error()) {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
	t.Run("from a page of another site", func(t *testing.T) {
		s := newSurface(t)
		w := s.ask("POST", "/-/reload", "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.test")
		if w.Code != http.StatusForbidden || s.reloads != 0 {
			t.Errorf("%d after %d reloads", w.Code, s.reloads)
		}
	})
}

func TestConfigThatCannotBeShown(t *testing.T) {
	s := newSurface(t)
	var log bytes.Buffer
	s.options.Config = func() ([]byte, error) { return nil, errBad }
	s.options.Logger = logTo(&log)
	if w := s.ask("GET", "/config"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), errBad.Error()) {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "cannot show the configuration") {
		t.Errorf("logged: %s", &log)
	}
}

func logTo(w io.Writer) log.Logger { return log.NewLogfmtLogger(w) }

func TestTelemetryPath(t *testing.T) {
	for _, path := range []string{"", "metrics", "/sd", "/config", "/-/ready", "/-/healthy", "/-/reload"} {
		s := newSurface(t)
		s.options.TelemetryPath = path
		if _, err := web.NewHandler(s.options); err == nil {
			t.Errorf("the telemetry path %q was taken", path)
		}
	}
	s := newSurface(t)
	s.options.TelemetryPath = "/"
	if w := s.ask("GET", "/"); w.Body.String() != "up 1\n" {
		t.Errorf("with / as telemetry path: %q", w.Body)
	}
	s.options.TelemetryPath = "/{odd path}"
	if w := s.ask("GET", "/%7Bodd%20path%7D"); w.Body.String() != "up 1\n" {
		t.Errorf("with an odd telemetry path: %d %q", w.Code, w.Body)
	}
}

func TestLandingPage(t *testing.T) {
	s := newSurface(t)
	if w := s.ask("GET", "/"); !strings.Contains(w.Body.String(), "The store is being read.") {
		t.Errorf("before the first snapshot: %s", w.Body)
	}
	at := time.Date(2026, 3, 9, 16, 30, 0, 0, time.UTC)
	shop := &snapshot.Account{
		Name: "shop", AppID: "wx1",
		Daily:  &datacube.Day{Date: datacube.DateOf(at) - 1, Figures: datacube.Figures{Callbacks: 1234567, Failures: 12900, TimeCostMillis: 1234567 * 88, MaxTimeCostMillis: 5003}},
		Hourly: &datacube.HourlyDay{Date: datacube.DateOf(at) - 1},
	}
	quiet := &snapshot.Account{Name: "quiet", AppID: "wx2", Daily: &datacube.Day{Date: datacube.DateOf(at) - 2}}
	failing := &snapshot.Account{Name: "<script>alert(1)</script>", AppID: "wx3", Hourly: &datacube.HourlyDay{Date: datacube.DateOf(at) - 1}}
	failing.Work[datacube.Hourly].Problem = &snapshot.Problem{
		Since: at, At: at, Next: at.Add(10 * time.Minute), Text: "errcode 40164: invalid ip", Cause: snapshot.Cause{Code: 40164}, Advice: "Put 203.0.113.7 on the allow list.",
	}
	twice := &snapshot.Account{Name: "twice", AppID: "wx4"}
	for api := range datacube.APIs {
		twice.Work[api].Problem = &snapshot.Problem{Since: at, At: at, Next: at, Text: "errcode 48001 (rid " + api.String() + ")", Cause: snapshot.Cause{Code: 48001}, Advice: "Verify it."}
	}
	doubtful := &snapshot.Account{Name: "zebra", AppID: "wx5", Inconsistent: 2, Daily: shop.Daily, Hourly: shop.Hourly}
	doubtful.Work[datacube.Hourly].Damaged, doubtful.Work[datacube.Hourly].LatestDamaged = 1, datacube.DateOf(at)-3
	s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{failing, quiet, shop, twice, doubtful}})
	w := s.ask("GET", "/")
	page := w.Body.String()
	for _, want := range []string{
		"version 1.2.3", "<time>2026-03-10 09:02:03</time> China time", `<nav><a href="./metrics">Metrics</a><a href="./config">Configuration</a><a href="./-/healthy">Health</a><a href="./-/ready">Readiness</a></nav>`,
		"<td>shop<small>wx1</small></td><td><span class=\"good\">known</span></td><td>2026-03-09</td><td class=\"n\">1,234,567</td>",
		"<td class=\"n bad\">12,900</td><td class=\"n bad\">1.04 %</td><td class=\"n\">0.088 s</td><td class=\"n bad\">5.003 s</td>",
		"<td>quiet<small>wx2</small></td><td><span class=\"soft\">waiting</span></td><td>2026-03-08</td><td class=\"n\">0</td>",
		"<td>–<small>by the hour: 2026-03-09</small></td>",
		"&lt;script&gt;alert(1)&lt;/script&gt;</strong></p>\n<p>hourly call: errcode 40164: invalid ip.",
		"Put 203.0.113.7 on the allow list.", "Verify it.", "Failing since <time>2026-03-10 00:30:00</time>; tried again at <time>2026-03-10 00:40:00</time>", "both calls: errcode 48001 (rid daily).",
		"<td>zebra<small>wx5</small></td><td><span class=\"bad\">in doubt</span></td>",
		"could not be understood for 1 day, the latest being 2026-03-07.", "contradict each other on 2 days.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	if n := strings.Count(page, "Verify it."); n != 1 {
		t.Errorf("the same advice stands there %d times", n)
	}
	if strings.Contains(page, "<script") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page is open to scripts")
	}
	if t.Failed() {
		t.Log(page)
	}
}

// One failure of forty is 2.5 %, and no reason to look: the page marks what the alerts tell of.
func TestLandingPageMarksWhatTheAlertsTellOf(t *testing.T) {
	for name, c := range map[string]struct {
		figures datacube.Figures
		marked  bool
	}{
		"one of forty":             {datacube.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 900}, false},
		"one of forty, timed out":  {datacube.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 5003}, false},
		"many of a quiet account":  {datacube.Figures{Callbacks: 40, Failures: 30, MaxTimeCostMillis: 900}, true},
		"few of many, timed out":   {datacube.Figures{Callbacks: 5000, Failures: 25, MaxTimeCostMillis: 5003}, true},
		"few of many, all of them": {datacube.Figures{Callbacks: 5000, Failures: 25, MaxTimeCostMillis: 900}, false},
	} {
		s := newSurface(t)
		at := s.options.Now()
		s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{{
			Name: "shop", AppID: "wx0123456789abcdef",
			Daily:  &datacube.Day{Date: datacube.DateOf(at) - 1, Figures: c.figures},
			Hourly: &datacube.HourlyDay{Date: datacube.DateOf(at) - 1},
		}}})
		if marked := strings.Contains(s.ask("GET", "/").Body.String(), `class="n bad"`); marked != c.marked {
			t.Errorf("%s: marked %v, want %v", name, marked, c.marked)
		}
	}
}

// TestRoutePrefix: all pages are below it, and what leads there is relative, since a proxy may have put
// more before it.
func TestRoutePrefix(t *testing.T) {
	s := newSurface(t)
	s.options.Prefix = "/teams/weixin"
	s.board.Publish(&snapshot.Snapshot{})
	for _, c := range []struct {
		method, path string
		code         int
		location     string
	}{
		{"GET", "/teams/weixin/", 200, ""},
		{"GET", "/teams/weixin/metrics", 200, ""},
		{"GET", "/teams/weixin/sd", 200, ""},
		{"GET", "/teams/weixin/config", 200, ""},
		{"GET", "/teams/weixin/-/healthy", 200, ""},
		{"GET", "/teams/weixin/-/ready", 200, ""},
		{"POST", "/teams/weixin/-/reload", 200, ""},
		{"GET", "/teams/weixin", 302, "./weixin/"},
		{"GET", "/", 302, "./teams/weixin/"},
		{"GET", "/metrics", 404, ""},
		{"GET", "/-/healthy", 404, ""},
		{"POST", "/-/reload", 404, ""},
		{"GET", "/teams/weixinmetrics", 404, ""},
	} {
		if w := s.ask(c.method, c.path); w.Code != c.code || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s: %d to %q, want %d to %q", c.method, c.path, w.Code, w.Header().Get("Location"), c.code, c.location)
		}
	}
	if page := s.ask("GET", "/teams/weixin/").Body.String(); strings.Contains(page, `href="/`) {
		t.Errorf("a link of the page is not relative:\n%s", page)
	}
	s.options.TelemetryPath = "/{odd: path}"
	if page := s.ask("GET", "/teams/weixin/").Body.String(); !strings.Contains(page, `href="./%7Bodd:%20path%7D"`) {
		t.Errorf("the link to an odd telemetry path:\n%s", page)
	}
}

// TestLandingPageTellsASharedCauseOnce: ten thousand accounts behind one server that is away, and the
// store that fails, are two boxes. As many accounts with causes of their own have a bound, too.
func TestLandingPageTellsASharedCauseOnce(t *testing.T) {
	s := newSurface(t)
	at := time.Date(2026, 3, 9, 16, 30, 0, 0, time.UTC)
	shared, own := &snapshot.Snapshot{}, &snapshot.Snapshot{}
	shared.Store = &snapshot.Problem{Since: at, Next: at, Text: "the disk is full", Advice: "Make room.", OutlastsReload: true}
	for i := range 10_000 {
		a, b := &snapshot.Account{Name: fmt.Sprintf("a%05d", i)}, &snapshot.Account{Name: fmt.Sprintf("b%05d", i)}
		for api := range datacube.APIs {
			a.Work[api].Problem = &snapshot.Problem{
				Since: at.Add(time.Duration(i) * time.Second), Next: at.Add(time.Hour), Text: "HTTP status 502", Advice: "See to the server.",
				Cause: snapshot.Cause{Source: "https://tokens.example"},
			}
			b.Work[api].Problem = &snapshot.Problem{Since: at, Next: at, Text: "no file", Cause: snapshot.Cause{Source: b.Name}}
		}
		shared.Accounts, own.Accounts = append(shared.Accounts, a), append(own.Accounts, b)
	}
	s.board.Publish(shared)
	page := s.ask("GET", "/").Body.String()
	for _, want := range []string{
		"<strong>a00000, a00001, a00002, a00003, a00004</strong> and 9995 more accounts", "both calls: HTTP status 502. <span class=\"soft\">Failing since <time>2026-03-10 00:30:00",
		"The store cannot be written", "the disk is full", "Make room.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	if n := strings.Count(page, "<article>"); n != 2 {
		t.Errorf("%d boxes for two causes", n)
	}
	s.board.Publish(own)
	page = s.ask("GET", "/").Body.String()
	if n := strings.Count(page, "<article>"); n != 50 || !strings.Contains(page, "9950 more causes") {
		t.Errorf("%d boxes, and whether the rest is told: %v", n, strings.Contains(page, "more causes"))
	}
}

func TestStoreThatCannotBeUsed(t *testing.T) {
	s := newSurface(t)
	s.board.Publish(&snapshot.Snapshot{})
	fault := errors.New("the file was deleted")
	s.options.Unready = func() error { return fault }
	s.options.Unhealthy = func() error { return nil }
	for path, want := range map[string]int{"/-/ready": http.StatusServiceUnavailable, "/-/healthy": http.StatusOK} {
		if got := s.ask(http.MethodGet, path); got.Code != want {
			t.Errorf("%s: %d %s, want %d", path, got.Code, got.Body, want)
		}
	}
	s.options.Unhealthy = s.options.Unready
	if got := s.ask(http.MethodGet, "/-/healthy"); got.Code != http.StatusServiceUnavailable || got.Body.String() != "weixin_exporter is not healthy: the file was deleted.\n" {
		t.Errorf("%d %q", got.Code, got.Body)
	}
	fault = nil
	if got := s.ask(http.MethodGet, "/-/ready"); got.Code != http.StatusOK {
		t.Errorf("usable again: %d %s", got.Code, got.Body)
	}
}
