package weixintest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/weixintest"
)

const (
	agency = "wx0000000000000agy" // the platform that shop and bot have authorised
	rival  = "wx0000000000000rvl" // a platform that no account has authorised
)

func platformOptions() weixintest.Options {
	return weixintest.Options{
		Seed: 3,
		Accounts: []weixintest.Account{
			{AppID: shop, AppSecret: shopSecret, CallbacksPerDay: 20_000, Platform: agency},
			{AppID: bot, CallbacksPerDay: 40, Platform: agency},
			{AppID: quiet, AppSecret: "sim-secret-quiet"},
		},
		Platforms: []weixintest.Platform{{AppID: agency}, {AppID: rival}},
	}
}

// authorize makes an api_authorizer_token call.
func (w *world) authorize(component, platform, appID, refresh string) reply {
	w.Helper()
	body, err := json.Marshal(map[string]string{
		"component_appid": platform, "authorizer_appid": appID, "authorizer_refresh_token": refresh,
	})
	if err != nil {
		w.Fatal(err)
	}
	return w.send(http.MethodPost, authorizerPath, url.Values{"component_access_token": {component}}, string(body))
}

// refresh is authorize with the component access token of the agency.
func (w *world) refresh(appID, refresh string) reply {
	w.Helper()
	return w.authorize(w.ComponentToken(agency), agency, appID, refresh)
}

// wantRefreshed checks that a response has an access token, and returns the two tokens.
func (w *world) wantRefreshed(what string, r reply) (access, refresh string) { //nolint:nonamedreturns // two strings
	w.Helper()
	w.wantCode(what, r, 0)
	if !strings.HasPrefix(r.AuthorizerToken, "sim-token-") || !strings.HasPrefix(r.RefreshToken, "sim-token-") || r.ExpiresIn != 7200 {
		w.Fatalf("%s: access token of %d characters, refresh token of %d, expires_in %d",
			what, len(r.AuthorizerToken), len(r.RefreshToken), r.ExpiresIn)
	}
	return r.AuthorizerToken, r.RefreshToken
}

func TestPlatformCallsForAnAccount(t *testing.T) {
	t.Parallel()
	for name, overHTTP := range map[string]bool{"in process": false, "over HTTP": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, platformOptions())
			if overHTTP {
				w.overHTTP(httptest.NewServer(w.Server))
			}
			first := w.RefreshToken(shop)
			r := w.refresh(shop, first)
			access, refresh := w.wantRefreshed("shop", r)
			if refresh != first || w.RefreshToken(shop) != first {
				t.Error("the refresh token changed without rotation")
			}
			if r.ContentType != "text/plain" || len(access) < 136 || len(access) > 512 || url.QueryEscape(access) != access {
				t.Errorf("type %q, an access token of %d characters", r.ContentType, len(access))
			}
			daily := w.daily(access, yesterday, yesterday)
			w.wantCode("daily", daily, 0)
			if len(*daily.List) != 1 || (*daily.List)[0].figures() != w.Day(shop, day(t, yesterday)) {
				t.Error("the platform does not get the account's figures")
			}
			w.wantCode("hourly", w.hourly(access, yesterday), 0)

			w.clock.Advance(2*time.Hour - time.Second)
			again, _ := w.wantRefreshed("again", w.refresh(shop, first))
			if again == access {
				t.Error("a refresh returned the same access token")
			}
			w.wantCode("the first access token in its last second", w.daily(access, yesterday, yesterday), 0)
			w.clock.Advance(time.Second)
			w.wantCode("the first access token at its end", w.daily(access, yesterday, yesterday), 42001)
			w.wantCode("the second access token", w.daily(again, yesterday, yesterday), 0)
		})
	}
}

func TestComponentTokenLivesTwoHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	first := w.ComponentToken(agency)
	if !strings.HasPrefix(first, "sim-token-") || first == w.ComponentToken(rival) {
		t.Error("a component access token is malformed, or the same for two platforms")
	}
	w.clock.Advance(2*time.Hour - time.Second)
	if w.ComponentToken(agency) != first {
		t.Error("another component access token in the last second of the first one")
	}
	w.wantRefreshed("in its last second", w.authorize(first, agency, shop, w.RefreshToken(shop)))
	w.clock.Advance(time.Second)
	w.wantCode("at its end", w.authorize(first, agency, shop, w.RefreshToken(shop)), 42001)
	if w.ComponentToken(agency) == first {
		t.Error("the component access token was not renewed")
	}
	w.wantRefreshed("renewed", w.refresh(shop, w.RefreshToken(shop)))
}

func TestRefusedAuthorizerCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ask  func(w *world, component, refresh string) reply
		code int
	}{
		{"no component token", func(w *world, _, refresh string) reply { return w.authorize("", agency, shop, refresh) }, 41001},
		{"malformed component token", func(w *world, _, refresh string) reply {
			return w.authorize("sim-token-short", agency, shop, refresh)
		}, 40014},
		{"unknown component token", func(w *world, _, refresh string) reply {
			return w.authorize("sim-token-"+strings.Repeat("x", 147), agency, shop, refresh)
		}, 40001},
		{"the account's own token", func(w *world, _, refresh string) reply {
			return w.authorize(w.stable(shop, shopSecret, false).AccessToken, agency, shop, refresh)
		}, 40001},
		{"no platform", func(w *world, component, refresh string) reply { return w.authorize(component, "", shop, refresh) }, 61011},
		{"unknown platform", func(w *world, component, refresh string) reply { return w.authorize(component, "wx9", shop, refresh) }, 61011},
		{"the token of another platform", func(w *world, _, refresh string) reply {
			return w.authorize(w.ComponentToken(rival), agency, shop, refresh)
		}, 61011},
		{"a platform that the account has not authorised", func(w *world, _, refresh string) reply {
			return w.authorize(w.ComponentToken(rival), rival, shop, refresh)
		}, 61003},
		{"an account without a platform", func(w *world, component, refresh string) reply {
			return w.authorize(component, agency, quiet, refresh)
		}, 61003},
		{"unknown account", func(w *world, component, refresh string) reply { return w.authorize(component, agency, "wx9", refresh) }, 61003},
		{"no refresh token", func(w *world, component, _ string) reply { return w.authorize(component, agency, shop, "") }, 61023},
		{"another's refresh token", func(w *world, component, _ string) reply {
			return w.authorize(component, agency, shop, w.RefreshToken(bot))
		}, 61023},
		{"fetched", func(w *world, component, _ string) reply {
			return w.send(http.MethodGet, authorizerPath, url.Values{"component_access_token": {component}}, "{}")
		}, 43002},
		{"empty", func(w *world, component, _ string) reply {
			return w.send(http.MethodPost, authorizerPath, url.Values{"component_access_token": {component}}, "")
		}, 44002},
		{"a number", func(w *world, component, _ string) reply {
			return w.send(http.MethodPost, authorizerPath, url.Values{"component_access_token": {component}}, `{"component_appid":1}`)
		}, 47001},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, platformOptions())
			r := c.ask(w, w.ComponentToken(agency), w.RefreshToken(shop))
			w.wantCode(c.name, r, c.code)
			if r.AuthorizerToken != "" || r.RefreshToken != "" {
				t.Error("a refused call returned a token")
			}
		})
	}
}

func TestAComponentTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	w.wantCode("daily", w.daily(w.ComponentToken(agency), yesterday, yesterday), 40001)
	w.wantCode("quota", w.askQuota(w.ComponentToken(agency), dailyPath), 40001)
}

func TestRotatedRefreshTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		then  func(w *world, access, refresh string) // after a rotation
		alive bool                                   // the old refresh token
	}{
		{"nothing", func(*world, string, string) {}, true},
		{"the access token is used", func(w *world, access, _ string) {
			w.wantCode("hourly", w.hourly(access, yesterday), 0)
		}, false},
		{"the access token is used to ask for the quota", func(w *world, access, _ string) {
			w.wantCode("quota", w.askQuota(access, hourlyPath), 0)
		}, false},
		{"the refresh token is used", func(w *world, _, refresh string) {
			w.wantRefreshed("the new one", w.refresh(shop, refresh))
		}, false},
		{"another kind of token is used", func(w *world, _, _ string) {
			w.wantCode("hourly", w.hourly(w.stable(shop, shopSecret, false).AccessToken, yesterday), 0)
		}, true},
		{"the access token is lost on its way", func(w *world, access, _ string) {
			w.Inject(weixintest.Fault{API: "hourly", Status: 502, Times: 1})
			if r := w.hourly(access, yesterday); r.Status != http.StatusBadGateway {
				t.Errorf("HTTP status %d, want 502", r.Status)
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, platformOptions())
			w.RotateRefreshTokens(true)
			old := w.RefreshToken(shop)
			access, refresh := w.wantRefreshed("the first one", w.refresh(shop, old))
			if refresh == old || refresh != w.RefreshToken(shop) {
				t.Fatal("the refresh token was not rotated, or RefreshToken returns another one")
			}
			c.then(w, access, refresh)
			want := 61023
			if c.alive {
				want = 0
			}
			w.wantCode("the old refresh token", w.refresh(shop, old), want)
			w.wantCode("the latest refresh token", w.refresh(shop, w.RefreshToken(shop)), 0)
			w.wantCode("the old refresh token in the end", w.refresh(shop, old), 61023)
		})
	}
}

func TestOnlyTheLastOfSeveralRefreshTokensIsGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	w.RotateRefreshTokens(true)
	old := w.RefreshToken(shop)
	lostAccess, lost := w.wantRefreshed("lost", w.refresh(shop, old))
	access, last := w.wantRefreshed("last", w.refresh(shop, old))
	if lost == last || last != w.RefreshToken(shop) {
		t.Fatal("two refreshes returned the same refresh token, or RefreshToken is not the last one")
	}
	w.wantCode("the lost refresh token", w.refresh(shop, lost), 61023)
	w.wantCode("the access token that came with it", w.daily(lostAccess, yesterday, yesterday), 0)

	w.RotateRefreshTokens(false)
	_, same := w.wantRefreshed("the old one, which is still good", w.refresh(shop, old))
	if same != old || w.RefreshToken(shop) != last {
		t.Error("without rotation the response has another refresh token, or RefreshToken returns another one")
	}
	w.wantCode("the last access token", w.daily(access, yesterday, yesterday), 0)
	w.wantCode("the old refresh token", w.refresh(shop, old), 61023)
	_, same = w.wantRefreshed("the last refresh token", w.refresh(shop, last))
	if same != last {
		t.Error("without rotation the last refresh token changed")
	}
}

func TestPlatformsAreRecordedAndFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	at := w.clock.Now()
	w.wantRefreshed("shop", w.refresh(shop, w.RefreshToken(shop)))
	w.wantCode("bot", w.refresh(bot, "sim-token-wrong"), 61023)
	w.Inject(weixintest.Fault{API: "token", Errcode: -1})
	w.Inject(weixintest.Fault{API: "authorizer", AppID: shop, Errcode: 61007, Times: 1})
	w.wantRefreshed("another account", w.refresh(bot, w.RefreshToken(bot)))
	w.wantCode("the account", w.refresh(shop, w.RefreshToken(shop)), 61007)
	w.wantRefreshed("the account afterwards", w.refresh(shop, w.RefreshToken(shop)))
	want := []weixintest.Call{
		{At: at, API: "authorizer", AppID: shop},
		{At: at, API: "authorizer", AppID: bot, Errcode: 61023},
		{At: at, API: "authorizer", AppID: bot},
		{At: at, API: "authorizer", AppID: shop, Errcode: 61007},
		{At: at, API: "authorizer", AppID: shop},
	}
	if diff := cmp.Diff(want, w.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlatformTokensAreSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	w.RotateRefreshTokens(true)
	old, component := w.RefreshToken(shop), w.ComponentToken(agency)
	access, refresh := w.wantRefreshed("shop", w.refresh(shop, old))
	for i, secret := range []string{old, w.RefreshToken(bot), component, access, refresh} {
		if !slices.Contains(w.Secrets(), secret) {
			t.Errorf("token %d is not among the secrets", i)
		}
	}
	if w.RefreshToken(quiet) != "" || slices.Contains(w.Secrets(), "") {
		t.Error("an account without a platform has a refresh token")
	}
}

func TestMistakesOfTheCaller(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(0, 0) }
	s := weixintest.New(weixintest.Options{Now: now})
	for name, f := range map[string]func(){
		"no clock": func() { weixintest.New(weixintest.Options{}) },
		"the same account twice": func() {
			weixintest.New(weixintest.Options{Now: now, Accounts: []weixintest.Account{{AppID: shop}, {AppID: shop}}})
		},
		"the same platform twice": func() {
			weixintest.New(weixintest.Options{Now: now, Platforms: []weixintest.Platform{{AppID: agency}, {AppID: agency}}})
		},
		"a platform that there is not": func() {
			weixintest.New(weixintest.Options{Now: now, Accounts: []weixintest.Account{{AppID: shop, Platform: agency}}})
		},
		"the refresh token of none":   func() { s.RefreshToken(shop) },
		"the component token of none": func() { s.ComponentToken(agency) },
		"a secret for none":           func() { s.SetSecret(shop, shopSecret) },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "weixintest: ") {
					t.Errorf("%s: no panic of this package", name)
				}
			}()
			f()
		}()
	}
	s.Secrets() // mu is not left locked
}
