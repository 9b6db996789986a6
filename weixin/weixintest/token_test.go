package weixintest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

const yesterday = "2026-11-17"

func TestStableTokenIsTheSameUntilItsLastFiveMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	first := w.stable(shop, shopSecret, false)
	if first.ExpiresIn != 7200 || first.AccessToken == "" {
		t.Fatalf("the first token is valid for %d s, want 7200", first.ExpiresIn)
	}
	w.clock.Advance(115*time.Minute - 500*time.Millisecond)
	again := w.stable(shop, shopSecret, false)
	if again.AccessToken != first.AccessToken || again.ExpiresIn != 300 {
		t.Errorf("300.5 s before the end: same token %t, expires_in %d; want the same and 300",
			again.AccessToken == first.AccessToken, again.ExpiresIn)
	}
	w.clock.Advance(time.Second)
	second := w.stable(shop, shopSecret, false)
	if second.AccessToken == first.AccessToken || second.ExpiresIn != 7200 {
		t.Errorf("299.5 s before the end: same token %t, expires_in %d; want another one and 7200",
			second.AccessToken == first.AccessToken, second.ExpiresIn)
	}
	w.wantCode("the old token beside the next", w.daily(first.AccessToken, yesterday, yesterday), 0)
	w.wantCode("the next token", w.daily(second.AccessToken, yesterday, yesterday), 0)
	w.clock.Advance(299500 * time.Millisecond)
	w.wantCode("the old token after its end", w.daily(first.AccessToken, yesterday, yesterday), 42001)
	w.wantCode("the next token later", w.daily(second.AccessToken, yesterday, yesterday), 0)
}

func TestForcedRefreshKillsTheTokenOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	old := w.stable(shop, shopSecret, false).AccessToken
	forced := w.stable(shop, shopSecret, true)
	if forced.AccessToken == old || forced.ExpiresIn != 7200 {
		t.Error("a forced refresh returned no new token")
	}
	w.wantCode("the token of others", w.daily(old, yesterday, yesterday), 40001)
	w.wantCode("the forced token", w.daily(forced.AccessToken, yesterday, yesterday), 0)
	if w.stable(shop, shopSecret, false).AccessToken != forced.AccessToken {
		t.Error("after a forced refresh other callers get another token")
	}
}

func TestLegacyTokenLogsOthersOutAfterFiveMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	first := w.legacy(shop, shopSecret)
	second := w.legacy(shop, shopSecret)
	if first.ExpiresIn != 7200 || second.ExpiresIn != 7200 || first.AccessToken == second.AccessToken {
		t.Fatal("want another token for 7200 s from each call")
	}
	w.clock.Advance(5*time.Minute - time.Second)
	w.wantCode("the old token within five minutes", w.daily(first.AccessToken, yesterday, yesterday), 0)
	third := w.legacy(shop, shopSecret)
	w.clock.Advance(time.Second)
	w.wantCode("the old token after five minutes", w.daily(first.AccessToken, yesterday, yesterday), 40001)
	w.wantCode("the second token in its grace", w.daily(second.AccessToken, yesterday, yesterday), 0)
	w.clock.Advance(2*time.Hour - 2*time.Second)
	w.wantCode("the latest token in its last second", w.daily(third.AccessToken, yesterday, yesterday), 0)
	w.clock.Advance(time.Second)
	w.wantCode("the latest token at its end", w.daily(third.AccessToken, yesterday, yesterday), 42001)
}

func TestLegacyTokenThatEndsWithinItsGraceIsExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	first := w.legacy(shop, shopSecret).AccessToken
	w.clock.Advance(2*time.Hour - time.Minute)
	w.legacy(shop, shopSecret)
	w.wantCode("the old token before its end", w.daily(first, yesterday, yesterday), 0)
	w.clock.Advance(time.Minute)
	w.wantCode("the old token at its own end", w.daily(first, yesterday, yesterday), 42001)
}

func TestTokenKindsAndAccountsAreIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	stable := w.token(shop)
	legacy := w.legacy(shop, shopSecret).AccessToken
	other := w.token(bot)
	w.legacy(shop, shopSecret)
	w.stable(bot, botSecret, true)
	w.clock.Advance(6 * time.Minute)
	w.wantCode("stable after legacy calls", w.daily(stable, yesterday, yesterday), 0)
	w.wantCode("the replaced legacy token", w.daily(legacy, yesterday, yesterday), 40001)
	w.wantCode("the other account's replaced token", w.daily(other, yesterday, yesterday), 40001)

	legacy = w.legacy(shop, shopSecret).AccessToken
	w.stable(shop, shopSecret, true)
	w.clock.Advance(6 * time.Minute)
	w.wantCode("legacy after a forced stable one", w.daily(legacy, yesterday, yesterday), 0)
}

func TestTokensLookRealAreUniqueAndDeterministic(t *testing.T) {
	t.Parallel()
	issue := func(seed uint64) []string {
		w := newWorld(t, weixintest.Options{Seed: seed})
		for range 20 {
			w.legacy(shop, shopSecret)
			w.token(bot)
			w.stable(shop, shopSecret, true)
		}
		return w.Secrets()[len(accounts()):]
	}
	first := issue(7)
	if len(first) != 41 {
		t.Fatalf("%d tokens, want 20 legacy, 20 forced and 1 stable", len(first))
	}
	for i, text := range first {
		if len(text) < 136 || len(text) > 512 || !strings.HasPrefix(text, "sim-token-") || url.QueryEscape(text) != text {
			t.Errorf("token %d is malformed (%d characters)", i, len(text))
		}
	}
	if sorted := slices.Sorted(slices.Values(first)); len(slices.Compact(sorted)) != len(first) {
		t.Error("a token was issued twice")
	}
	if !slices.Equal(first, issue(7)) {
		t.Error("the same seed and order returned other tokens")
	}
	if slices.Equal(first, issue(8)) {
		t.Error("another seed returned the same tokens")
	}
}

func TestSecretsAreAllThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token := w.token(shop)
	legacy := w.legacy(bot, botSecret).AccessToken
	got := w.Secrets()
	if want := []string{shopSecret, botSecret, "sim-secret-quiet", token, legacy}; !slices.Equal(got, want) {
		t.Errorf("%d secrets that are not the 3 app secrets and 2 tokens", len(got))
	}
	got[0] = "changed"
	if w.Secrets()[0] != shopSecret {
		t.Error("the result of Secrets is shared")
	}
}

func TestSetSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token := w.token(shop)
	w.SetSecret(shop, "sim-secret-reset")
	w.wantCode("the old secret", w.stable(shop, shopSecret, false), 40125)
	w.wantCode("the old secret in the old call", w.legacy(shop, shopSecret), 40125)
	w.wantCode("the new secret", w.stable(shop, "sim-secret-reset", false), 0)
	w.wantCode("the new secret in the old call", w.legacy(shop, "sim-secret-reset"), 0)
	w.wantCode("another account's secret", w.stable(bot, botSecret, false), 0)
	w.wantCode("a token from before", w.daily(token, yesterday, yesterday), 0)
	for _, secret := range []string{shopSecret, "sim-secret-reset"} {
		if !slices.Contains(w.Secrets(), secret) {
			t.Error("the old or the new secret is not among the secrets")
		}
	}
}

func TestRefusedTokenCalls(t *testing.T) {
	t.Parallel()
	query := func(grant, appID, secret string) url.Values {
		return url.Values{"grant_type": {grant}, "appid": {appID}, "secret": {secret}}
	}
	body := func(grant, appID, secret string) string {
		return `{"grant_type":"` + grant + `","appid":"` + appID + `","secret":"` + secret + `"}`
	}
	const grant = "client_credential"
	for _, c := range []struct {
		name, method, path string
		query              url.Values
		body               string
		code               int
	}{
		{"wrong grant type", "GET", "/cgi-bin/token", query("password", shop, shopSecret), "", 40002},
		{"no query", "GET", "/cgi-bin/token", nil, "", 40002},
		{"no app id", "GET", "/cgi-bin/token", query(grant, "", shopSecret), "", 41002},
		{"no secret", "GET", "/cgi-bin/token", query(grant, shop, ""), "", 41004},
		{"unknown app id", "GET", "/cgi-bin/token", query(grant, "wx9", shopSecret), "", 40013},
		{"another's secret", "GET", "/cgi-bin/token", query(grant, shop, botSecret), "", 40125},
		{"posted", "POST", "/cgi-bin/token", query(grant, shop, shopSecret), "", 43001},
		{"stable: wrong grant type", "POST", "/cgi-bin/stable_token", nil, body("password", shop, shopSecret), 40002},
		{"stable: no app id", "POST", "/cgi-bin/stable_token", nil, body(grant, "", shopSecret), 41002},
		{"stable: no secret", "POST", "/cgi-bin/stable_token", nil, body(grant, shop, ""), 41004},
		{"stable: unknown app id", "POST", "/cgi-bin/stable_token", nil, body(grant, "wx9", shopSecret), 40013},
		{"stable: another's secret", "POST", "/cgi-bin/stable_token", nil, body(grant, shop, botSecret), 40125},
		{"stable: in the query", "POST", "/cgi-bin/stable_token", query(grant, shop, shopSecret), "{}", 40002},
		{"stable: fetched", "GET", "/cgi-bin/stable_token", nil, body(grant, shop, shopSecret), 43002},
		{"stable: empty", "POST", "/cgi-bin/stable_token", nil, "", 44002},
		{"stable: no JSON", "POST", "/cgi-bin/stable_token", nil, "appid=" + shop, 47001},
		{"stable: no object", "POST", "/cgi-bin/stable_token", nil, "[]", 47001},
		{"stable: null", "POST", "/cgi-bin/stable_token", nil, "null", 47001},
		{"stable: a number", "POST", "/cgi-bin/stable_token", nil, `{"grant_type":1}`, 47001},
		{"stable: force_refresh as text", "POST", "/cgi-bin/stable_token", nil,
			`{"grant_type":"client_credential","appid":"` + shop + `","secret":"` + shopSecret + `","force_refresh":"no"}`, 47001},
		{"stable: names in capitals", "POST", "/cgi-bin/stable_token", nil,
			`{"grant_type":"client_credential","AppID":"` + shop + `","secret":"` + shopSecret + `"}`, 41002},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{})
			r := w.send(c.method, c.path, c.query, c.body)
			w.wantCode(c.name, r, c.code)
			if r.AccessToken != "" || len(w.Secrets()) != len(accounts()) {
				t.Error("a refused call returned a token")
			}
			if r.ContentType != "text/plain" {
				t.Errorf("Content-Type %q, want text/plain", r.ContentType)
			}
		})
	}
}

func TestRefusedAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	issued := w.token(shop)
	for _, c := range []struct {
		name, token string
		code        int
	}{
		{"missing", "", 41001},
		{"too short", "sim-token-short", 40014},
		{"too long", "sim-token-" + strings.Repeat("x", 503), 40014},
		{"foreign characters", issued[:150] + "+/ =%22", 40014},
		{"never issued", "sim-token-" + strings.Repeat("x", 147), 40001},
		{"issued", issued, 0},
	} {
		w.wantCode(c.name, w.daily(c.token, yesterday, yesterday), c.code)
		w.wantCode(c.name+", hourly", w.hourly(c.token, yesterday), c.code)
	}
	r := w.daily("sim-token-"+strings.Repeat("y", 147), yesterday, yesterday)
	if want := "invalid credential, access_token is invalid or not latest"; !strings.HasPrefix(r.Errmsg, want) {
		t.Errorf("errmsg %q, want %q and a decoration", r.Errmsg, want)
	}
	none := w.send(http.MethodPost, dailyPath, nil, dates(yesterday, yesterday))
	w.wantCode("without a query", none, 41001)
}
