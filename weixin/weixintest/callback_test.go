package weixintest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

const callbackKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

// asked returns what a callback server answers to a request.
func asked(t *testing.T, c http.Handler, method, query, body string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	c.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, "/callback?"+query, strings.NewReader(body)))
	return answer.Code, answer.Body.String()
}

// The example is that of Weixin's page 消息推送.
func TestCallbackVerifiesURL(t *testing.T) {
	c := weixintest.NewCallback(weixintest.CallbackOptions{Token: "AAAAA"})
	const good = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249&timestamp=1714036504&nonce=1514711492"
	if code, body := asked(t, c, http.MethodGet, good, ""); code != 200 || body != "4375120948345356249" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := asked(t, c, http.MethodGet, strings.Replace(good, "f464", "0000", 1), ""); code != 200 || body != "invalid signature" {
		t.Errorf("%d %q", code, body)
	}
	seen := c.Received()
	if len(seen) != 2 || !seen[0].Valid || seen[1].Valid || seen[0].Method != http.MethodGet {
		t.Errorf("seen: %+v", seen)
	}
}

// The simulated server and the client's package read the protocol alike.
func TestCallbackAnswersMessages(t *testing.T) {
	key, err := callback.ParseKey(callbackKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []callback.Mode{callback.Plain, callback.Compatible, callback.Safe} {
		c := weixintest.NewCallback(weixintest.CallbackOptions{Token: "sim-token-c", AESKey: callbackKey, AppID: "wx1"})
		crypt := callback.Crypt{Token: secret.New("sim-token-c"), Mode: mode, Key: key, AppID: "wx1"}
		for _, m := range []callback.Message{{To: "gh_1", From: "o1", Content: callback.TestText}, {To: "gh_1", From: "o1", Event: "debug_demo"}} {
			query, body, err := crypt.Post(m, callback.Stamp{Time: time.Unix(1700000000, 0), Nonce: "1"}, [16]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			code, answered := asked(t, c, http.MethodPost, query.Encode(), string(body))
			reply, err := crypt.Reply([]byte(answered))
			if code != 200 || err != nil || m.Event == "" && (reply.Content != callback.TestReply || reply.Encrypted != (mode != callback.Plain)) {
				t.Errorf("%s: %d %+v, %v", mode, code, reply, err)
			}
		}
		if seen := c.Received(); len(seen) != 2 || !strings.Contains(seen[1].Message, "debug_demo") {
			t.Errorf("%s: seen %+v", mode, seen)
		}
	}
}

func TestCallbackRefusesMessages(t *testing.T) {
	c := weixintest.NewCallback(weixintest.CallbackOptions{Token: "AAAAA", AESKey: callbackKey, AppID: "wx1"})
	const signed = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492"
	other, err := callback.ParseKey(strings.Repeat("A", 43))
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.Encrypt([]byte("<xml/>"), "wx1", [16]byte{})
	for name, body := range map[string]string{
		"none": "", "not XML": "{}", "not base64": "<xml><Encrypt>*</Encrypt></xml>", "unsigned": "<xml><Encrypt>" + foreign + "</Encrypt></xml>",
	} {
		if code, _ := asked(t, c, http.MethodPost, signed, body); code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, code)
		}
	}
	query := signed + "&msg_signature=" + callback.Sign(secret.New("AAAAA"), "1714036504", "1514711492", foreign)
	if code, _ := asked(t, c, http.MethodPost, query, "<xml><Encrypt>"+foreign+"</Encrypt></xml>"); code != http.StatusBadRequest {
		t.Errorf("another key: %d", code)
	}
	defer func() {
		if recover() == nil {
			t.Error("an AES key that is not one does not panic")
		}
	}()
	weixintest.NewCallback(weixintest.CallbackOptions{AESKey: "short"})
}

func TestCallbackFaults(t *testing.T) {
	c := weixintest.NewCallback(weixintest.CallbackOptions{Token: "AAAAA"})
	const good = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&echostr=4375120948345356249&timestamp=1714036504&nonce=1514711492"
	for name, f := range map[string]struct {
		fault weixintest.CallbackFault
		code  int
		body  string
	}{
		"status":   {weixintest.CallbackFault{Status: 502}, 502, "the server says Bad Gateway\n"},
		"body":     {weixintest.CallbackFault{Body: "no"}, 200, "no"},
		"around":   {weixintest.CallbackFault{Body: "[%s]"}, 200, "[4375120948345356249]"},
		"redirect": {weixintest.CallbackFault{Redirect: "http://other.example/"}, 302, ""},
		"delay":    {weixintest.CallbackFault{Delay: 1}, 200, "4375120948345356249"},
		"mirror":   {weixintest.CallbackFault{Mirror: true}, 200, "<pre>GET /callback?" + good + "</pre>"},
	} {
		c.SetFault(f.fault)
		if code, body := asked(t, c, http.MethodGet, good, ""); code != f.code || f.body != "" && body != f.body {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
	s := httptest.NewServer(c)
	defer s.Close()
	for name, fault := range map[string]weixintest.CallbackFault{"hangup": {Hangup: true}, "endless": {Endless: true}} {
		c.SetFault(fault)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/?"+good, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client().Do(request)
		if fault.Hangup {
			if err == nil {
				_ = response.Body.Close()
				t.Errorf("%s: there is an answer", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, response.Body, 1<<20); n != 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		_ = response.Body.Close()
	}
}

func TestAuthority(t *testing.T) {
	now := time.Now()
	a, err := weixintest.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(a.PEM()) {
		t.Fatal("the authority's certificate cannot be read")
	}
	for host, until := range map[string]time.Time{"shop.example": now.Add(time.Hour), "127.0.0.1": now.Add(-time.Hour)} {
		issued, err := a.Issue(host, now.AddDate(0, 0, -1), until)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(issued.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: now}); (err == nil) != until.After(now) {
			t.Errorf("%s until %v: %v", host, until, err)
		}
		_ = tls.Config{Certificates: []tls.Certificate{issued}, MinVersion: tls.VersionTLS12}
	}
}
