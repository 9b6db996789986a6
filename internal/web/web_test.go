package web_test

import (
	"bytes"
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/web"
)

// surface is the handler under test with its parts.
type surface struct {
	t       testing.TB
	board   *snapshot.Latest
	reloads int
	options web.Options
}

var errBad = errors.New("config.yml:3:5: accounts[0].name: bad")

func newSurface(tb testing.TB) *surface {
	tb.Helper()
	s := &surface{t: tb, board: snapshot.NewLatest()}
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
		Logger:        log.NewLogfmtLogger(tb.Output()),
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
		{"GET", "/health", 200, "weixin_exporter</title>", ""},
		{"POST", "/health", 405, "Only GET and HEAD", "GET, HEAD"},
		{"GET", "/accounts/shop", 200, "shop – weixin_exporter</title>", ""},
		{"GET", "/accounts/other", 404, "There is no such account. “other” is not in the configuration", ""},
		{"GET", "/accounts/", 404, "no such account", ""},
		{"DELETE", "/accounts/shop", 405, "Only GET and HEAD", "GET, HEAD"},
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
			s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{{Name: "shop"}}})
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
	for _, path := range []string{"", "metrics", "/sd", "/config", "/-/ready", "/-/healthy", "/-/reload", "/health", "/accounts/metrics", "/static/metrics"} {
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

// TestRoutePrefix: all pages are below it, and what leads there is relative, since a proxy may have put
// more before it.
func TestRoutePrefix(t *testing.T) {
	s := newSurface(t)
	s.options.Prefix = "/teams/weixin"
	s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{{Name: "shop"}}})
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
	for _, path := range []string{"/teams/weixin/", "/teams/weixin/health", "/teams/weixin/accounts/shop", "/teams/weixin/no/such/path"} {
		for _, link := range links(s.ask("GET", path, "Accept", "text/html").Body.String()) {
			if u, err := url.Parse(link); err != nil || u.IsAbs() || strings.HasPrefix(link, "/") {
				t.Errorf("%s: the link %q is not relative", path, link)
			}
		}
	}
	s.options.TelemetryPath = "/{odd: path}"
	if page := s.ask("GET", "/teams/weixin/").Body.String(); !strings.Contains(page, `href="./%7Bodd:%20path%7D"`) {
		t.Errorf("the link to an odd telemetry path:\n%s", page)
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

// links returns where the links, forms and files of a page lead.
func links(page string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		found = append(found, html.UnescapeString(match[1]))
	}
	return found
}
