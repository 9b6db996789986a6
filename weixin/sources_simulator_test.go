package weixin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// shapes are those of the responses of the simulated token server.
var shapes = []string{"raw", "string", "object", "object-without-life", "own", "nested"}

// tokenURL returns a source for the simulated token server, without network.
func (s *simulation) tokenURL(path string) weixin.TokenSource {
	format := weixin.TokenFormat{Component: strings.Contains(path, "/component/")}
	if strings.HasPrefix(path, "nested/") {
		format.Path = "data.token"
	}
	return s.URLToken(weixin.URLTokenOptions{
		Format: format,
		URL:    secret.NewURL("https://tokens.example/" + path),
		HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			recorder := httptest.NewRecorder()
			served := r.Clone(r.Context())
			served.Body = http.NoBody
			s.TokenServer().ServeHTTP(recorder, served)
			return recorder.Result(), nil
		})},
	})
}

// count returns the number of requests of an API.
func (s *simulation) count(api string) int {
	n := 0
	for _, call := range s.Calls() {
		if call.API == api {
			n++
		}
	}
	return n
}

// yesterday makes the hourly call for a day whose figures are available.
func (s *simulation) yesterday(t *testing.T, account *weixin.Account) error {
	t.Helper()
	_, err := account.InterfaceSummaryHour(t.Context(), s.day)
	return err
}

func TestTokenServerOverADay(t *testing.T) {
	for _, shape := range shapes {
		s := simulate(t)
		account := s.Account(s.tokenURL(shape + "/" + theAppID))
		for range 24 * 4 {
			if err := s.yesterday(t, account); err != nil {
				t.Fatalf("%s: %v", shape, err)
			}
			s.clock.Advance(15 * time.Minute)
		}
		for _, call := range s.Calls() {
			if call.Errcode > 0 {
				t.Errorf("%s: %s at %s was answered with %d", shape, call.API, call.At, call.Errcode)
			}
		}
		want := 24 * 4 // a token without expires_in is requested with each of these calls
		if shape == "object" || shape == "own" || shape == "nested" {
			want = 13
		}
		if got := s.count("token_server"); got > want {
			t.Errorf("%s: the token server received %d requests in a day, want at most %d", shape, got, want)
		}
	}
}

func TestFrozenTokenServer(t *testing.T) {
	for _, shape := range shapes {
		s := simulate(t)
		account := s.Account(s.tokenURL(shape + "/" + theAppID))
		if err := s.yesterday(t, account); err != nil {
			t.Fatal(err)
		}
		s.FreezeTokenServer(true)
		if err := s.yesterday(t, s.Account(s.LegacyToken(credentials()))); err != nil { // invalidates the token of the token server
			t.Fatal(err)
		}
		s.clock.Advance(6 * time.Minute)
		before := s.count("token_server")
		err := s.yesterday(t, account)
		wantReason(t, err, weixin.Token, "https://tokens.example/"+shape+"/"+theAppID+" still has the token that Weixin refused")
		wantClean(t, err, s.Secrets()...)
		if asked := s.count("token_server") - before; asked > 2 {
			t.Errorf("%s: the token server received %d requests for a call", shape, asked)
		}
		s.FreezeTokenServer(false)
		if err := s.yesterday(t, account); err != nil {
			t.Errorf("%s: with another token: %v", shape, err)
		}
	}
}

func TestFaultsOfTheTokenServer(t *testing.T) {
	tests := map[string]struct {
		fault  weixintest.Fault
		reason weixin.Reason
		says   string
	}{
		"bad gateway": {weixintest.Fault{Status: 502}, weixin.Busy, "HTTP status 502 Bad Gateway"},
		"forbidden":   {weixintest.Fault{Status: 403}, weixin.Token, "HTTP status 403 Forbidden"},
		"empty":       {weixintest.Fault{Empty: true}, weixin.Token, "found an empty text"},
		"HTML":        {weixintest.Fault{Body: []byte("<html>")}, weixin.Token, "found an HTML page"},
		"errcode":     {weixintest.Fault{Body: []byte(`{"errcode":40164}`)}, weixin.Token, "a JSON object with errcode 40164"},
	}
	for name, test := range tests {
		s := simulate(t)
		test.fault.API = "token_server"
		remove := s.Inject(test.fault)
		account := s.Account(s.tokenURL("object/" + theAppID))
		err := s.yesterday(t, account)
		wantReason(t, err, test.reason, "getting an access token from https://tokens.example/object/"+theAppID+": ")
		wantReason(t, err, test.reason, test.says)
		wantClean(t, err, s.Secrets()...)
		remove()
		if err := s.yesterday(t, account); err != nil {
			t.Errorf("%s: after it: %v", name, err)
		}
	}
	s := simulate(t)
	err := s.yesterday(t, s.Account(s.tokenURL("raw/wxnobody")))
	wantReason(t, err, weixin.Token, "HTTP status 404 Not Found")
}

// TestFileOfAnotherService has a service that gets tokens and writes them to a file.
func TestFileOfAnotherService(t *testing.T) {
	s := simulate(t)
	path := filepath.Join(t.TempDir(), "token")
	renew := func() {
		token, err := s.LegacyToken(credentials()).Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, token.Text.Reveal()+"\n")
	}
	renew()
	account := s.Account(weixin.FileToken(path, weixin.TokenFormat{}))
	for range 24 {
		if err := s.yesterday(t, account); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(100 * time.Minute)
		renew()
	}
	s.clock.Advance(2 * time.Hour)
	err := s.yesterday(t, account)
	wantReason(t, err, weixin.Token, "errcode 42001")
	wantReason(t, err, weixin.Token, "the file "+path+" still has the token that Weixin refused")
	wantClean(t, err, s.Secrets()...)
	renew()
	if err := s.yesterday(t, account); err != nil {
		t.Error(err)
	}
}

func TestPlatformOverADay(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		s := simulate(t)
		s.RotateRefreshTokens(rotate)
		path := write(t, filepath.Join(t.TempDir(), "refresh"), s.RefreshToken(onPlatformID)+"\n")
		account := s.Account(s.AuthorizerToken(weixin.AuthorizerOptions{
			ComponentAppID: thePlatform, AppID: onPlatformID,
			Component: s.tokenURL("object/component/" + thePlatform), RefreshToken: weixin.NewRefreshTokenFile(path),
		}))
		for range 24 * 4 {
			if err := s.yesterday(t, account); err != nil {
				t.Fatal(err)
			}
			s.clock.Advance(15 * time.Minute)
		}
		for _, call := range s.Calls() {
			if call.Errcode > 0 {
				t.Errorf("%s at %s was answered with %d", call.API, call.At, call.Errcode)
			}
		}
		if n := s.count("authorizer"); n < 12 || n > 13 {
			t.Errorf("%d exchanges of the refresh token in a day", n)
		}
		if n := s.count("token_server"); n > 26 {
			t.Errorf("the token server received %d requests in a day", n)
		}
		if read(t, path) != s.RefreshToken(onPlatformID)+"\n" {
			t.Error("the file does not have the valid refresh token")
		}
	}
}

func TestFaultsOfThePlatform(t *testing.T) {
	s := simulate(t)
	s.RotateRefreshTokens(true)
	dir := t.TempDir()
	component := write(t, filepath.Join(dir, "component"), s.ComponentToken(thePlatform))
	refresh := write(t, filepath.Join(dir, "refresh"), s.RefreshToken(onPlatformID))
	options := weixin.AuthorizerOptions{
		ComponentAppID: thePlatform, AppID: onPlatformID,
		Component: weixin.FileToken(component, weixin.TokenFormat{}), RefreshToken: weixin.NewRefreshTokenFile(refresh),
	}
	account := s.Account(s.AuthorizerToken(options))
	if err := s.yesterday(t, account); err != nil {
		t.Fatal(err)
	}

	// The component access token has expired, and the file was not renewed.
	s.clock.Advance(2 * time.Hour)
	err := s.yesterday(t, account)
	wantReason(t, err, weixin.Token, "asking Weixin for an access token: errcode 42001")
	wantReason(t, err, weixin.Token, "the file "+component+" still has the token that Weixin refused")
	wantClean(t, err, s.Secrets()...)
	write(t, component, s.ComponentToken(thePlatform))
	if err := s.yesterday(t, account); err != nil {
		t.Error(err)
	}

	tests := map[string]struct {
		change func(*weixin.AuthorizerOptions)
		says   string
	}{
		"another platform": {func(o *weixin.AuthorizerOptions) { o.ComponentAppID = "wxother" }, "errcode 610"},
		"not authorised":   {func(o *weixin.AuthorizerOptions) { o.AppID = theAppID }, "errcode 61003"},
		"another refresh token": {func(o *weixin.AuthorizerOptions) {
			o.RefreshToken = &memory{text: "sim-token-refresh@@@stolen"}
		}, "errcode 61023"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			changed := options
			test.change(&changed)
			err := s.yesterday(t, s.Account(s.AuthorizerToken(changed)))
			wantReason(t, err, weixin.Permission, "asking Weixin for an access token: "+test.says)
			wantClean(t, err, append(s.Secrets(), "stolen")...)
		})
	}
}

// TestUnsavedRefreshTokenAtWeixin has a refresh token that cannot be saved for some time.
func TestUnsavedRefreshTokenAtWeixin(t *testing.T) {
	s := simulate(t)
	s.RotateRefreshTokens(true)
	store := &memory{text: s.RefreshToken(onPlatformID), saveErr: errors.New("no space left on device")}
	options := weixin.AuthorizerOptions{
		ComponentAppID: thePlatform, AppID: onPlatformID, Component: fixed(s.ComponentToken(thePlatform)), RefreshToken: store,
	}
	account := s.Account(s.AuthorizerToken(options))
	for range 3 {
		wantReason(t, s.yesterday(t, account), weixin.Token, "no space left on device")
	}
	if s.count("authorizer") != 1 || s.count("hourly") != 0 {
		t.Errorf("%d exchanges, %d calls; want 1 and none", s.count("authorizer"), s.count("hourly"))
	}
	// After a restart the old one still works, since none of the new ones was used.
	store.saveErr = nil
	for range 2 {
		if err := s.yesterday(t, s.Account(s.AuthorizerToken(options))); err != nil {
			t.Error(err)
		}
	}
}

func TestSecretThatIsReset(t *testing.T) {
	s := simulate(t)
	path := write(t, filepath.Join(t.TempDir(), "secret"), theSecret)
	own := credentials()
	own.Reread = func() (secret.Value, error) {
		content, err := os.ReadFile(path)
		return secret.New(strings.TrimSpace(string(content))), err
	}
	for _, account := range []*weixin.Account{s.Account(s.StableToken(own)), s.Account(s.LegacyToken(own))} {
		if err := s.yesterday(t, account); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(2 * time.Hour)
		s.SetSecret(theAppID, newSecret)
		err := s.yesterday(t, account)
		wantReason(t, err, weixin.Config, "errcode 40125")
		wantClean(t, err, s.Secrets()...)
		write(t, path, newSecret+"\n")
		if err := s.yesterday(t, account); err != nil {
			t.Errorf("once the file has it: %v", err)
		}
		s.SetSecret(theAppID, theSecret)
		write(t, path, theSecret)
	}
}

func TestQuotaOfTheSimulator(t *testing.T) {
	s := simulate(t)
	account := s.account("wxquota")
	for used := range int64(2) {
		got, err := account.Quota(t.Context(), datacube.Hourly)
		if err != nil || got.Limit != 1 || got.Used != used || got.Remaining != 1-used || got.Rate.String() != "600000/min" {
			t.Errorf("after %d calls: %+v, %v", used, got, err)
		}
		_ = s.yesterday(t, account)
	}
	if got, err := account.Quota(t.Context(), datacube.Daily); err != nil || got.Used != 0 || got.Remaining != 1 {
		t.Errorf("of the other call: %+v, %v", got, err)
	}
	// The token has expired: it is renewed as for any other call.
	s.Inject(weixintest.Fault{API: "quota", Errcode: 42001, Times: 1})
	if _, err := s.Account(s.LegacyToken(credentials())).Quota(t.Context(), datacube.Daily); err != nil {
		t.Error(err)
	}
}
