package weixin_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// write writes content to a file and returns its path.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsReadForEachCall(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "token"), "sim-token-1\n")
	api := &gate{errcode: 40001, accepted: map[string]bool{"sim-token-1": true, "sim-token-2": true, "sim-token-3": true}}
	account := clientOn(api).Account(weixin.FileToken(path, weixin.TokenFormat{}))
	for _, content := range []string{"", `{"access_token":"sim-token-2","expires_in":7200}`, `"sim-token-3"`} {
		if content != "" {
			write(t, path, content)
		}
		if err := hour(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"sim-token-1", "sim-token-2", "sim-token-3"} {
		if api.calls[i] != want {
			t.Errorf("call %d was not made with the current content of the file", i)
		}
	}
	token, err := weixin.FileToken(write(t, path, `{"access_token":"sim-token-2","expires_in":7200}`), weixin.TokenFormat{}).Fetch(t.Context())
	if err != nil || token.Life != 0 {
		t.Errorf("the token of a file has the life %s, error %v; want 0", token.Life, err)
	}
}

func TestFileThatChangesWithTheRefusal(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "token"), "sim-token-1")
	api := &gate{errcode: 42001, accepted: map[string]bool{"sim-token-2": true}}
	account := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := api.RoundTrip(r)
		write(t, path, "sim-token-2") // renewed during the call
		return response, err
	})).Account(weixin.FileToken(path, weixin.TokenFormat{}))
	if err := hour(t.Context(), account); err != nil || api.count() != 2 {
		t.Errorf("%v after %d calls, want 2", err, api.count())
	}
}

func TestFileThatStillHoldsTheRefusedToken(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "token"), "sim-token-1")
	api := &gate{errcode: 40001}
	account := clientOn(api).Account(weixin.FileToken(path, weixin.TokenFormat{}))
	for round := range 2 {
		err := hour(t.Context(), account)
		wantReason(t, err, weixin.Token, "hourly interface summary: errcode 40001: refused; the file "+path+
			" still has the token that Weixin refused (rid 5f9b7285-0ba75f4d)")
		wantClean(t, err)
		wantOrigin(t, err, "the file "+path, "Renew the token in the file "+path)
		if api.count() != round+1 {
			t.Errorf("%d calls in round %d, want one in each", api.count(), round)
		}
	}

	// The source is also at fault if two different tokens are refused.
	account = clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		write(t, path, "sim-token-2")
		return api.RoundTrip(r)
	})).Account(weixin.FileToken(path, weixin.TokenFormat{}))
	write(t, path, "sim-token-1")
	err := hour(t.Context(), account)
	wantReason(t, err, weixin.Token, "errcode 40001: refused (rid")
	wantOrigin(t, err, "the file "+path, "Weixin refuses every token from the file "+path)
}

// wantOrigin checks the origin of the token and the advice of an error.
func wantOrigin(t *testing.T, err error, origin, advice string) {
	t.Helper()
	var fault *weixin.Error
	if !errors.As(err, &fault) {
		t.Errorf("got %v, want an *Error", err)
		return
	}
	said := fault.Advice().String()
	if fault.Origin.String() != origin || !strings.HasPrefix(said, advice) || !strings.HasSuffix(said, ".") || strings.Contains(said, "{") {
		t.Errorf("origin %q, advice %q; want %q and %q", fault.Origin, said, origin, advice)
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct{ path, says string }{
		"missing":       {filepath.Join(dir, "missing"), "no such file"},
		"folder":        {dir, "not a regular file"},
		"not a folder":  {filepath.Join(write(t, filepath.Join(dir, "a"), theToken), "b"), "not a directory"},
		"empty":         {write(t, filepath.Join(dir, "empty"), "\n"), "found an empty text instead of a token"},
		"HTML":          {write(t, filepath.Join(dir, "html"), "<html>"+theToken), "found an HTML page instead of a token"},
		"too large":     {write(t, filepath.Join(dir, "large"), theToken+strings.Repeat(" ", 64<<10)), "file larger than 64 KiB"},
		"refused there": {write(t, filepath.Join(dir, "code"), `{"errcode":40164,"errmsg":"`+theToken+`"}`), "a JSON object with errcode 40164"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			api := &gate{}
			err := hour(t.Context(), clientOn(api).Account(weixin.FileToken(test.path, weixin.TokenFormat{})))
			wantReason(t, err, weixin.Token, "getting an access token from the file "+test.path+": ")
			wantReason(t, err, weixin.Token, test.says)
			wantClean(t, err)
			wantOrigin(t, err, "the file "+test.path, "Check that the file "+test.path+" exists and is readable")
			if strings.Count(err.Error(), test.path) != 1 || api.count() != 0 {
				t.Errorf("%v names the file more than once, or there were calls: %d", err, api.count())
			}
			var fault *weixin.Error
			if errors.As(err, &fault) && fault.API != "token" {
				t.Errorf("API %q, want token", fault.API)
			}
		})
	}
	if err := hour(t.Context(), clientOn(&gate{}).Account(weixin.FileToken(filepath.Join(dir, "missing"), weixin.TokenFormat{}))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause of %v is lost", err)
	}
	largest := write(t, filepath.Join(dir, "largest"), theToken+strings.Repeat(" ", 64<<10-len(theToken)))
	if _, err := weixin.FileToken(largest, weixin.TokenFormat{}).Fetch(t.Context()); err != nil {
		t.Errorf("64 KiB: %v", err)
	}
}

func TestFileThatVanishesWithTheRefusal(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "token"), "sim-token-1")
	account := clientOn(roundTripper(func(*http.Request) (*http.Response, error) {
		_ = os.Remove(path)
		return respond(200, `{"errcode":40001}`), nil
	})).Account(weixin.FileToken(path, weixin.TokenFormat{}))
	wantReason(t, hour(t.Context(), account), weixin.Token, "no such file")
}

func TestSourcesEndWithTheContext(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "token"), theToken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sources := map[string]weixin.TokenSource{
		"file": weixin.FileToken(path, weixin.TokenFormat{}),
		"URL":  clientOn(nil).URLToken(weixin.URLTokenOptions{URL: secret.NewURL("https://tokens.example/a")}),
	}
	for name, source := range sources {
		if _, err := source.Fetch(ctx); err == nil || !strings.HasPrefix(err.Error(), "getting an access token from ") {
			t.Errorf("%s: got %v", name, err)
		} else {
			wantEnd(t, err, context.Canceled)
		}
	}
}

const (
	theTokenURL  = "https://exporter:sim-secret-password@tokens.example:8443/shop%2Fa/b?key=sim-secret-key&a=b"
	shownURL     = "https://tokens.example:8443/shop%2Fa/b"
	urlFaultText = "getting an access token from " + shownURL + ": "
)

// tokenServer responds to the requests of a token URL; all other requests go to Weixin.
func tokenServer(transport http.RoundTripper) (weixin.URLTokenOptions, *http.Client) {
	client := &http.Client{Transport: transport}
	return weixin.URLTokenOptions{URL: secret.NewURL(theTokenURL), HTTPClient: client}, client
}

func TestURLIsAskedAsConfigured(t *testing.T) {
	asked := 0
	options, _ := tokenServer(roundTripper(func(r *http.Request) (*http.Response, error) {
		asked++
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodGet || user != "exporter" || password != "sim-secret-password" || r.URL.Host != "tokens.example:8443" ||
			r.URL.RequestURI() != "/shop%2Fa/b?key=sim-secret-key&a=b" || !strings.HasPrefix(r.Header.Get("Accept"), "application/json") ||
			r.UserAgent() != "weixin_exporter/1" || r.Body != nil {
			t.Error("the request is not the configured one")
		}
		return respond(200, `{"access_token":"`+theToken+`","expires_in":"600"}`), nil
	}))
	var seen observations
	waits := 0
	client := clientOn(&gate{accepted: map[string]bool{theToken: true}}, func(o *weixin.Options) {
		o.UserAgent, o.Observe = "weixin_exporter/1", seen.observe
		o.Limiter = limiterFunc(func(context.Context) error { waits++; return nil })
	})
	token, err := client.URLToken(options).Fetch(t.Context())
	if err != nil || !token.Text.Equal(secret.New(theToken)) || token.Life != 10*time.Minute {
		t.Errorf("got life %s, error %v", token.Life, err)
	}
	account := client.Account(client.URLToken(options))
	for range 3 {
		if err := hour(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 || waits != 3 || len(seen.all()) != 3 {
		t.Errorf("%d requests to the token server, %d waits, %d observations; want 2, 3 and 3", asked, waits, len(seen.all()))
	}
}

func TestURLIsAskedAgainWhenTheLifeEnds(t *testing.T) {
	for body, life := range map[string]time.Duration{
		theToken:             time.Minute,
		`"` + theToken + `"`: time.Minute,
		`{"access_token":"` + theToken + `","expires_in":7200}`: 2 * time.Hour,
	} {
		asked, now := 0, time.Unix(1_800_000_000, 0)
		options, _ := tokenServer(roundTripper(func(*http.Request) (*http.Response, error) {
			asked++
			return respond(200, body), nil
		}))
		client := clientOn(&gate{accepted: map[string]bool{theToken: true}}, func(o *weixin.Options) { o.Now = func() time.Time { return now } })
		account := client.Account(client.URLToken(options))
		for _, pass := range []time.Duration{0, life - min(time.Minute, life/10), 1} {
			now = now.Add(pass)
			if err := hour(t.Context(), account); err != nil {
				t.Fatal(err)
			}
		}
		if asked != 2 {
			t.Errorf("life %s: the token server received %d requests, want 2", life, asked)
		}
	}
}

func TestURLThatStillHandsOutTheRefusedToken(t *testing.T) {
	asked := 0
	options, _ := tokenServer(roundTripper(func(*http.Request) (*http.Response, error) {
		asked++
		return respond(200, theToken), nil
	}))
	api := &gate{errcode: 40014}
	client := clientOn(api)
	err := hour(t.Context(), client.Account(client.URLToken(options)))
	wantReason(t, err, weixin.Token, "errcode 40014: refused; "+shownURL+" still has the token that Weixin refused")
	wantClean(t, err)
	wantOrigin(t, err, shownURL, "Renew the token in "+shownURL)
	if asked != 2 || api.count() != 1 {
		t.Errorf("%d requests to the token server, %d calls; want 2 and 1", asked, api.count())
	}
}

func TestOddTokenServers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		reason weixin.Reason
		says   string
	}{
		{"unavailable", 503, theToken, weixin.Busy, "HTTP status 503 Service Unavailable"},
		{"an unknown status", 599, "", weixin.Busy, "HTTP status 599"},
		{"unauthorized", 401, theToken, weixin.Token, "HTTP status 401 Unauthorized"},
		{"not found", 404, "<html>", weixin.Token, "HTTP status 404 Not Found"},
		{"redirect", 302, "", weixin.Token, "/elsewhere; redirects are not followed"},
		{"no content", 204, "", weixin.Token, "HTTP status 204 No Content"},
		{"empty", 200, "", weixin.Token, "found an empty text instead of a token"},
		{"HTML", 200, "<html>" + theToken, weixin.Token, "found an HTML page instead of a token"},
		{"errcode", 200, `{"errcode":40013,"errmsg":"` + theToken + `"}`, weixin.Token, "a JSON object with errcode 40013"},
		{"expired", 200, `{"access_token":"` + theToken + `","expires_in":0}`, weixin.Token, "the token has expired"},
		{"too large", 200, theToken + strings.Repeat(" ", 64<<10), weixin.Token, "response: more than 64 KiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("Location", "/elsewhere?"+r.URL.RawQuery)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			_, err := clientOn(nil).URLToken(weixin.URLTokenOptions{
				URL: secret.NewURL(server.URL + "/shop?key=sim-secret-key"),
			}).Fetch(t.Context())
			wantReason(t, err, test.reason, "getting an access token from "+server.URL+"/shop: ")
			wantReason(t, err, test.reason, test.says)
			wantClean(t, err)
			advice := map[weixin.Reason]string{weixin.Busy: "The token server at ", weixin.Token: "Check that the token server at "}[test.reason]
			wantOrigin(t, err, server.URL+"/shop", advice+server.URL+"/shop")
			if requests != 1 {
				t.Errorf("%d requests, want 1", requests)
			}
		})
	}
}

func TestTransportFaultsOfTokenServers(t *testing.T) {
	quote := func(r *http.Request) string {
		_, password, _ := r.BasicAuth()
		return r.URL.String() + " " + r.URL.RequestURI() + " " + r.URL.RawQuery + " " + r.URL.Query().Get("key") + " " + password
	}
	faults := map[string]roundTripper{
		"reset":  func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"quotes": func(r *http.Request) (*http.Response, error) { return nil, errors.New("cannot send\n" + quote(r)) },
		"bad Location": func(r *http.Request) (*http.Response, error) {
			response := respond(302, "")
			response.Header.Set("Location", "https://%zz/?"+r.URL.RawQuery)
			return response, nil
		},
		"a timeout of its own": func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded },
		"body ends early": func(r *http.Request) (*http.Response, error) {
			response := respond(200, "")
			response.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, errors.New("cut off: " + quote(r)) }))
			return response, nil
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			options, own := tokenServer(fault)
			own.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
			_, err := clientOn(nil).URLToken(options).Fetch(t.Context())
			wantReason(t, err, weixin.Busy, urlFaultText)
			wantClean(t, err, "a=b", "exporter")
			wantOrigin(t, err, shownURL, "The token server at "+shownURL)
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("the error counts as the end of the caller's context")
			}
		})
	}
}

func TestSlowTokenServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options, _ := tokenServer(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		source := clientOn(nil).URLToken(options)
		began := time.Now()
		_, err := source.Fetch(t.Context())
		wantReason(t, err, weixin.Busy, urlFaultText+"no response within 10s")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = source.Fetch(ctx)
		wantEnd(t, err, context.DeadlineExceeded)
	})
}

func TestURLThatIsNone(t *testing.T) {
	for _, text := range []string{"", "tokens.example", "ftp://tokens.example", "https://", "https://user:" + theSecret + "@h.example/%zz"} {
		_, err := clientOn(nil).URLToken(weixin.URLTokenOptions{URL: secret.NewURL(text)}).Fetch(t.Context())
		wantReason(t, err, weixin.Token, "getting an access token from the token URL: it must begin with http:// or https:// and name a host")
		wantClean(t, err)
	}
}

// TestSharedToken has a hundred accounts with the tokens of one source.
func TestSharedToken(t *testing.T) {
	source := &numbered{life: 2 * time.Hour}
	api := &gate{errcode: 40001, accepted: map[string]bool{"sim-token-1": true}}
	client := clientOn(api)
	shared := client.SharedToken(source)
	var group sync.WaitGroup
	all := func() {
		for range 100 {
			group.Go(func() {
				if err := hour(t.Context(), client.Account(shared)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	all()
	api.accepted = map[string]bool{"sim-token-2": true}
	all()
	if source.fetched() != 2 {
		t.Errorf("%d token fetches, want 2", source.fetched())
	}
	token, err := shared.Fetch(t.Context())
	if err != nil || !token.Text.Equal(secret.New("sim-token-2")) || token.Life != 0 || source.fetched() != 2 {
		t.Errorf("Fetch: life %s, error %v, %d token fetches", token.Life, err, source.fetched())
	}
	one, other := client.Account(shared), client.Account(shared)
	other.AdoptToken(one)
	if err := hour(t.Context(), other); err != nil || source.fetched() != 2 {
		t.Errorf("after AdoptToken: %v, %d token fetches", err, source.fetched())
	}
}

func TestQuota(t *testing.T) {
	var paths []string
	body := `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":100,"used":7,"remain":93,"more":{}}}`
	var seen observations
	client := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		paths = append(paths, r.Method+" "+r.URL.Path+" "+bodyOf(r))
		if r.URL.Query().Get("access_token") == "sim-token-1" {
			return respond(200, `{"errcode":42001,"errmsg":"access_token expired"}`), nil
		}
		return respond(200, body), nil
	}), func(o *weixin.Options) { o.Observe = seen.observe })
	account := client.Account(&numbered{life: 2 * time.Hour})
	for api, path := range map[datacube.API]string{
		datacube.Daily: "/datacube/getinterfacesummary", datacube.Hourly: "/datacube/getinterfacesummaryhour",
	} {
		got, err := account.Quota(t.Context(), api)
		want := `POST /cgi-bin/openapi/quota/get {"cgi_path":"` + path + `"}`
		if err != nil || got != (weixin.CallQuota{Limit: 100, Used: 7, Remaining: 93}) || paths[len(paths)-1] != want {
			t.Errorf("%s: got %+v, %v by %q", api, got, err, paths[len(paths)-1])
		}
	}
	if got := seen.all(); len(got) != 3 || got[0] != (weixin.Request{API: "quota", Errcode: "42001"}) || got[2] != (weixin.Request{API: "quota", Errcode: "0"}) {
		t.Errorf("observed %+v", got)
	}

	rates := map[string]string{
		`"rate_limit":{"call_count":"60","refresh_second":300}`:                                                             "60 in 5m0s",
		`"rate_limit":{"call_count":60,"refresh_second":1},"component_rate_limit":{"call_count":1,"refresh_second":1}`:      "60/s",
		`"rate_limit":{"call_count":0,"refresh_second":60},"component_rate_limit":{"call_count":"many","refresh_second":1}`: "",
		`"rate_limit":[],"component_rate_limit":null`:                                                                       "",
	}
	for rate, allowed := range rates {
		body = `{"errcode":0,"quota":{"daily_limit":100,"used":7,"remain":93},` + rate + `}`
		got, err := account.Quota(t.Context(), datacube.Daily)
		if err != nil || got.Limit != 100 || got.Allowed().IsZero() != (allowed == "") || allowed != "" && got.Allowed().String() != allowed {
			t.Errorf("%s: %s is allowed, error %v; want %s", rate, got.Allowed(), err, allowed)
		}
	}
	byPlatform := weixin.CallQuota{
		ByComponent: true, Rate: weixin.CallRate{Calls: 10, Per: time.Second}, ComponentRate: weixin.CallRate{Calls: 60, Per: time.Minute},
	}
	if got := byPlatform.Allowed(); got.String() != "60/min" || got.PerSecond() != 1 {
		t.Errorf("a platform is allowed %s", got)
	}

	for wrong, says := range map[string]string{
		`{"errcode":0}`:            "the response has no quota",
		`{"errcode":0,"quota":[]}`: "the response has no quota",
		`{"errcode":0,"quota":{"daily_limit":1,"used":1}}`:                "the response has no quota",
		`{"errcode":0,"quota":{"daily_limit":"1","used":1.5,"remain":1}}`: "the response has no quota",
		`<html>`: "is not a JSON object",
	} {
		body = wrong
		got, err := account.Quota(t.Context(), datacube.Daily)
		wantReason(t, err, weixin.Busy, "asking Weixin for the quota: ")
		wantReason(t, err, weixin.Busy, says)
		if got != (weixin.CallQuota{}) {
			t.Errorf("%s: got %+v", wrong, got)
		}
	}
	body = `{"errcode":76021,"errmsg":"cgi_path not found ` + "sim-token-2" + `"}`
	_, err := account.Quota(t.Context(), datacube.Daily)
	wantReason(t, err, weixin.Bug, "errcode 76021: cgi_path not found <secret>")
	wantClean(t, err)
}
