package probe_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	promconfig "github.com/prometheus/common/config"
	"golang.org/x/net/dns/dnsmessage"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

const (
	token  = "sim-token-callback-0123456789"
	aesKey = "simsecretsimsecretsimsecretsimsecretsimsecr"
	appID  = "wx1"
)

// world is a server of an account and what probes it.
type world struct {
	t      *testing.T
	server *weixintest.Callback
	target probe.Target
	prober *probe.Prober
}

func given(text string) func() (secret.Value, error) {
	return func() (secret.Value, error) { return secret.New(text), nil }
}

// newWorld starts a server at the account "shop".
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: weixintest.NewCallback(weixintest.CallbackOptions{Token: token, AESKey: aesKey, AppID: appID})}
	s := httptest.NewServer(w.server)
	t.Cleanup(s.Close)
	w.target = probe.Target{URL: secret.NewURL(s.URL + "/callback"), Token: given(token), Key: given(aesKey), Shown: func() string { return "url: shown\n" }}
	w.prober = probe.New(probe.Options{Now: time.Now, UserAgent: "weixin_exporter/test"})
	return w
}

// probe probes the target as it is now.
func (w *world) probe() probe.Result {
	w.t.Helper()
	return w.within(probe.Longest)
}

func (w *world) within(limit time.Duration) probe.Result {
	w.t.Helper()
	w.apply()
	r, err := w.prober.Probe(w.t.Context(), "shop", limit)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mustBeChinese(r)
	return r
}

// mustBeChinese checks that what was found has a text in Chinese, which has no secret either.
func (w *world) mustBeChinese(r probe.Result) {
	w.t.Helper()
	c, err := i18n.New()
	if err != nil {
		w.t.Fatal(err)
	}
	chinese := c.In(i18n.Chinese).Message(r.Found)
	if !strings.ContainsFunc(chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }) || strings.Contains(r.Text+chinese, "%!") {
		w.t.Errorf("%q is in Chinese %q", r.Text, chinese)
	}
	if r.Found.String() != r.Text || strings.Contains(chinese, token) || strings.Contains(chinese, aesKey) {
		w.t.Error("the text has a secret, or is another one")
	}
}

func (w *world) apply() {
	target := w.target
	w.prober.ApplyConfig([]probe.Account{{Name: "shop", Target: &target}, {Name: "news"}})
}

// hangs makes a server that never answers the account's. The channel gets each request that arrives.
func (w *world) hangs() <-chan struct{} {
	w.t.Helper()
	arrived := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case arrived <- struct{}{}:
		case <-r.Context().Done():
		}
		<-r.Context().Done()
	}))
	w.t.Cleanup(s.Close)
	w.target.URL = secret.NewURL(s.URL)
	w.apply()
	return arrived
}

// get asks the handler of /probe.
func (w *world) get(query, timeout string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/probe?"+query, nil)
	if timeout != "" {
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	answer := httptest.NewRecorder()
	w.prober.ServeProbe(answer, r)
	return answer
}

// overTLS serves the account by TLS with a certificate for the host, and returns the file of its authority.
func (w *world) overTLS(host string, from, until time.Time) string {
	w.t.Helper()
	authority, err := weixintest.NewAuthority(time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	certificate, err := authority.Issue(host, from, until)
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(w.server)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.target.URL = secret.NewURL(s.URL + "/callback")
	file := filepath.Join(w.t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, authority.PEM(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func trusting(file string) *promconfig.HTTPClientConfig {
	c := promconfig.DefaultHTTPClientConfig
	c.TLSConfig.CAFile = file
	return &c
}

// noNames is a resolver that reaches no server.
func noNames() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no server")
	}}
}

// nameServer returns a resolver that answers each name with the address.
func nameServer(t *testing.T, address [4]byte) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			var asked dnsmessage.Message
			if asked.Unpack(buffer[:n]) != nil || len(asked.Questions) == 0 {
				continue
			}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: asked.ID, Response: true}, Questions: asked.Questions}
			if q := asked.Questions[0]; q.Type == dnsmessage.TypeA {
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: address},
				}}
			}
			if packed, err := answer.Pack(); err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// leaks fails where a text holds what must not be seen.
func leaks(t *testing.T, what, text string, more ...string) {
	t.Helper()
	for _, hidden := range append(more, token, aesKey) {
		if hidden != "" && strings.Contains(text, hidden) {
			t.Errorf("%s: holds what must not be shown", what)
		}
	}
}

// secrets returns what a result must not hold: token and key, and every signature that the server has seen.
func (w *world) secrets() []string {
	hidden := []string{url.QueryEscape(token)}
	for _, r := range w.server.Received() {
		hidden = append(hidden, r.Signature)
	}
	return hidden
}

func event(mode callback.Mode, name string) *probe.Message {
	return &probe.Message{Mode: mode, AppID: appID, To: callback.TestAccount, Event: name}
}
