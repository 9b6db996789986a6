package remotewrite_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/weixin/secret"
)

// A receiver that does not support 2.0 says so, or decodes a request of 2.0 as an empty one.
func TestFallback(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]response{
		"415":             {status: http.StatusUnsupportedMediaType, body: "no such message"},
		"without headers": {status: http.StatusNoContent, header: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				r.set(func(q *request) response {
					if q.v2 {
						return refusal
					}
					return response{status: http.StatusNoContent}
				})
				r.stored = func(q *request, a response) []point {
					if q.v2 {
						return nil
					}
					return q.points
				}
				e := f.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
				f.save(shop, 1, days(30)...)
				f.start(e)
				f.wait(time.Second)
				f.mustHave(r, "shop", 1, days(30)...)
				// It is remembered, even by a sender that is started again.
				f.end()
				f.save(shop, 1, today)
				f.start(e)
				f.wait(time.Second)
				f.mustHave(r, "shop", 1, days(30)...)
				requests := 0
				for _, q := range r.got() {
					if q.v2 {
						requests++
					}
				}
				if lines := f.log.Lines("1.0 is used from now on"); requests != 1 || len(lines) != 1 {
					t.Errorf("%d requests of 2.0, and logged %q", requests, lines)
				}
			})
		})
	}
}

// An error of a receiver does not lead to 1.0.
func TestNoFallback(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 404, 429, 500, 503} {
		_, r := send(t, remotewrite.V2, response{status: status})
		for _, q := range r.got() {
			if !q.v2 {
				t.Errorf("%d leads to 1.0", status)
			}
		}
	}
	got, r := send(t, remotewrite.V2, response{status: http.StatusNoContent, header: map[string]string{"X-Prometheus-Remote-Write-Histograms-Written": "0"}})
	if got.Outcome != remotewrite.Accepted || len(r.got()) != 1 {
		t.Errorf("%+v after %d requests", got, len(r.got()))
	}
}

// A receiver that accepts samples without writing them is logged once an hour.
func TestUnwrittenSamples(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		written := func(text string) {
			r.set(func(*request) response {
				return response{status: http.StatusOK, header: map[string]string{"X-Prometheus-Remote-Write-Samples-Written": text}}
			})
		}
		written("30")
		e := f.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
		e.MaxSamples = perDay
		f.save(shop, 1, days(3)...)
		f.start(e)
		f.wait(time.Minute)
		if lines := f.log.Lines("did not write"); len(lines) != 1 || len(f.log.Lines("level=warn", "did not write", "samples=70")) != 1 {
			t.Errorf("logged %q", lines)
		}
		f.wait(time.Hour)
		written("-5")
		f.save(shop, 1, today)
		f.wait(time.Minute)
		if lines := f.log.Lines("did not write", "samples=240"); len(lines) != 1 {
			t.Errorf("logged %q after an hour", f.log.Lines("did not write"))
		}
		f.mustCount("one", 4*perDay, 0, nil)
		f.wait(time.Hour)
		for i, text := range []string{"100", "101", "many"} {
			written(text)
			f.save(shop, int64(i+2), today)
			f.wait(time.Minute)
		}
		if lines := f.log.Lines("did not write"); len(lines) != 2 {
			t.Errorf("logged %q although everything was written", lines)
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		f.save(shop, 1, today-1)
		f.start(f.endpoint("one", r, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{
				"X-Scope-OrgID": secret.New("sim-secret-tenant"), "content-type": secret.New("text/plain"), "host": secret.New("other.test"),
			}
		}))
		f.wait(time.Second)
		got := r.got()
		if len(got) != 1 || got[0].header.Get("X-Scope-OrgID") != "sim-secret-tenant" || got[0].header.Get("User-Agent") != "test/1" ||
			!strings.Contains(got[0].url, "@one/write?key=") {
			t.Errorf("%d requests with other headers or another address", len(got))
		}
	})
}

// Transport errors are reported without the URL.
func TestErrorsHoldNoURL(t *testing.T) {
	t.Parallel()
	got, _ := send(t, remotewrite.V1, response{err: errors.New("connection\nreset")})
	if got.Outcome != remotewrite.Later || got.Text != "connection reset" {
		t.Errorf("%+v", got)
	}
	client := remotewrite.NewClient(remotewrite.ClientOptions{
		URL: secret.NewURL("http://u:sim-secret-1@bad host/"), HTTPClient: &http.Client{}, Timeout: time.Second,
	})
	series := remotewrite.NewSeries("up", remotewrite.Metadata{})
	got = client.Send(t.Context(), []remotewrite.Sample{{Series: series}})
	if got.Outcome != remotewrite.Later || strings.Contains(got.Text, "sim-") {
		t.Error("an invalid URL is shown or not noticed")
	}
}

// Redirects are not followed, whatever their status and the caller's client: the headers would be sent along.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t)
		r.decide = func(q *request) response {
			return response{status: status, header: map[string]string{"Location": "https://user:sim-secret-user@elsewhere.test/login?key=sim-secret-query"}}
		}
		got := sendTo(t, r, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header")}
			o.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		})
		if got.Outcome != remotewrite.Unusable || got.Status != status || len(r.got()) != 1 {
			t.Errorf("%d is %+v after %d requests", status, got, len(r.got()))
		}
		want := fmt.Sprintf("HTTP status %d: the server redirects to https://elsewhere.test/login; ", status)
		if !strings.HasPrefix(got.Text, want) || !strings.Contains(got.Text, "configure that address") {
			t.Errorf("status %d: text %q, want %q", status, got.Text, want)
		}
	}
	got, r := send(t, remotewrite.V1, response{status: http.StatusFound})
	if got.Outcome != remotewrite.Unusable || got.Status != http.StatusFound || len(r.got()) != 1 {
		t.Errorf("a redirect without a location is %+v after %d requests", got, len(r.got()))
	}
}

// echo responds with everything it was sent, in every way that a page may show it.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	uri := r.URL.RequestURI()
	user, password, _ := r.BasicAuth()
	text := strings.Join([]string{
		"Cannot POST " + uri, html.EscapeString(uri), url.QueryEscape(uri), fmt.Sprint(r.URL.Query()), user, password,
		fmt.Sprint(r.Header), r.Header.Get("X-Api-Key"), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "),
	}, " ")
	return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// bearer adds a token to a copy of each request, as authenticating transports do.
type bearer struct{ echo }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer sim-secret-bearer")
	return b.echo.RoundTrip(r)
}

// What a receiver quotes of a request is shown without its secrets.
func TestResponsesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	const query = "?key=sim-secret%2fquery&n=1&sim-secret-name&q=sim-secret+%26+\"more\""
	for name, c := range map[string]struct {
		url       string
		transport http.RoundTripper
	}{
		"basic":  {"http://user:sim-secret-%2Furl@receiver.test/write" + query, echo{}},
		"bearer": {"http://receiver.test/write" + query, bearer{}},
	} {
		got := sendTo(t, c.transport, func(o *remotewrite.ClientOptions) {
			o.URL = secret.NewURL(c.url)
			o.Headers = map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header"), "X-Scope-OrgID": secret.New("1")}
		})
		for _, hidden := range []string{"sim-", "secret%", "query", "more", "dXNlcjpzaW0", "bearer", "header"} {
			if strings.Contains(got.Text, hidden) {
				t.Errorf("%s: %q is shown", name, hidden)
			}
		}
		if !strings.HasPrefix(got.Text, "HTTP status 404: Cannot POST /write?"+secret.Mask+" /write?") || !strings.Contains(got.Text, "X-Scope-Orgid:[1]") {
			t.Errorf("%s: too much is hidden", name)
		}
	}
}

// Neither the URL of a token endpoint is reported, nor a secret that a proxy quotes.
func TestNestedErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	inner := &url.Error{Op: "Post", URL: "http://tokens.test/?key=sim-secret-query", Err: errors.New("connection refused")}
	for text, err := range map[string]error{
		"connection refused":          fmt.Errorf("no token: %w", inner),
		"no such key: " + secret.Mask: errors.New("no such key: sim-secret-header"),
	} {
		got := sendTo(t, failing{err}, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header")}
		})
		if got.Outcome != remotewrite.Later || got.Text != text {
			t.Errorf("the text is not %q", text)
		}
	}
}

// failing is a transport that fails.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// A client does not show its credentials, however it is printed.
func TestPrintedClientHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	o := remotewrite.ClientOptions{
		URL: secret.NewURL("http://sim-secret-user:sim-secret-word@receiver.test/write?key=sim-secret-query"), HTTPClient: &http.Client{Transport: bearer{}},
		Headers: map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header")},
	}
	client := remotewrite.NewClient(o)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, printed := range []any{client, &o, o} {
			if text := fmt.Sprintf(verb, printed); strings.Contains(text, "sim-secret-") || !strings.Contains(text, "receiver.test/write") {
				t.Errorf("%s of %T shows a secret, or does not show the receiver", verb, printed)
			}
		}
	}
}
