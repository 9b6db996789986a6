package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// rawRequest sends a request as it stands, which a client would tidy up.
func rawRequest(t *testing.T, address, method, target, host string) response {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(clock().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nConnection: close\r\n\r\n", method, target, host); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{got.StatusCode, got.Header, string(body)}
}

// TestNothingLeadsElsewhere: whatever a link to the exporter looks like, neither a redirect nor a link of the answer leads to
// another host.
func TestNothingLeadsElsewhere(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	link := regexp.MustCompile(`(?:href|src|action|content)="([^"]*)"`)
	const evil = "evil.example"
	for _, prefix := range []string{"", "/teams/weixin"} {
		x := runExporter(t, "--config.file="+w.config, "--web.route-prefix="+prefix)
		redirects := 0
		for _, target := range []string{
			"/", "//" + evil, "//" + evil + "/", "//" + evil + "/..", "///" + evil, `/\` + evil, `/\/` + evil, "/%2F" + evil, "/%5C" + evil, "/.//" + evil, "/..//" + evil,
			"http://" + evil, "http://" + evil + "/", "http://" + evil + "//" + evil, "/teams/weixin", "/teams/weixin//" + evil, "/teams/weixin/..//" + evil, "//" + evil + "/teams/weixin",
			"/api/v1//" + evil, "/api/v1/..//" + evil, "/api/v1/query/..//../..//" + evil, "/teams/weixin/api/v1//" + evil, "/teams/weixin/api/v1/..//../../..//" + evil,
			"/accounts///" + evil, "/static//" + evil, "/health?lang=//" + evil, "/?sort=http://" + evil + "&page=http://" + evil + "&q=http://" + evil,
			"/%0d%0aLocation:%20http://" + evil, "/teams/weixin/%0d%0aLocation:%20http://" + evil,
		} {
			for _, host := range []string{x.base.Host, evil} {
				got := rawRequest(t, x.base.Host, http.MethodGet, target, host)
				base, err := url.Parse("http://" + x.base.Host + strings.TrimPrefix(strings.ReplaceAll(target, `\`, "/"), "http://"+evil))
				if err != nil {
					t.Fatal(err)
				}
				var leads []string
				if to := got.header.Get("Location"); to != "" {
					redirects++
					leads = append(leads, to)
				}
				if strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
					for _, found := range link.FindAllStringSubmatch(got.body, -1) {
						leads = append(leads, found[1])
					}
				}
				for _, to := range leads {
					// Browsers take a backslash for a slash.
					if u, err := base.Parse(strings.ReplaceAll(to, `\`, "/")); err != nil || u.Host != x.base.Host {
						t.Errorf("prefix %q: GET %s with the host %s leads to %q", prefix, target, host, to)
					}
				}
			}
		}
		if prefix != "" && redirects == 0 {
			t.Error("there was no redirect")
		}
		x.stop(t, syscall.SIGTERM)
	}
}

// TestOtherSites: a page of another site that a person visits can neither change anything nor read or frame an answer, and no
// request makes the exporter ask a server that is not configured.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitFigures(t, x.web, w.accounts...)
	before := x.metrics(t)[reloadTime]
	pages := 0
	for _, path := range []string{
		"/", "/accounts/shop", "/accounts/none", "/probes", "/health", "/no/such/page", "/config", "/metrics", "/sd", "/probe", "/-/healthy", "/-/ready", "/-/reload",
		"/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/label/account/values", "/api/v1/metadata", "/api/v1/read",
	} {
		query := url.Values{}
		for _, name := range []string{"account", "target", "url", "module", "query", "match[]", "lang", "shards"} {
			query.Set(name, elsewhere.URL)
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			for _, target := range []string{path, path + "?" + query.Encode()} {
				for _, site := range []string{"cross-site", "same-site"} { // same-site: a neighbour below the same domain
					got := x.ask(t, method, target, "Accept", "text/html", "Origin", elsewhere.URL, "Sec-Fetch-Site", site, "Content-Type", "text/plain",
						"Access-Control-Request-Method", method, "X-Forwarded-Host", strings.TrimPrefix(elsewhere.URL, "http://"))
					pages += checkForBrowsers(t, method+" "+target, got)
				}
			}
		}
	}
	if pages == 0 {
		t.Error("no answer was a page")
	}
	if got := x.metrics(t)[reloadTime]; got != before {
		t.Error("another site reloaded the configuration")
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the exporter sent %d requests to a server that is not configured", n)
	}
}

// checkForBrowsers fails if an answer may be read or framed by another site, or can be taken for a page although it is none.
// It returns 1 for a page and 0 for anything else.
func checkForBrowsers(t *testing.T, request string, got response) int {
	t.Helper()
	for name := range got.header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
			t.Errorf("%s: the answer has the header %s", request, name)
		}
	}
	kind := got.header.Get("Content-Type")
	if strings.HasPrefix(kind, "text/html") {
		if policy := got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy of the page is %q", request, policy)
		}
		return 1
	}
	if kind == "" && got.body != "" {
		t.Errorf("%s: a body without a type", request)
	}
	return 0
}
