package weixin_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/weixintest"
)

// diagnosed is a simulation in which two accounts and the platform have a callback URL, each of its own.
func diagnosed(t *testing.T) *simulation {
	t.Helper()
	s := simulate(t)
	s.Server = weixintest.New(weixintest.Options{
		Seed: 7, Now: s.clock.Now,
		Accounts: []weixintest.Account{
			{AppID: theAppID, AppSecret: theSecret, CallbacksPerDay: 100, Callback: &weixintest.CallbackHost{Addresses: []string{"192.0.2.1", "192.0.2.2"}}},
			{AppID: "wxlost", AppSecret: theSecret, Callback: &weixintest.CallbackHost{Addresses: []string{"192.0.2.3"}, Lost: true}},
			{AppID: "wxnoname", AppSecret: theSecret, Callback: &weixintest.CallbackHost{}},
			{AppID: "wxunset", AppSecret: theSecret, Errcode: 48001},
			{AppID: onPlatformID, Platform: thePlatform},
		},
		Platforms: []weixintest.Platform{{AppID: thePlatform, Callback: &weixintest.CallbackHost{Addresses: []string{"192.0.2.9"}}}},
	})
	s.Client = clientOn(s.Transport(), func(o *weixin.Options) { o.Now = s.clock.Now })
	return s
}

func TestCheckCallback(t *testing.T) {
	s := diagnosed(t)
	got, err := s.account(theAppID).CheckCallback(t.Context())
	want := weixin.CallbackReach{
		Resolved: []weixin.CallbackAddress{{IP: "192.0.2.1", Operator: "UNICOM"}, {IP: "192.0.2.2", Operator: "UNICOM"}},
		Pings: []weixin.CallbackPing{
			{IP: "192.0.2.1", Operator: "UNICOM", Time: 23079 * time.Microsecond}, {IP: "192.0.2.2", Operator: "UNICOM", Time: 23079 * time.Microsecond},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for appID, says := range map[string]string{
		theAppID:   "resolved to 192.0.2.1 UNICOM, 192.0.2.2 UNICOM; ping 192.0.2.1 23.079ms, 192.0.2.2 23.079ms",
		"wxlost":   "resolved to 192.0.2.3 UNICOM; ping 192.0.2.3 lost",
		"wxnoname": "Weixin does not resolve the host of the callback URL",
	} {
		if got, err := s.account(appID).CheckCallback(t.Context()); err != nil || got.String() != says {
			t.Errorf("%s: %v, %v", appID, got, err)
		}
	}
	_, err = s.account("wxunset").CheckCallback(t.Context())
	wantReason(t, err, weixin.Config, "asking Weixin for the way to the callback URL: errcode 40201")
	wantClean(t, err, s.Secrets()...)
	if failed, ok := errors.AsType[*weixin.Error](err); !ok || !strings.Contains(failed.Advice().String(), "No callback URL is set") {
		t.Errorf("the advice of %v", err)
	}
}

// The URL of an account on a platform is the platform's, and is asked for with the platform's own token.
func TestCheckCallbackOfAPlatform(t *testing.T) {
	s := diagnosed(t)
	path := write(t, filepath.Join(t.TempDir(), "refresh"), s.RefreshToken(onPlatformID)+"\n")
	account := s.Account(s.AuthorizerToken(weixin.AuthorizerOptions{
		ComponentAppID: thePlatform, AppID: onPlatformID, Component: fixed(s.ComponentToken(thePlatform)), RefreshToken: weixin.NewRefreshTokenFile(path),
	}))
	got, err := account.CheckCallback(t.Context())
	if err != nil || len(got.Resolved) != 1 || got.Resolved[0].IP != "192.0.2.9" {
		t.Errorf("%v, %v", got, err)
	}
	if n := s.count("authorizer"); n != 0 {
		t.Errorf("%d exchanges of the refresh token for it", n)
	}
}

func TestReachThatIsInvalid(t *testing.T) {
	for body, says := range map[string]string{
		`{}`:                           "has no dns and ping",
		`{"dns":{}}`:                   "has no dns and ping",
		`{"dns":[],"ping":[1]}`:        "has no dns and ping",
		`{"dns":[],"ping":[{}]}`:       "has no package_loss",
		`{"errcode":40202}`:            "errcode 40202",
		`<html>`:                       "is not a JSON object",
		`{"dns":[{"ip":1}],"ping":[]}`: "",
	} {
		_, err := clientOn(always(200, body)).Account(fixed(theToken)).CheckCallback(t.Context())
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", body, err, says)
		}
	}
}

func TestLookUp(t *testing.T) {
	s := diagnosed(t)
	account := s.account("wxunset")
	var rid string
	for rid == "" { // not every error has one
		_, err := account.InterfaceSummaryHour(t.Context(), s.day)
		failed, ok := errors.AsType[*weixin.Error](err)
		if !ok {
			t.Fatal(err)
		}
		rid = failed.RID
	}
	at := s.clock.Now()
	s.clock.Advance(time.Hour)
	got, err := account.LookUp(t.Context(), rid)
	if err != nil || !got.At.Equal(at.Truncate(time.Second)) || got.Cost != 30*time.Millisecond || got.Query != "access_token=<secret>" ||
		got.Request != `{"begin_date":"2026-11-19","end_date":"2026-11-19"}` || !strings.Contains(got.Response, `"errcode":48001`) || got.Address != weixintest.ClientAddress {
		t.Errorf("%+v, %v", got, err)
	}
	for _, hidden := range s.Secrets() {
		if strings.Contains(got.Query+got.Request+got.Response, hidden) {
			t.Error("a secret is shown")
		}
	}
	_, err = s.account(theAppID).LookUp(t.Context(), rid)
	wantReason(t, err, weixin.Permission, "errcode 76003")
	_, err = account.LookUp(t.Context(), "5f9b7285-5c43096f-0ba75f4d")
	wantReason(t, err, weixin.Range, "asking Weixin for a logged request: errcode 76001")
	_, err = account.LookUp(t.Context(), "5f9b")
	wantReason(t, err, weixin.Bug, "errcode 76002")
	s.clock.Advance(7 * 24 * time.Hour)
	_, err = account.LookUp(t.Context(), rid)
	wantReason(t, err, weixin.Range, "errcode 76001")
}

// Whatever Weixin has logged, tokens and secrets in it are not shown.
func TestLoggedSecrets(t *testing.T) {
	const hidden = "sim-token-logged"
	logged := func(query, request, response string) weixin.LoggedRequest {
		t.Helper()
		client := clientOn(roundTripper(func(*http.Request) (*http.Response, error) {
			return respond(200, `{"errcode":0,"request":{"invoke_time":1635156704,"cost_in_ms":"30","request_url":`+quote(query)+
				`,"request_body":`+quote(request)+`,"response_body":`+quote(response)+`,"client_ip":"192.0.2.1"}}`), nil
		}))
		got, err := client.Account(fixed(theToken)).LookUp(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, c := range []struct{ query, want string }{
		{"access_token=" + hidden, "access_token=<secret>"},
		{"/cgi-bin/token?appid=wx1&secret=" + hidden + "&grant_type=client_credential", "/cgi-bin/token?appid=wx1&secret=<secret>&grant_type=client_credential"},
		{"component%5Faccess_token=" + hidden + "&x=1", "component%5Faccess_token=<secret>&x=1"},
		{hidden, "<secret>"},
		{"%zz=" + hidden, "<secret>"},
		{"", ""},
	} {
		if got := logged(c.query, "", "").Query; got != c.want {
			t.Errorf("a query is shown as %d bytes, want %s", len(got), c.want)
		}
	}
	for _, c := range []struct{ body, want string }{
		{`{"grant_type":"client_credential","appid":"wx1","secret":"` + hidden + `"}`, `{"grant_type":"client_credential","appid":"wx1","secret":"<secret>"}`},
		{`{"access_token" : "` + hidden + `","expires_in":7200}`, `{"access_token" : "<secret>","expires_in":7200}`},
		{`{"x":"{\"authorizer_refresh_token\":\"` + hidden + `\"}"}`, `{"x":"{\"authorizer_refresh_token\":\"<secret>\"}"}`},
		{`{"access_token":"` + hidden, `{"access_token":"<secret>`},
		{`{"access_token":"a\/` + hidden + `"}`, `{"access_token":"<secret>"}`},
		{`{"errcode":40001,"errmsg":"invalid credential"}`, `{"errcode":40001,"errmsg":"invalid credential"}`},
	} {
		got := logged("", c.body, c.body)
		if got.Request != c.want || got.Response != c.want {
			t.Errorf("a body is shown as %d bytes, want %s", len(got.Request), c.want)
		}
	}
	// The token of the request itself is not shown, whatever it is called there.
	if got := logged("x="+theToken, `{"x":"`+theToken+`"}`, theToken); strings.Contains(got.Query+got.Request+got.Response, theToken) {
		t.Error("the token of the request is shown")
	}
	for _, body := range []string{`{"errcode":0}`, `{"errcode":0,"request":[]}`, `{"errcode":0,"request":{"invoke_time":1}}`} {
		_, err := clientOn(always(200, body)).Account(fixed(theToken)).LookUp(t.Context(), "r")
		wantReason(t, err, weixin.Busy, "the response has no request")
	}
}

func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// FuzzLoggedRequest: a token that a query or a body of JSON has under its name is not shown.
func FuzzLoggedRequest(f *testing.F) {
	f.Add("x=1&", `{"a":"b",`)
	f.Add("/path?", `[{"a":{`)
	f.Fuzz(func(t *testing.T, before, body string) {
		const hidden = "sim-token-fuzzed"
		if strings.Contains(before+body, "sim-token-") {
			t.Skip()
		}
		encode := func(s string) string {
			var b strings.Builder
			for _, r := range s {
				if r < ' ' || r > '~' || r == '"' || r == '\\' {
					r = ' '
				}
				b.WriteRune(r)
			}
			return b.String()
		}
		client := clientOn(always(200, `{"errcode":0,"request":{"invoke_time":1,"cost_in_ms":1,"request_url":"`+encode(before)+`&access_token=`+hidden+
			`","request_body":"`+encode(body)+`\"access_token\":\"`+hidden+`\"}","response_body":"","client_ip":""}}`))
		got, err := client.Account(fixed(theToken)).LookUp(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.Query+got.Request, hidden) {
			t.Error("the token is shown")
		}
	})
}
