package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

const (
	callbackToken = tokenMarker + "callback0123456789"
	// callbackKey is an EncodingAESKey, in which no marker can stand: it has letters and digits alone.
	callbackKey = "simsecretsimsecretsimsecretsimsecretsimsecr"
)

// callbackCase is an account's callback, and what its probe is to find.
type callbackCase struct {
	name string
	// fault is what is wrong with the server; url, if not "", is probed instead of it.
	fault weixintest.CallbackFault
	url   string
	// host is for whom the certificate is issued, and age how long ago it expired; "": no TLS.
	host    string
	age     time.Duration
	trusted bool
	// more are further keys of the callback, indented by six.
	more string

	reason string
	status int
	says   string
}

func callbackCases() []callbackCase {
	const message = "      message: true\n      message_event: VIEW\n"
	return []callbackCase{
		{name: "good", status: 200},
		{name: "tls", host: "127.0.0.1", trusted: true, status: 200},
		{name: "message", more: message + "      aes_key_file: aes-key\n", status: 200},
		{name: "plain message", more: message, status: 200},
		{name: "status", fault: weixintest.CallbackFault{Status: 502}, reason: "status", status: 502, says: "HTTP status 502"},
		{name: "refused", fault: weixintest.CallbackFault{Status: 403}, reason: "signature", status: 403, says: "its token differs"},
		{name: "wrong token", more: "      token: " + tokenMarker + "another\n", reason: "signature", status: 200, says: "invalid signature"},
		{name: "wrong echo", fault: weixintest.CallbackFault{Body: "<html>welcome</html>"}, reason: "body", status: 200, says: "not the echo"},
		{name: "byte order mark", fault: weixintest.CallbackFault{Body: "\ufeff%s"}, reason: "body", status: 200, says: "byte order mark"},
		{name: "mirror", fault: weixintest.CallbackFault{Mirror: true}, reason: "body", status: 200, says: "signature=<secret>"},
		{name: "redirect", fault: weixintest.CallbackFault{Redirect: "http://127.0.0.1:1/there?token=" + callbackToken}, reason: "redirect", status: 302, says: "redirects to http://127.0.0.1:1/there"},
		{name: "hangs up", fault: weixintest.CallbackFault{Hangup: true}, reason: "connect", says: "the connection ended"},
		{name: "slow", fault: weixintest.CallbackFault{Delay: -1}, reason: "timeout", says: "still waiting for the answer"},
		{name: "expired", host: "127.0.0.1", age: 24 * time.Hour, trusted: true, reason: "tls", says: "expired"},
		{name: "other name", host: "other.example", trusted: true, reason: "tls", says: "certificate"},
		{name: "not trusted", host: "127.0.0.1", reason: "tls", says: "unknown authority"},
		{name: "bad reply", more: message, fault: weixintest.CallbackFault{Reply: "<html></html>"}, reason: "reply", status: 200, says: "would not accept the answer"},
		{name: "metadata", url: "http://169.254.169.254/latest/meta-data/", reason: "address", says: "metadata service"},
		{name: "no listener", url: "http://127.0.0.1:1/", reason: "connect", says: "no connection"},
		{name: "no name", url: "http://callback.invalid/", reason: "dns", says: "was not resolved"},
	}
}

// serveCallback starts the server of a case, and returns its URL and the file of the authority to trust.
func (w *fixture) serveCallback(t *testing.T, c callbackCase, appID string) (*weixintest.Callback, string, string) {
	t.Helper()
	key := ""
	if strings.Contains(c.more, "aes_key_file") {
		key = callbackKey
	}
	server := weixintest.NewCallback(weixintest.CallbackOptions{Token: callbackToken, AESKey: key, AppID: appID})
	server.SetFault(c.fault)
	s := httptest.NewUnstartedServer(server)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are refused
	t.Cleanup(s.Close)
	if c.host == "" {
		s.Start()
		return server, s.URL + "/callback", ""
	}
	now := clock()
	authority, err := weixintest.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(c.host, now.AddDate(0, 0, -30), now.AddDate(0, 0, 10).Add(-11*c.age))
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	if !c.trusted {
		return server, s.URL + "/callback", ""
	}
	file := filepath.Join(t.TempDir(), "authority.pem")
	writeFile(t, file, string(authority.PEM()))
	return server, s.URL + "/callback", file
}

// callbackEntry returns the account with the callback of the case.
func callbackEntry(a account, c callbackCase, address, authority string) string {
	token := "      token_file: callback-token\n"
	if strings.Contains(c.more, "      token: ") {
		token = ""
	}
	settings := ""
	if authority != "" {
		settings = "      http_config: {tls_config: {ca_file: " + authority + "}}\n"
	}
	return entry(a, "app_secret: "+a.AppSecret) + "    callback:\n      url: " + address + "\n" + token + c.more + settings
}

// The table of faults: each probe through the binary, with its metrics and its reason, and without a secret.
func TestProbes(t *testing.T) {
	t.Parallel()
	cases := callbackCases()
	var accounts []account
	for i, c := range cases {
		accounts = append(accounts, newAccount(c.name, 700+i, 100))
	}
	accounts = append(accounts, newAccount("without", 799, 100))
	w := newFixture(t, accounts...)
	writeFile(t, filepath.Join(w.folder, "callback-token"), callbackToken+"\n")
	writeFile(t, filepath.Join(w.folder, "aes-key"), callbackKey+"\n")
	var entries strings.Builder
	servers := map[string]*weixintest.Callback{}
	for i, c := range cases {
		server, address, authority := w.serveCallback(t, c, accounts[i].AppID)
		servers[c.name] = server
		if c.url != "" {
			address = c.url
		}
		entries.WriteString(callbackEntry(accounts[i], c, address, authority))
	}
	entries.WriteString(entry(accounts[len(cases)], "app_secret: "+accounts[len(cases)].AppSecret))
	w.write(t, "accounts:\n"+entries.String()+w.settings(1))
	x := serve(t, w.config, "--log.level=debug")

	let := &strings.Builder{} // all that the exporter lets out
	for _, c := range cases {
		query := "/probe?account=" + url.QueryEscape(c.name)
		timeout := "10"
		if c.reason == "timeout" {
			timeout = "0.8"
		}
		p := x.ask(t, http.MethodGet, query, "X-Prometheus-Scrape-Timeout-Seconds", timeout)
		let.WriteString(p.body)
		if p.status != http.StatusOK {
			t.Errorf("%s: status %d: %s", c.name, p.status, mask(p.body))
			continue
		}
		got := parse(t, p)
		if success := got["probe_success"]; (success == 1) != (c.reason == "") {
			t.Errorf("%s: probe_success %v", c.name, success)
		}
		if c.reason != "" && got[series("probe_failed_due_to_reason", "reason", c.reason)] != 1 {
			t.Errorf("%s: not for %q:\n%s", c.name, c.reason, mask(p.body))
		}
		if status := got["probe_http_status_code"]; status != float64(c.status) {
			t.Errorf("%s: HTTP status %v, want %d", c.name, status, c.status)
		}
		if expiry := got["probe_ssl_earliest_cert_expiry"]; (expiry != 0) != (c.host != "") {
			t.Errorf("%s: certificate until %v", c.name, expiry)
		}
		if _, posted := got["probe_message_duration_seconds"]; posted != strings.Contains(c.more, "message: true") {
			t.Errorf("%s: a message was posted: %v", c.name, posted)
		}
		if got["probe_duration_seconds"] <= 0 && c.reason != "address" {
			t.Errorf("%s: took no time", c.name)
		}
	}
	x.checkProbePages(t, cases, let)
	let.WriteString(x.get(t, "/metrics").body + x.get(t, "/config").body + x.get(t, "/").body)
	x.stop(t, syscall.SIGTERM)
	let.WriteString(x.stderr.String())
	hidden := []string{callbackToken, callbackKey}
	for _, server := range servers {
		for _, r := range server.Received() {
			hidden = append(hidden, r.Signature)
		}
	}
	for _, h := range hidden {
		if strings.Contains(let.String(), h) {
			t.Error("the token, the AES key or a signature is shown")
		}
	}
	if seen := servers["good"].Received(); len(seen) == 0 || !seen[0].Valid || !strings.HasPrefix(seen[0].Agent, "weixin_exporter/") {
		t.Errorf("the server saw %d requests", len(seen))
	}
}

// checkProbePages looks at the pages about probes, and adds them to what was let out.
func (x *exporter) checkProbePages(t *testing.T, cases []callbackCase, let *strings.Builder) {
	t.Helper()
	list := x.get(t, "/probes").body
	let.WriteString(list)
	for _, c := range cases {
		of := x.get(t, "/probes?account="+url.QueryEscape(c.name)).body
		log := x.get(t, "/probes?id="+between(of, `probes?id=`, `"`)).body
		let.WriteString(log)
		if !strings.Contains(log, `account "`+c.name+`"`) || !strings.Contains(log, c.says) {
			t.Errorf("%s: the log does not say %q:\n%s", c.name, c.says, mask(log))
		}
		if !strings.Contains(list, "<bdi>"+c.name+"</bdi></a>") {
			t.Errorf("%s is not in the list", c.name)
		}
	}
	for query, want := range map[string]struct {
		status int
		says   string
	}{
		"?account=without":                       {404, "set callback with url and token or token_file"},
		"?account=none":                          {404, "no account of this name"},
		"":                                       {400, "?account=shop"},
		"?target=http://127.0.0.1/&account=good": {400, "Only the callbacks of configured accounts"},
	} {
		if p := x.ask(t, http.MethodGet, "/probe"+query); p.status != want.status || !strings.Contains(p.body, want.says) {
			t.Errorf("/probe%s: %d %s", query, p.status, mask(p.body))
		}
	}
	for _, method := range []string{http.MethodHead, http.MethodPost} {
		if p := x.ask(t, method, "/probe?account=good"); p.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, p.status)
		}
	}
	debug := x.get(t, "/probe?account=good&debug=true").body
	let.WriteString(debug)
	if !strings.Contains(debug, "\nprobe_success 1\n") || !strings.Contains(debug, "token_file: ") {
		t.Errorf("debug output:\n%s", mask(debug))
	}
	var groups []struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	if err := json.Unmarshal([]byte(x.get(t, "/sd?probes=1").body), &groups); err != nil || len(groups) != len(cases) {
		t.Fatalf("%d targets, %v", len(groups), err)
	}
	if g := groups[0]; g.Targets[0] != x.base.Host || g.Labels["account"] != "good" || g.Labels["__param_account"] != "good" {
		t.Errorf("the first target is %+v", g)
	}
	if p := x.ask(t, http.MethodGet, "/sd?probes=1&shards=2"); p.status != http.StatusBadRequest {
		t.Errorf("both at once: status %d", p.status)
	}
}

// A thousand probes run at once beside a scrape and a refresh; with the race detector, for which one takes 27 ms, fewer.
func TestManyProbesAtOnce(t *testing.T) {
	t.Parallel()
	most := 1000
	if withRaceDetector() {
		most = 300
	}
	var accounts []account
	for i := range most {
		accounts = append(accounts, newAccount(fmt.Sprintf("account%04d", i), 2000+i, 100))
	}
	w := newFixture(t, accounts...)
	callbacks := newGathering(most)
	server := httptest.NewServer(callbacks)
	t.Cleanup(server.Close)
	var entries strings.Builder
	for _, a := range accounts {
		entries.WriteString(callbackEntry(a, callbackCase{more: "      token: " + callbackToken + "\n"}, server.URL+"/"+a.name, ""))
	}
	w.write(t, "accounts:\n"+entries.String()+w.settings(1))
	x := serve(t, w.config)
	var probes sync.WaitGroup
	few := make(chan struct{}, 16)
	for _, a := range accounts {
		probes.Go(func() {
			// A slow machine may take longer than Weixin waits until all are there. Those for which it did are repeated a few at a
			// time, or it would again.
			repeated := false
			for t.Context().Err() == nil {
				p, err := x.try(t, http.MethodGet, "/probe?account="+a.name, "X-Prometheus-Scrape-Timeout-Seconds", "30")
				if err == nil && strings.Contains(p.body, "\nprobe_success 1\n") {
					return
				}
				if callbacks.saw("/"+a.name) && !repeated {
					<-callbacks.proceed // nothing is available before
					few <- struct{}{}
					defer func() { <-few }()
					repeated = true
				}
			}
		})
	}
	select {
	case <-callbacks.complete:
	case <-t.Context().Done():
	}
	func() {
		defer close(callbacks.proceed) // also if it fails
		x.metrics(t)                   // is answered while they wait
	}()
	probes.Wait()
	w.waitFigures(t, x.web, accounts[0], accounts[most-1])
}

// gathering is a callback server that answers once all accounts have asked.
type gathering struct {
	complete, proceed chan struct{}

	mu    sync.Mutex
	most  int
	there map[string]bool
}

func newGathering(most int) *gathering {
	return &gathering{complete: make(chan struct{}), proceed: make(chan struct{}), most: most, there: map[string]bool{}}
}

// saw reports whether a path has been asked for.
func (g *gathering) saw(path string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.there[path]
}

// ServeHTTP implements http.Handler.
func (g *gathering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if !g.there[r.URL.Path] {
		g.there[r.URL.Path] = true
		if len(g.there) == g.most {
			close(g.complete)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.proceed:
		_, _ = io.WriteString(w, r.FormValue("echostr"))
	case <-r.Context().Done():
	}
}

// In the demonstration the callback of one account is down now, although its yesterday was well.
func TestDemoProbes(t *testing.T) {
	t.Parallel()
	x := runDemo(t)
	eventually(t, "probes", func() error {
		list := x.get(t, "/probes").body
		if !strings.Contains(list, "the server answered with the echo") || !strings.Contains(list, "Failed: HTTP status") {
			return errNotYet
		}
		return nil
	})
	for name, want := range map[string]float64{"shop": 1, "news": 0} {
		if got := parse(t, x.get(t, "/probe?account="+name))["probe_success"]; got != want {
			t.Errorf("%s: probe_success %v, want %v", name, got, want)
		}
	}
	got := x.metrics(t)
	failures, callbacks := got[series("weixin_interface_daily_failures", "account", "news")], got[series("weixin_interface_daily_callbacks", "account", "news")]
	if callbacks == 0 || failures/callbacks > 0.02 {
		t.Errorf("yesterday %v of %v callbacks failed", failures, callbacks)
	}
}
