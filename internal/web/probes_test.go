package web_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// newProbes returns the pages with callback servers: that of shop answers, that of incident is down, that of doubt was not
// probed yet, and other accounts have none.
func newProbes(t *testing.T) *surface {
	t.Helper()
	s, _ := newPages(t)
	s.options.Callbacks = newCallbacks(t, s.options.Now)
	return s
}

func newCallbacks(t *testing.T, now func() time.Time) *probe.Prober {
	t.Helper()
	const token = "sim-token-callback"
	p := probe.New(probe.Options{Now: now})
	var accounts []probe.Account
	for name, fault := range map[string]weixintest.CallbackFault{"shop": {}, "incident": {Status: 502}, "doubt": {}} {
		server := weixintest.NewCallback(weixintest.CallbackOptions{Token: token})
		server.SetFault(fault)
		served := httptest.NewServer(server)
		t.Cleanup(served.Close)
		accounts = append(accounts, probe.Account{Name: name, Target: &probe.Target{
			URL: secret.NewURL(served.URL), Token: func() (secret.Value, error) { return secret.New(token), nil },
		}})
	}
	p.ApplyConfig(accounts)
	for _, name := range []string{"shop", "incident"} {
		if _, err := p.Probe(t.Context(), name, probe.Longest); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// "Now" stands beside yesterday's figures, and is its own column.
func TestOverviewShowsNow(t *testing.T) {
	s := newProbes(t)
	at := now()
	s.options.Now = func() time.Time { return at.Add(2 * time.Minute) }
	body := s.ask("GET", "/").Body.String()
	page := text(body)
	for _, want := range []string{
		"The callback server of 1 account does not answer now", "1 account: Callback server down now incident Users get no answer", "Longest Now 24 hours", "Answers 2 minutes ago", "Down: HTTP status 2 minutes ago", "Not probed", "Overview Health Probes Metrics",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview has no %q: %s", want, page)
		}
	}
	if !strings.Contains(body, `<td class="now bad" data-label="Now"><a href="./probes?account=incident">`) || strings.Count(body, `data-label="Now"`) != 8 {
		t.Error("there is no cell for each account, or none that is bad")
	}
	for path, want := range map[string]string{
		"/accounts/incident": "Callback server now: Down: HTTP status 2 minutes ago", "/accounts/shop": "Callback server now: Answers 2 minutes ago", "/accounts/doubt": "Callback server now: Not probed",
		"/?lang=zh": "异常：HTTP 状态码异常",
	} {
		if page := text(s.ask("GET", path).Body.String()); !strings.Contains(page, want) {
			t.Errorf("%s has no %q: %s", path, want, page)
		}
	}
	if page := text(s.ask("GET", "/accounts/waiting").Body.String()); strings.Contains(page, "Callback server now") {
		t.Error("an account without a callback has a state of it")
	}
}

// A result that is old is not about now.
func TestOldProbesAreNotNow(t *testing.T) {
	s := newProbes(t)
	at := now()
	s.options.Now = func() time.Time { return at.Add(time.Hour) }
	page := text(s.ask("GET", "/").Body.String())
	if strings.Contains(page, "down now") || strings.Contains(page, "does not answer now") || !strings.Contains(page, "Down: HTTP status 60 minutes ago") {
		t.Errorf("%s", page)
	}
}

// Many servers that are down take no more room than a few.
func TestManyCallbacksDown(t *testing.T) {
	s, _ := newPages(t)
	p := probe.New(probe.Options{Now: s.options.Now})
	var accounts []probe.Account
	for i := range 20 {
		accounts = append(accounts, probe.Account{Name: fmt.Sprintf("account%02d", i), Target: &probe.Target{
			URL: secret.NewURL("http://169.254.169.254/"), Token: func() (secret.Value, error) { return secret.New("sim-token-callback"), nil },
		}})
	}
	p.ApplyConfig(accounts)
	for _, a := range accounts {
		if _, err := p.Probe(t.Context(), a.Name, probe.Longest); err != nil {
			t.Fatal(err)
		}
	}
	s.options.Callbacks = p
	page := text(s.ask("GET", "/").Body.String())
	if !strings.Contains(page, "20 accounts: Callback server down now account00") || strings.Contains(page, "account06") || !strings.Contains(page, "all 20") {
		t.Errorf("%s", page)
	}
}

// Without a callback there is nothing of it on the pages.
func TestOverviewWithoutCallbacks(t *testing.T) {
	s, _ := newPages(t)
	for name, callbacks := range map[string]*probe.Prober{"none": nil, "no account": probe.New(probe.Options{Now: now})} {
		if callbacks != nil {
			s.options.Callbacks = callbacks
		}
		if body := s.ask("GET", "/").Body.String(); strings.Contains(body, `data-label="Now"`) || strings.Contains(body, "probes") {
			t.Errorf("%s: there is a column or a link", name)
		}
	}
	s, _ = newPages(t)
	for _, path := range []string{"/probe?account=shop", "/probes"} {
		if code := s.ask("GET", path).Code; code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

func TestProbesPage(t *testing.T) {
	s := newProbes(t)
	for path, want := range map[string]struct {
		code int
		says []string
		not  string
	}{
		"/probes": {200, []string{
			"Probes of callback servers", "Kept are the last 100 probes, and 100 older ones that failed", "a day late",
			"incident Failed: HTTP status the server answered with HTTP status 502", "shop Answered the server answered with the echo",
		}, "All accounts"},
		"/probes?account=shop":  {200, []string{"Probes of the callback server of shop", "All accounts", "Answered"}, "incident"},
		"/probes?account=doubt": {200, []string{"No probe yet."}, "Answered"},
		"/probes?lang=zh":       {200, []string{"回调服务器探测", "失败：HTTP 状态码异常"}, "No probe"},
		"/probes?id=1":          {200, []string{"Logs for the probe of account \"shop\"", "probe_success 1"}, "sim-token"},
		"/probes?id=99":         {404, []string{"There is no such probe"}, "probe_success"},
		"/probes?id=x":          {404, []string{"There is no such probe"}, "probe_success"},
		"/probe?account=shop":   {200, []string{"probe_success 1"}, "sim-token"},
	} {
		w := s.ask("GET", path)
		page := text(w.Body.String())
		if w.Code != want.code {
			t.Errorf("%s: status %d", path, w.Code)
		}
		for _, says := range want.says {
			if !strings.Contains(page, says) {
				t.Errorf("%s has no %q: %s", path, says, page)
			}
		}
		if strings.Contains(page, want.not) {
			t.Errorf("%s has %q: %s", path, want.not, page)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" && !strings.HasPrefix(path, "/probe?") {
			t.Errorf("%s: headers %v", path, w.Header())
		}
	}
	for _, method := range []string{"HEAD", "POST"} {
		if code := s.ask(method, "/probe?account=shop").Code; code != 405 {
			t.Errorf("%s: status %d", method, code)
		}
	}
}

// All reasons have a name in all languages, as TestCatalogueIsComplete compares them.
func TestReasonsHaveNames(t *testing.T) {
	catalogue, err := i18n.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range probe.Reasons() {
		if !catalogue.Has("probe." + string(reason)) {
			t.Errorf("%s has no name", reason)
		}
	}
}
