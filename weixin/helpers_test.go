package weixin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

const (
	theSecret = "sim-secret-0123456789abcdef0123456789abcdef"
	theToken  = "sim-token-71_AbC-dEf_0123456789"
	theAppID  = "wx0123456789abcdef"
)

func credentials() weixin.Credentials {
	return weixin.Credentials{AppID: theAppID, AppSecret: secret.New(theSecret)}
}

// date parses a day.
func date(tb testing.TB, text string) datacube.Date {
	tb.Helper()
	d, err := datacube.ParseDate(text)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// roundTripper responds to requests within the process.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return f(r)
}

func respond(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
}

// always responds to all requests with the same status and body.
func always(status int, body string) roundTripper {
	return func(*http.Request) (*http.Response, error) { return respond(status, body), nil }
}

// sourceFunc is a function as a TokenSource.
type sourceFunc func(context.Context) (weixin.AccessToken, error)

func (f sourceFunc) Fetch(ctx context.Context) (weixin.AccessToken, error) { return f(ctx) }

// fixed always returns the same token.
func fixed(text string) weixin.TokenSource {
	return sourceFunc(func(context.Context) (weixin.AccessToken, error) {
		return weixin.AccessToken{Text: secret.New(text), Life: 2 * time.Hour}, nil
	})
}

// numbered returns sim-token-1, sim-token-2 and so on.
type numbered struct {
	mu    sync.Mutex
	count int
	life  time.Duration
}

func (n *numbered) Fetch(context.Context) (weixin.AccessToken, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	return weixin.AccessToken{Text: secret.New(fmt.Sprint("sim-token-", n.count)), Life: n.life}, nil
}

func (n *numbered) fetched() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

// observations records the calls of Options.Observe.
type observations struct {
	mu   sync.Mutex
	seen []weixin.Request
}

func (o *observations) observe(r weixin.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, r)
}

func (o *observations) all() []weixin.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]weixin.Request(nil), o.seen...)
}

// clientOn returns a client with a stopped clock and the given transport.
func clientOn(transport http.RoundTripper, change ...func(*weixin.Options)) *weixin.Client {
	options := weixin.Options{
		BaseURL:    "https://weixin.example",
		HTTPClient: &http.Client{Transport: transport},
		Timeout:    10 * time.Second,
		Now:        func() time.Time { return time.Unix(1_800_000_000, 0) },
	}
	for _, f := range change {
		f(&options)
	}
	return weixin.NewClient(options)
}

// wantClean fails the test if err shows one of the secrets, however it is printed.
func wantClean(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	asJSON, _ := json.Marshal(err)
	forms := map[string]string{
		"Error": err.Error(), "JSON": string(asJSON),
		"%v": fmt.Sprintf("%v", err), "%+v": fmt.Sprintf("%+v", err), "%#v": fmt.Sprintf("%#v", err),
		"%q": fmt.Sprintf("%q", err), "%s of the value": fmt.Sprintf("%+v", []any{err}),
	}
	for cause := err; cause != nil; {
		forms[fmt.Sprintf("%T", cause)] = fmt.Sprintf("%v %+v %#v", cause, cause, cause)
		unwrapper, ok := cause.(interface{ Unwrap() error })
		if !ok {
			break
		}
		cause = unwrapper.Unwrap()
	}
	for name, text := range forms {
		for _, hidden := range append(secrets, theSecret, theToken, "sim-secret-", "sim-token-") {
			if strings.Contains(text, hidden) {
				t.Errorf("%s of %T shows a secret", name, err)
			}
		}
		if name == "Error" && strings.ContainsAny(text, "\r\n") {
			t.Errorf("%s of %T has more than one line", name, err)
		}
	}
}

// bodyOf returns the body of a request.
func bodyOf(r *http.Request) string {
	if r.Body == nil {
		return ""
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(r.Body)
	return b.String()
}
