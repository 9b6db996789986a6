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

// A receiver that does not know 2.0 says so, or takes a request of 2.0 for an empty one.
func TestFallback(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]answer{
		"415":             {status: http.StatusUnsupportedMediaType, body: "no such message"},
		"without headers": {status: http.StatusNoContent, header: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				r.set(func(q *request) answer {
					if v2(q) {
						return refusal
					}
					return answer{status: http.StatusNoContent}
				})
				r.stored = func(q *request, a answer) []point {
					if v2(q) {
						return nil
					}
					return q.points
				}
				e := w.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
				w.save(shop, 1, days(30)...)
				w.start(e)
				w.wait(time.Second)
				w.mustHave(r, "shop", 1, days(30)...)
				// It is remembered, also by a sender that is started again.
				w.end()
				w.save(shop, 1, today)
				w.start(e)
				w.wait(time.Second)
				w.mustHave(r, "shop", 1, days(30)...)
				tried := 0
				for _, q := range r.got() {
					if v2(q) {
						tried++
					}
				}
				if lines := w.log.lines("1.0 is used from now on"); tried != 1 || len(lines) != 1 {
					t.Errorf("2.0 was tried %d times, and logged %q", tried, lines)
				}
			})
		})
	}
}

// A receiver of 2.0 that is only busy is not taken for one of 1.0.
func TestNoFallback(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 404, 429, 500, 503} {
		_, r := send(t, remotewrite.V2, answer{status: status})
		for _, q := range r.got() {
			if !v2(q) {
				t.Errorf("%d leads to 1.0", status)
			}
		}
	}
	got, r := send(t, remotewrite.V2, answer{status: http.StatusNoContent, header: map[string]string{"X-Prometheus-Remote-Write-Histograms-Written": "0"}})
	if got.Verdict != remotewrite.Accepted || len(r.got()) != 1 {
		t.Errorf("%+v after %d requests", got, len(r.got()))
	}
}

// A receiver that accepts samples and does not write them is complained about, once an hour.
func TestUnwrittenSamples(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		written := func(text string) {
			r.set(func(*request) answer {
				return answer{status: http.StatusOK, header: map[string]string{"X-Prometheus-Remote-Write-Samples-Written": text}}
			})
		}
		written("30")
		e := w.endpoint("one", r, func(o *remotewrite.ClientOptions) { o.Message = remotewrite.V2 })
		e.MaxSamples = perDay
		w.save(shop, 1, days(3)...)
		w.start(e)
		w.wait(time.Minute)
		if lines := w.log.lines("did not write"); len(lines) != 1 || len(w.log.lines("level=warn", "did not write", "samples=70")) != 1 {
			t.Errorf("logged %q", lines)
		}
		w.wait(time.Hour)
		written("-5")
		w.save(shop, 1, today)
		w.wait(time.Minute)
		if lines := w.log.lines("did not write", "samples=240"); len(lines) != 1 {
			t.Errorf("logged %q after an hour", w.log.lines("did not write"))
		}
		w.mustCount("one", 4*perDay, 0, nil)
		w.wait(time.Hour)
		for i, text := range []string{"100", "101", "many"} {
			written(text)
			w.save(shop, int64(i+2), today)
			w.wait(time.Minute)
		}
		if lines := w.log.lines("did not write"); len(lines) != 2 {
			t.Errorf("logged %q although all was written", lines)
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		w.save(shop, 1, today-1)
		w.start(w.endpoint("one", r, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{
				"X-Scope-OrgID": secret.New("sim-secret-tenant"), "content-type": secret.New("text/plain"), "host": secret.New("other.test"),
			}
		}))
		w.wait(time.Second)
		got := r.got()
		if len(got) != 1 || got[0].header.Get("X-Scope-OrgID") != "sim-secret-tenant" || got[0].header.Get("User-Agent") != "test/1" ||
			!strings.Contains(got[0].url, "@one/write?key=") {
			t.Errorf("%d requests with other headers or another address", len(got))
		}
	})
}

// What kept a request from the receiver is told without the URL.
func TestFaultsHoldNoURL(t *testing.T) {
	t.Parallel()
	got, _ := send(t, remotewrite.V1, answer{err: errors.New("connection\nreset")})
	if got.Verdict != remotewrite.Later || got.Text != "connection reset" {
		t.Errorf("%+v", got)
	}
	client := remotewrite.NewClient(remotewrite.ClientOptions{
		URL: secret.NewURL("http://u:sim-secret-1@bad host/"), HTTPClient: &http.Client{}, Timeout: time.Second,
	})
	series := remotewrite.NewSeries("up", remotewrite.Metadata{})
	got = client.Send(t.Context(), []remotewrite.Sample{{Series: series}})
	if got.Verdict != remotewrite.Later || strings.Contains(got.Text, "sim-") {
		t.Error("a URL that is none is shown or not noticed")
	}
}

// No redirect is followed, whatever it keeps of the request and whatever the caller's client would do: the
// headers would go along.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t)
		r.decide = func(q *request) answer {
			return answer{status: status, header: map[string]string{"Location": "https://user:sim-secret-user@elsewhere.test/login?key=sim-secret-query"}}
		}
		got := sendTo(t, r, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header")}
			o.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		})
		if got.Verdict != remotewrite.Unusable || got.Status != status || len(r.got()) != 1 {
			t.Errorf("%d is %+v after %d requests", status, got, len(r.got()))
		}
		want := fmt.Sprintf("HTTP status %d: the server redirects to https://elsewhere.test/login; ", status)
		if !strings.HasPrefix(got.Text, want) || !strings.Contains(got.Text, "configure that address") {
			t.Errorf("%d says %q, want %q", status, got.Text, want)
		}
	}
	got, r := send(t, remotewrite.V1, answer{status: http.StatusFound})
	if got.Verdict != remotewrite.Unusable || got.Status != http.StatusFound || len(r.got()) != 1 {
		t.Errorf("a redirect to nowhere is %+v after %d requests", got, len(r.got()))
	}
}

// echo answers with all that it was sent, in every way that a page may show it.
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

// bearer puts a token on a copy of each request, as the transports that authenticate do.
type bearer struct{ echo }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer sim-secret-bearer")
	return b.echo.RoundTrip(r)
}

// What a receiver repeats of a request is shown without what is secret in it.
func TestAnswersHoldNoSecrets(t *testing.T) {
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

// Neither is the address of whoever gives out tokens told, nor that which a proxy repeats.
func TestNestedFaultsHoldNoURL(t *testing.T) {
	t.Parallel()
	inner := &url.Error{Op: "Post", URL: "http://tokens.test/?key=sim-secret-query", Err: errors.New("connection refused")}
	for text, err := range map[string]error{
		"connection refused":          fmt.Errorf("no token: %w", inner),
		"no such key: " + secret.Mask: errors.New("no such key: sim-secret-header"),
	} {
		got := sendTo(t, failing{err}, func(o *remotewrite.ClientOptions) {
			o.Headers = map[string]secret.Value{"X-Api-Key": secret.New("sim-secret-header")}
		})
		if got.Verdict != remotewrite.Later || got.Text != text {
			t.Errorf("%q is not what is told", text)
		}
	}
}

// failing answers nothing.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// However a client is printed, what authenticates it is not shown.
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
				t.Errorf("%s of %T shows a secret, or not where the receiver is", verb, printed)
			}
		}
	}
}
