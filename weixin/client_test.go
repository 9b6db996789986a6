package weixin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// ask makes the hourly call of an account with a fixed token.
func ask(ctx context.Context, c *weixin.Client) error {
	_, err := c.Account(fixed(theToken)).InterfaceSummaryHour(ctx, datacube.FirstDate)
	return err
}

func wantReason(t *testing.T, err error, reason weixin.Reason, says string) {
	t.Helper()
	var fault *weixin.Error
	if !errors.As(err, &fault) || fault.Reason != reason || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v for reason %s, want reason %s and %q in it", err, weixin.ReasonOf(err), reason, says)
	}
}

func TestRequestsAreAsDocumented(t *testing.T) {
	type sent struct{ Method, URL, Body, ContentType, UserAgent string }
	var got []sent
	client := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, sent{r.Method, r.URL.String(), bodyOf(r), r.Header.Get("Content-Type"), r.UserAgent()})
		if strings.HasPrefix(r.URL.Path, "/proxy/cgi-bin/") {
			return respond(200, `{"access_token":"`+theToken+`","expires_in":7200}`), nil
		}
		return respond(200, `{"list":[]}`), nil
	}), func(o *weixin.Options) {
		o.BaseURL = "https://weixin.example/proxy/?key=a"
		o.UserAgent = "weixin_exporter/1"
	})

	day := date(t, "2014-12-07")
	if _, err := client.Account(client.StableToken(credentials())).InterfaceSummary(t.Context(), day, day+6); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Account(client.LegacyToken(credentials())).InterfaceSummaryHour(t.Context(), day); err != nil {
		t.Fatal(err)
	}

	hide := strings.NewReplacer(theSecret, "S", theToken, "T")
	for i := range got {
		got[i].URL, got[i].Body = hide.Replace(got[i].URL), hide.Replace(got[i].Body)
	}
	const base, asJSON, agent = "https://weixin.example/proxy/", "application/json", "weixin_exporter/1"
	want := []sent{
		{"POST", base + "cgi-bin/stable_token?key=a",
			`{"grant_type":"client_credential","appid":"wx0123456789abcdef","secret":"S","force_refresh":false}`, asJSON, agent},
		{"POST", base + "datacube/getinterfacesummary?access_token=T&key=a",
			`{"begin_date":"2014-12-07","end_date":"2014-12-13"}`, asJSON, agent},
		{"GET", base + "cgi-bin/token?appid=wx0123456789abcdef&grant_type=client_credential&key=a&secret=S", "", "", agent},
		{"POST", base + "datacube/getinterfacesummaryhour?access_token=T&key=a",
			`{"begin_date":"2014-12-07","end_date":"2014-12-07"}`, asJSON, agent},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBaseURL(t *testing.T) {
	for _, base := range []string{"http://h.example", "https://h.example/", "https://h.example//"} {
		client := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/datacube/getinterfacesummaryhour" {
				t.Errorf("%s: path %s", base, r.URL.Path)
			}
			return respond(200, `{"list":[]}`), nil
		}), func(o *weixin.Options) { o.BaseURL = base })
		if err := ask(t.Context(), client); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, base := range []string{"", "h.example", "ftp://h.example", "https://", "https://user:" + theSecret + "@h.example/%zz"} {
		var seen observations
		client := clientOn(always(200, `{"list":[]}`), func(o *weixin.Options) { o.BaseURL, o.Observe = base, seen.observe })
		err := ask(t.Context(), client)
		wantReason(t, err, weixin.Config, "base URL: ")
		wantClean(t, err)
		if len(seen.all()) != 0 {
			t.Error("a request that was not sent was observed")
		}
	}
}

func TestOddAnswers(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		body    string
		reason  weixin.Reason
		says    string
		errcode string
	}{
		{"HTML of a proxy", 502, "<html>502</html>", weixin.Busy, "HTTP status 502 Bad Gateway", "http"},
		{"gateway timeout without body", 504, "", weixin.Busy, "HTTP status 504 Gateway Timeout", "http"},
		{"an unknown status", 599, "", weixin.Busy, "HTTP status 599", "http"},
		{"list under a bad status", 500, `{"list":[]}`, weixin.Busy, "HTTP status 500", "http"},
		{"errcode under a bad status", 500, `{"errcode":-1,"errmsg":"system error"}`, weixin.Busy, "errcode -1: system error", "-1"},
		{"errcode under 403", 403, `{"errcode":"48001","errmsg":"api unauthorized"}`, weixin.Permission, "errcode 48001", "48001"},
		{"too many requests", 429, "slow down", weixin.Rate, "HTTP status 429 Too Many Requests", "http"},
		{"too many requests with errcode", 429, `{"errcode":45009}`, weixin.Quota, "errcode 45009", "45009"},
		{"redirect", 302, "", weixin.Busy, "/elsewhere; redirects are not followed", "http"},
		{"no content", 204, "", weixin.Busy, "HTTP status 204", "http"},
		{"empty", 200, "", weixin.Busy, "the response is empty", "http"},
		{"HTML", 200, "<html>", weixin.Busy, "is not a JSON object", "http"},
		{"errcode 0 without list", 200, `{"errcode":0}`, weixin.Busy, "neither list nor errcode", "http"},
		{"errcode that is not a number", 200, `{"errcode":"x"}`, weixin.Busy, "not a number", "http"},
		{"errcode as text beside a list", 200, `{"errcode":"45011","list":[]}`, weixin.Rate, "errcode 45011", "45011"},
		{"too large", 200, `{"list":[` + strings.Repeat(" ", 4<<20) + `]}`, weixin.Busy, "response: more than 4 MiB", "http"},
		{"too large under a bad status", 503, strings.Repeat("x", 5<<20), weixin.Busy, "HTTP status 503", "http"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var seen observations
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere?"+r.URL.RawQuery)
				w.Header().Set("Content-Type", "text/html; charset=gbk")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			err := ask(t.Context(), clientOn(http.DefaultTransport, func(o *weixin.Options) {
				o.BaseURL, o.Observe = server.URL, seen.observe
			}))
			wantReason(t, err, test.reason, test.says)
			wantClean(t, err)
			got := seen.all()
			if len(got) != 1 || got[0].API != "hourly" || got[0].Errcode != test.errcode {
				t.Fatalf("observed %+v, want errcode %s", got, test.errcode)
			}
			// The Date header of a page of a proxy is ignored.
			if got[0].Date.IsZero() != (test.errcode == "http") {
				t.Errorf("observed the date %v with errcode %s", got[0].Date, test.errcode)
			}
		})
	}
}

func TestDateOfAnAnswer(t *testing.T) {
	date := time.Date(2026, 11, 25, 4, 5, 6, 0, time.UTC)
	for name, test := range map[string]struct {
		header http.Header
		want   time.Time
	}{
		"as it should be": {http.Header{"Date": {"Wed, 25 Nov 2026 04:05:06 GMT"}}, date},
		"none":            {http.Header{}, time.Time{}},
		"not a date":      {http.Header{"Date": {"today"}}, time.Time{}},
		"from a cache":    {http.Header{"Date": {"Wed, 25 Nov 2026 04:05:06 GMT"}, "Age": {"86400"}}, time.Time{}},
	} {
		var seen observations
		err := ask(t.Context(), clientOn(roundTripper(func(*http.Request) (*http.Response, error) {
			response := respond(200, `{"list":[]}`)
			response.Header = test.header
			return response, nil
		}), func(o *weixin.Options) { o.Observe = seen.observe }))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := seen.all(); len(got) != 1 || !got[0].Date.Equal(test.want) {
			t.Errorf("%s: observed %+v, want %v", name, got, test.want)
		}
	}
}

func TestAnswerOfExactlyTheBound(t *testing.T) {
	body := `{"list":[]` + strings.Repeat(" ", 4<<20-len(`{"list":[]}`)) + `}`
	if err := ask(t.Context(), clientOn(always(200, body))); err != nil {
		t.Error(err)
	}
}

func TestOddTokenAnswers(t *testing.T) {
	tests := map[string]string{
		`{"expires_in":7200}`:                                                                    "no access_token",
		`{"access_token":"","expires_in":7200}`:                                                  "no access_token",
		`{"access_token":null,"expires_in":7200}`:                                                "no access_token",
		`{"access_token":17,"expires_in":7200}`:                                                  "no access_token",
		`{"access_token":"T"}`:                                                                   "(expires_in)",
		`{"access_token":"T","expires_in":0}`:                                                    "(expires_in)",
		`{"access_token":"T","expires_in":-1}`:                                                   "(expires_in)",
		`{"access_token":"T","expires_in":"soon"}`:                                               "(expires_in)",
		`{"access_token":"T\u0000","expires_in":7200}`:                                           "control characters",
		`{"access_token":"T\r\nHost: x","expires_in":7200}`:                                      "control characters",
		`{"access_token":"` + strings.Repeat("T", 4097-len(theToken)+1) + `","expires_in":7200}`: "too long",
		`{"list":[]}`: "no access_token",
	}
	for body, says := range tests {
		client := clientOn(always(200, strings.Replace(body, `"T`, `"`+theToken, 1)))
		for _, source := range []weixin.TokenSource{client.StableToken(credentials()), client.LegacyToken(credentials())} {
			token, err := source.Fetch(t.Context())
			wantReason(t, err, weixin.Busy, says)
			wantClean(t, err)
			if !token.Text.IsZero() {
				t.Errorf("%.60q: a token is returned with the error", body)
			}
		}
	}
	token, err := clientOn(always(200, `{"access_token":"`+theToken+`","expires_in":9223372036854775807}`)).
		StableToken(credentials()).Fetch(t.Context())
	if err != nil || token.Life != 365*24*time.Hour {
		t.Errorf("an infinite life: got %s, %v; want a year", token.Life, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	own := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			followed = followed || r.URL.Host != "weixin.example"
			response := respond(307, "")
			response.Header.Set("Location", "https://elsewhere.example/?access_token=sim-token-query")
			return response, nil
		}),
	}
	client := clientOn(nil, func(o *weixin.Options) { o.HTTPClient = own })
	wantReason(t, ask(t.Context(), client), weixin.Busy, "HTTP status 307: the server redirects to https://elsewhere.example/; ")
	if followed || own.CheckRedirect(nil, nil) != nil {
		t.Error("the redirect was followed, or the caller's client was changed")
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen observations
		waitForTheEnd := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		client := clientOn(waitForTheEnd, func(o *weixin.Options) {
			o.Now, o.Observe = time.Now, seen.observe
			o.Limiter = limiterFunc(func(ctx context.Context) error {
				<-time.After(time.Minute) // fake clock: waiting for the limiter does not count towards the timeout
				return ctx.Err()
			})
		})
		err := ask(t.Context(), client)
		wantReason(t, err, weixin.Busy, "no response within 10s")
		wantClean(t, err)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the request's own timeout counts as the end of the caller's context")
		}
		want := []weixin.Request{{API: "hourly", Errcode: "http", Duration: 10 * time.Second}}
		if got := seen.all(); !slices.Equal(got, want) {
			t.Errorf("observed %+v, want %+v", got, want)
		}

		// The header of the response arrives, but its body does not.
		client = clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
			response := respond(200, "")
			response.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
				<-r.Context().Done()
				return 0, r.Context().Err()
			}))
			return response, nil
		}))
		wantReason(t, ask(t.Context(), client), weixin.Busy, "no response within 10s")
	})
}

type limiterFunc func(context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestCallersContext ends the caller's context at each stage of a call.
func TestCallersContext(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	stages := map[string]func(*weixin.Options) weixin.TokenSource{
		"limiter": func(o *weixin.Options) weixin.TokenSource {
			o.Limiter = limiterFunc(hang)
			return fixed(theToken)
		},
		"request": func(o *weixin.Options) weixin.TokenSource {
			o.HTTPClient.Transport = roundTripper(func(r *http.Request) (*http.Response, error) { return nil, hang(r.Context()) })
			return fixed(theToken)
		},
		"body": func(o *weixin.Options) weixin.TokenSource {
			o.HTTPClient.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				response := respond(200, "")
				response.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, hang(r.Context()) }))
				return response, nil
			})
			return fixed(theToken)
		},
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen observations
				options := weixin.Options{
					BaseURL: "https://weixin.example", HTTPClient: &http.Client{}, Timeout: time.Hour, Now: time.Now, Observe: seen.observe,
				}
				source := stage(&options)
				account := weixin.NewClient(options).Account(source)

				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := account.InterfaceSummaryHour(ctx, datacube.FirstDate)
				wantEnd(t, err, context.DeadlineExceeded)

				ctx, stop := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { stop(errors.New("the program ends")) })
				_, err = account.InterfaceSummary(ctx, datacube.FirstDate, datacube.FirstDate)
				wantEnd(t, err, context.Canceled)

				_, err = account.InterfaceSummary(ctx, datacube.FirstDate, datacube.FirstDate)
				wantEnd(t, err, context.Canceled)
				if took := time.Since(began); took != 2*time.Second {
					t.Errorf("the calls went on for %s after the end of their contexts", took-2*time.Second)
				}
				if len(seen.all()) != 0 {
					t.Errorf("observed %+v, want nothing", seen.all())
				}
			})
		})
	}
}

func wantEnd(t *testing.T, err, end error) {
	t.Helper()
	if !errors.Is(err, end) || weixin.ReasonOf(err) != weixin.Unknown {
		t.Errorf("got %v of reason %s, want one that is %v", err, weixin.ReasonOf(err), end)
		return
	}
	wantClean(t, err)
}

func TestLimiterHoldsBackEveryRequest(t *testing.T) {
	waits := 0
	var seen observations
	client := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/cgi-bin/") {
			return respond(200, `{"access_token":"`+theToken+`","expires_in":7200}`), nil
		}
		return respond(200, `{"list":[]}`), nil
	}), func(o *weixin.Options) {
		o.Limiter = limiterFunc(func(context.Context) error { waits++; return nil })
		o.Observe = seen.observe
	})
	account := client.Account(client.StableToken(credentials()))
	for range 2 {
		if _, err := account.InterfaceSummaryHour(t.Context(), datacube.FirstDate); err != nil {
			t.Fatal(err)
		}
	}
	want := []weixin.Request{{API: "token", Errcode: "0"}, {API: "hourly", Errcode: "0"}, {API: "hourly", Errcode: "0"}}
	if got := seen.all(); waits != 3 || !slices.Equal(got, want) {
		t.Errorf("%d waits and %+v; want 3 and %+v", waits, got, want)
	}
}

func TestLimiterThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := rate.NewLimiter(rate.Every(time.Minute), 1)
		client := clientOn(always(200, `{"list":[]}`), func(o *weixin.Options) { o.Limiter = limiter })
		if err := ask(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantEnd(t, ask(ctx, client), context.DeadlineExceeded)
	})

	refusal := errors.New("no burst")
	client := clientOn(always(200, `{"list":[]}`), func(o *weixin.Options) {
		o.Limiter = limiterFunc(func(context.Context) error { return refusal })
	})
	if err := ask(t.Context(), client); !errors.Is(err, refusal) || weixin.ReasonOf(err) != weixin.Unknown {
		t.Errorf("got %v, want the limiter's own error", err)
	}
}

// TestTransportFaults also checks for leaks, since each of these errors quotes the request.
func TestTransportFaults(t *testing.T) {
	quote := func(r *http.Request) string { return r.Method + " " + r.URL.String() + " " + bodyOf(r) }
	faults := map[string]roundTripper{
		"reset": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
		"quotes the URL": func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("cannot send\n" + quote(r))
		},
		"quotes it in a value": func(r *http.Request) (*http.Response, error) { return nil, quotingError{quote(r)} },
		"a client of its own": func(r *http.Request) (*http.Response, error) {
			inner := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
			return inner.Do(r.Clone(r.Context()))
		},
		"bad Location": func(r *http.Request) (*http.Response, error) {
			response := respond(302, "")
			response.Header.Set("Location", "https://%zz/?"+r.URL.RawQuery)
			return response, nil
		},
		"body ends early": func(r *http.Request) (*http.Response, error) {
			response := respond(200, "")
			response.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, errors.New("cut off: " + quote(r)) }))
			return response, nil
		},
		"a timeout of its own": func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded },
		"errmsg quotes it": func(r *http.Request) (*http.Response, error) {
			return respond(200, `{"errcode":-1,"errmsg":"cannot `+strings.ReplaceAll(quote(r), `"`, `'`)+`"}`), nil
		},
		"page quotes it": func(r *http.Request) (*http.Response, error) { return respond(502, quote(r)), nil },
		"answer quotes it": func(r *http.Request) (*http.Response, error) {
			return respond(200, `{"`+r.URL.String()+`":`+r.URL.RawQuery), nil
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var seen observations
			client := clientOn(fault, func(o *weixin.Options) { o.Observe = seen.observe })
			_, stable := client.StableToken(credentials()).Fetch(t.Context())
			_, legacy := client.LegacyToken(credentials()).Fetch(t.Context())
			for _, err := range []error{stable, legacy, ask(t.Context(), client)} {
				if weixin.ReasonOf(err) != weixin.Busy {
					t.Errorf("reason %s, want busy", weixin.ReasonOf(err))
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("the error counts as the end of the caller's context")
				}
				wantClean(t, err)
			}
			if got := len(seen.all()); got != 3 {
				t.Errorf("%d requests observed, want 3", got)
			}
		})
	}
	if err := ask(t.Context(), clientOn(faults["reset"])); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the cause of %v is lost", err)
	}
}

// TestLeaksInOtherSpellings has secrets that are escaped in URLs and in JSON.
func TestLeaksInOtherSpellings(t *testing.T) {
	const odd = `sim-secret-a/b c&d"e<f>`
	quote := roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New(r.URL.String() + " " + bodyOf(r) + " " + r.URL.Query().Get("access_token"))
	})
	client := clientOn(quote)
	_, stable := client.StableToken(weixin.Credentials{AppID: theAppID, AppSecret: secret.New(odd)}).Fetch(t.Context())
	_, legacy := client.LegacyToken(weixin.Credentials{AppID: theAppID, AppSecret: secret.New(odd)}).Fetch(t.Context())
	_, daily := client.Account(fixed(odd)).InterfaceSummary(t.Context(), datacube.FirstDate, datacube.FirstDate)
	for _, err := range []error{stable, legacy, daily} {
		wantClean(t, err, "a/b c&d", "a%2Fb", "c\u0026d")
	}
}

type quotingError struct{ Request string }

func (quotingError) Error() string { return "it failed" }
