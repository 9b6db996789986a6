package probe_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

func TestServerThatWorks(t *testing.T) {
	w := newWorld(t)
	r := w.probe()
	if !r.Success() || r.Text != "the server answered with the echo" || r.Status != 200 || r.Account != "shop" || r.ID != 1 || r.Duration <= 0 {
		t.Errorf("%+v", r)
	}
	if r.Phases[probe.Connecting] <= 0 || r.Phases[probe.Processing] <= 0 || r.Phases[probe.Handshake] != 0 || !r.CertificateExpiry.IsZero() || r.TLSVersion != "" {
		t.Errorf("phases %v, certificate until %v", r.Phases, r.CertificateExpiry)
	}
	seen := w.server.Received()
	if len(seen) != 1 || !seen[0].Valid || seen[0].Method != http.MethodGet || seen[0].Agent != "weixin_exporter/test" {
		t.Errorf("the server saw %+v", seen)
	}
	latest, ok := w.prober.Latest("shop")
	if !ok || latest.ID != r.ID || latest.Log != "" {
		t.Errorf("the latest is %+v", latest)
	}
}

// The table of faults: what a server does, and what the probe says of it.
func TestFaults(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		fault  weixintest.CallbackFault
		reason probe.Reason
		status int
		says   string
	}{
		"another status":     {weixintest.CallbackFault{Status: 502}, probe.Status, 502, `HTTP status 502; its body is "the server says Bad Gateway "`},
		"refused":            {weixintest.CallbackFault{Status: 403}, probe.Signature, 403, "token differs from the configured one, or something before it"},
		"a word":             {weixintest.CallbackFault{Body: "error"}, probe.Signature, 200, `its body is "error"`},
		"a page":             {weixintest.CallbackFault{Body: "<html>welcome</html>"}, probe.Body, 200, "something other than the program"},
		"a long page":        {weixintest.CallbackFault{Body: strings.Repeat("welcome ", 50)}, probe.Body, 200, `its body begins "welcome`},
		"byte order mark":    {weixintest.CallbackFault{Body: "\ufeff%s"}, probe.Body, 200, "a byte order mark"},
		"white space":        {weixintest.CallbackFault{Body: "%s\r\n"}, probe.Body, 200, "white space around it (0 bytes before, 2 after)"},
		"quotes":             {weixintest.CallbackFault{Body: `"%s"`}, probe.Body, 200, "quotes or other text"},
		"redirect":           {weixintest.CallbackFault{Redirect: elsewhere.URL + "/there?key=sim-secret-query"}, probe.Redirect, 302, "redirects to " + elsewhere.URL + "/there;"},
		"hangs up":           {weixintest.CallbackFault{Hangup: true}, probe.Connect, 0, "the connection ended while waiting for the answer"},
		"shows the request":  {weixintest.CallbackFault{Mirror: true}, probe.Body, 200, "signature=<secret>"},
		"answer without end": {weixintest.CallbackFault{Endless: true}, probe.Body, 200, "longer than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server.SetFault(c.fault)
			r := w.probe()
			if r.Reason != c.reason || r.Success() || !strings.Contains(r.Text, c.says) {
				t.Errorf("%s: %s", r.Reason, r.Text)
			}
			if r.Status != c.status {
				t.Errorf("status %d, want %d", r.Status, c.status)
			}
			if !strings.Contains(r.Log, fmt.Sprintf("failed (%s): ", c.reason)) {
				t.Errorf("the log does not say so:\n%s", r.Log)
			}
			leaks(t, "result", fmt.Sprintf("%+v", r), append(w.secrets(), "sim-secret-query")...)
		})
	}
}

func TestNoWayToTheServer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, c := range map[string]struct {
		url    string
		reason probe.Reason
		says   string
	}{
		"no name":                 {"http://shop.invalid/callback", probe.DNS, "the name shop.invalid was not resolved: "},
		"nothing listens":         {"http://" + closed.Addr().String(), probe.Connect, "no connection: "},
		"metadata service":        {"http://169.254.169.254/latest", probe.Address, "169.254.169.254 is an address of a cloud's metadata service"},
		"metadata service (IPv6)": {"http://[fd00:ec2::254]/", probe.Address, "fd00:ec2::254 is an address"},
		"as an IPv4 in IPv6":      {"http://[::ffff:100.100.100.200]/", probe.Address, "is an address of a cloud's metadata service"},
		"by NAT64":                {"http://[64:ff9b::a9fe:a9fe]/", probe.Address, "is an address of a cloud's metadata service"},
	} {
		w := newWorld(t)
		w.prober = probe.New(probe.Options{Now: time.Now, Resolver: noNames()})
		w.target.URL = secret.NewURL(c.url)
		if r := w.probe(); r.Reason != c.reason || !strings.Contains(r.Text, c.says) {
			t.Errorf("%s: %s: %s", name, r.Reason, r.Text)
		}
	}
}

// A name that leads to a metadata service is refused as the address is connected to.
func TestNameOfAMetadataService(t *testing.T) {
	w := newWorld(t)
	w.prober = probe.New(probe.Options{Now: time.Now, Resolver: nameServer(t, [4]byte{169, 254, 169, 254})})
	w.target.URL = secret.NewURL("http://rebound.test/")
	r := w.probe()
	if r.Reason != probe.Address || !strings.Contains(r.Log, "resolved to [{169.254.169.254 }]") {
		t.Errorf("%s: %s\n%s", r.Reason, r.Text, r.Log)
	}
	// A server on an ordinary address is reached by the same way.
	w = newWorld(t)
	w.prober = probe.New(probe.Options{Now: time.Now, Resolver: nameServer(t, [4]byte{127, 0, 0, 1})})
	w.target.URL = secret.NewURL(strings.Replace(w.target.URL.Reveal(), "127.0.0.1", "shop.test", 1))
	if r := w.probe(); !r.Success() || r.Phases[probe.Resolve] <= 0 {
		t.Errorf("%s: %s", r.Reason, r.Text)
	}
}

func TestMetadataAddressThatIsAllowed(t *testing.T) {
	w := newWorld(t)
	w.target.URL, w.target.AllowMetadata = secret.NewURL("http://[fd00:ec2::254]/"), true
	if r := w.within(50 * time.Millisecond); r.Reason == probe.Address {
		t.Errorf("%s: %s", r.Reason, r.Text)
	}
}

func TestTLS(t *testing.T) {
	now := time.Now()
	later := now.AddDate(0, 0, 20).Truncate(time.Second)
	for name, c := range map[string]struct {
		host        string
		from, until time.Time
		trusted     bool
		reason      probe.Reason
		says        string
	}{
		"good":        {"127.0.0.1", now.AddDate(0, 0, -1), later, true, "", "echo"},
		"expired":     {"127.0.0.1", now.AddDate(0, 0, -9), now.AddDate(0, 0, -1).Truncate(time.Second), true, probe.TLS, "expired"},
		"not yet":     {"127.0.0.1", now.AddDate(0, 0, 1), later, true, probe.TLS, "expired or is not yet valid"},
		"other name":  {"other.example", now.AddDate(0, 0, -1), later, true, probe.TLS, "127.0.0.1"},
		"not trusted": {"127.0.0.1", now.AddDate(0, 0, -1), later, false, probe.TLS, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if file := w.overTLS(c.host, c.from, c.until); c.trusted {
				w.target.HTTPClient = trusting(file)
			}
			r := w.probe()
			if r.Reason != c.reason || !strings.Contains(r.Text, c.says) {
				t.Errorf("%s: %s", r.Reason, r.Text)
			}
			if !r.CertificateExpiry.Equal(c.until) || r.Phases[probe.Handshake] <= 0 {
				t.Errorf("certificate until %v, want %v; phases %v", r.CertificateExpiry, c.until, r.Phases)
			}
			if (r.TLSVersion == "TLS 1.3") != r.Success() {
				t.Errorf("version %q", r.TLSVersion)
			}
		})
	}
	w := newWorld(t) // which speaks no TLS
	w.target.URL = secret.NewURL(strings.Replace(w.target.URL.Reveal(), "http:", "https:", 1))
	if r := w.probe(); r.Reason != probe.TLS {
		t.Errorf("plain HTTP: %s: %s", r.Reason, r.Text)
	}
}

func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.server.SetFault(weixintest.CallbackFault{Delay: -1})
	r := w.within(60 * time.Millisecond)
	if r.Reason != probe.Timeout || !strings.Contains(r.Text, "still waiting for the answer") || r.Status != 0 {
		t.Errorf("%s: %s", r.Reason, r.Text)
	}
}

func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		message *probe.Message
		fault   weixintest.CallbackFault
		reason  probe.Reason
		says    string
		posted  string
	}{
		"text, plain":          {event(callback.Plain, ""), weixintest.CallbackFault{}, "", "as Weixin accepts it", "TESTCOMPONENT_MSG_TYPE_TEXT"},
		"text, compatible":     {event(callback.Compatible, ""), weixintest.CallbackFault{}, "", "as Weixin accepts it", "TESTCOMPONENT_MSG_TYPE_TEXT"},
		"text, safe":           {event(callback.Safe, ""), weixintest.CallbackFault{}, "", "as Weixin accepts it", "TESTCOMPONENT_MSG_TYPE_TEXT"},
		"event, safe":          {event(callback.Safe, "debug_demo"), weixintest.CallbackFault{}, "", "as Weixin accepts it", "<Event><![CDATA[debug_demo]]></Event>"},
		"text without answer":  {event(callback.Plain, ""), weixintest.CallbackFault{Reply: "success"}, probe.Reply, "must be answered with the text TESTCOMPONENT_MSG_TYPE_TEXT_callback", ""},
		"a page as the answer": {event(callback.Plain, "debug_demo"), weixintest.CallbackFault{Reply: "<html>sim-token-callback-0123456789</html>"}, probe.Reply, "would not accept the answer", ""},
		"plain in safe mode":   {event(callback.Safe, "debug_demo"), weixintest.CallbackFault{Reply: "<xml><MsgType>text</MsgType></xml>"}, probe.Reply, "not encrypted", ""},
		"an error as answer":   {event(callback.Plain, "debug_demo"), weixintest.CallbackFault{Reply: strings.Repeat("x", 70<<10)}, probe.Reply, "longer than 64 KiB", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.target.Message = c.message
			w.server.SetFault(c.fault)
			r := w.probe()
			if r.Reason != c.reason || !strings.Contains(r.Text, c.says) || r.Message <= 0 {
				t.Errorf("%s: %s", r.Reason, r.Text)
			}
			seen := w.server.Received()
			if len(seen) != 2 || !seen[1].Valid || !strings.Contains(seen[1].Message, c.posted) {
				t.Errorf("the server saw %d requests", len(seen))
			}
			leaks(t, "result", fmt.Sprintf("%+v", r), w.secrets()...)
		})
	}
}

// A message that the server refuses by its status, after it has verified the URL.
func TestMessageWithAnotherKey(t *testing.T) {
	w := newWorld(t)
	w.target.Message, w.target.Key = event(callback.Safe, "debug_demo"), given(strings.Repeat("A", 43))
	if r := w.probe(); r.Reason != probe.Status || r.Status != 400 || !strings.Contains(r.Text, "the server answered the message with HTTP status 400") {
		t.Errorf("%s: %s", r.Reason, r.Text)
	}
}

// What is wrong with the exporter's own files says nothing of the server.
func TestWhatKeepsFromProbing(t *testing.T) {
	failing := func() (secret.Value, error) { return secret.Value{}, errors.New("no such file") }
	for name, c := range map[string]struct {
		change func(*probe.Target)
		says   string
	}{
		"token file":  {func(t *probe.Target) { t.Token = failing }, "the token of the callback: no such file"},
		"key file":    {func(t *probe.Target) { t.Message, t.Key = event(callback.Safe, "x"), failing }, "the AES key of the callback: no such file"},
		"key":         {func(t *probe.Target) { t.Message, t.Key = event(callback.Safe, "x"), given("sim-secret-short") }, "43 letters and digits"},
		"ca_file":     {func(t *probe.Target) { t.HTTPClient = trusting("/does/not/exist") }, "callback.http_config: "},
		"unusual URL": {func(t *probe.Target) { t.URL = secret.NewURL("http://sim-secret-%zz") }, "callback.url: not a valid URL"},
	} {
		w := newWorld(t)
		c.change(&w.target)
		w.apply()
		if _, err := w.prober.Probe(t.Context(), "shop", time.Second); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "sim-secret") {
			t.Errorf("%s: %v", name, err)
		}
		if answer := w.get("account=shop", ""); answer.Code != 500 || !strings.Contains(answer.Body.String(), "was not probed: ") {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
		if _, probed := w.prober.Latest("shop"); probed || len(w.prober.History()) > 0 {
			t.Errorf("%s: there is a result", name)
		}
	}
}

// The URL may have a query of its own, with a secret in it.
func TestURLWithASecret(t *testing.T) {
	w := newWorld(t)
	w.target.URL = secret.NewURL(w.target.URL.Reveal() + "?key=sim-secret-query")
	w.server.SetFault(weixintest.CallbackFault{Mirror: true})
	r := w.probe()
	leaks(t, "result", fmt.Sprintf("%+v", r), append(w.secrets(), "sim-secret-query")...)
	w.server.SetFault(weixintest.CallbackFault{})
	w.target.HTTPClient = &promconfig.HTTPClientConfig{BasicAuth: &promconfig.BasicAuth{Username: "u", Password: "sim-secret-basic"}}
	if r := w.probe(); !r.Success() {
		t.Errorf("%s: %s", r.Reason, r.Text)
	}
}

func TestMetrics(t *testing.T) {
	r := probe.Result{
		Duration: 1500 * time.Millisecond, Status: 200, HTTPVersion: 1.1, TLSVersion: "TLS 1.3", CertificateExpiry: time.Unix(1800000000, 0), Message: time.Second,
		Phases: [probe.Phases]time.Duration{time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond, 4 * time.Millisecond, 5 * time.Millisecond},
	}
	want := `
# HELP probe_dns_lookup_time_seconds How long resolving the name of the host took.
# TYPE probe_dns_lookup_time_seconds gauge
probe_dns_lookup_time_seconds 0.001
# HELP probe_duration_seconds How long the probe took.
# TYPE probe_duration_seconds gauge
probe_duration_seconds 1.5
# HELP probe_http_duration_seconds How long each phase of the request took that verifies the URL.
# TYPE probe_http_duration_seconds gauge
probe_http_duration_seconds{phase="connect"} 0.002
probe_http_duration_seconds{phase="processing"} 0.004
probe_http_duration_seconds{phase="resolve"} 0.001
probe_http_duration_seconds{phase="tls"} 0.003
probe_http_duration_seconds{phase="transfer"} 0.005
# HELP probe_http_ssl Whether the answer came over TLS.
# TYPE probe_http_ssl gauge
probe_http_ssl 1
# HELP probe_http_status_code HTTP status of the answer, 0 without an answer.
# TYPE probe_http_status_code gauge
probe_http_status_code 200
# HELP probe_http_version HTTP version of the answer.
# TYPE probe_http_version gauge
probe_http_version 1.1
# HELP probe_message_duration_seconds How long the request took that delivers the signed message.
# TYPE probe_message_duration_seconds gauge
probe_message_duration_seconds 1
# HELP probe_ssl_earliest_cert_expiry The earliest expiry of any certificate in the chain that the server sent, in Unix time.
# TYPE probe_ssl_earliest_cert_expiry gauge
probe_ssl_earliest_cert_expiry 1.8e+09
# HELP probe_success Whether the callback server answered as Weixin expects.
# TYPE probe_success gauge
probe_success 1
# HELP probe_tls_version_info TLS version of the connection.
# TYPE probe_tls_version_info gauge
probe_tls_version_info{version="TLS 1.3"} 1
`
	if err := testutil.CollectAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	failed := probe.Result{Reason: probe.DNS}
	want = `
# HELP probe_failed_due_to_reason Why the probe failed; there is no series for a success.
# TYPE probe_failed_due_to_reason gauge
probe_failed_due_to_reason{reason="dns"} 1
# HELP probe_success Whether the callback server answered as Weixin expects.
# TYPE probe_success gauge
probe_success 0
`
	if err := testutil.CollectAndCompare(failed, strings.NewReader(want), "probe_success", "probe_failed_due_to_reason", "probe_tls_version_info", "probe_ssl_earliest_cert_expiry"); err != nil {
		t.Error(err)
	}
}
