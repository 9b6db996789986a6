package weixintest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/weixintest"
)

// house sends a request to the token server within the process.
func (w *world) house(path string) reply {
	w.Helper()
	recorder := httptest.NewRecorder()
	w.TokenServer().ServeHTTP(recorder, httptest.NewRequestWithContext(w.Context(), http.MethodGet, path, nil))
	r := reply{Status: recorder.Code, ContentType: recorder.Header().Get("Content-Type"), Body: recorder.Body.Bytes()}
	_ = json.Unmarshal(r.Body, &r) // only the object shapes have fields
	return r
}

// raw requests a token in the simplest shape.
func (w *world) raw(path string) string {
	w.Helper()
	r := w.house("/raw/" + path)
	if r.Status != http.StatusOK {
		w.Fatalf("HTTP status %d for %s", r.Status, path)
	}
	return strings.TrimSuffix(string(r.Body), "\n")
}

func TestTokenServerHasFourShapes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	account, component := w.raw(shop), w.raw("component/"+agency)
	w.wantCode("the account's token", w.daily(account, yesterday, yesterday), 0)
	if component != w.ComponentToken(agency) {
		t.Error("the platform's token differs from that of ComponentToken")
	}
	server := httptest.NewServer(w.TokenServer())
	w.overHTTP(server)
	w.clock.Advance(20 * time.Minute)
	for path, token := range map[string]string{shop: account, "component/" + agency: component} {
		for shape, want := range map[string]string{
			"raw":                 token + "\n",
			"string":              `"` + token + `"`,
			"object":              `{"access_token":"` + token + `","expires_in":6000}`,
			"object-without-life": `{"access_token":"` + token + `"}`,
		} {
			wantType := "application/json"
			if shape == "raw" {
				wantType = "text/plain"
			}
			inProcess, overHTTP := w.house("/"+shape+"/"+path), w.send(http.MethodGet, "/"+shape+"/"+path, nil, "")
			for how, r := range map[string]reply{"in process": inProcess, "over HTTP": overHTTP} {
				if string(r.Body) != want || r.ContentType != wantType || r.Status != http.StatusOK {
					t.Errorf("%s of %s, %s: status %d, type %q, %d bytes that are not the shape's, expires_in %d",
						shape, path, how, r.Status, r.ContentType, len(r.Body), r.ExpiresIn)
				}
			}
		}
	}
}

func TestTokenServerKnowsWhatItKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	for _, path := range []string{
		"/", "/raw", "/raw/", "/" + shop, "/xml/" + shop, "/raw/wx9", "/raw/" + agency, "/raw/component/" + shop,
		"/raw/component/", "/raw/" + shop + "/", "/raw/components/" + agency, "/cgi-bin/token",
	} {
		if r := w.house(path); r.Status != http.StatusNotFound || r.ContentType != "text/html; charset=utf-8" {
			t.Errorf("%s: status %d, type %q, want 404 and a page", path, r.Status, r.ContentType)
		}
	}
	recorder := httptest.NewRecorder()
	w.TokenServer().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/raw/"+shop, nil))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST gives the status %d, want 405", recorder.Code)
	}
	if r := w.send(http.MethodGet, "/raw/"+shop, nil, ""); r.Status != http.StatusNotFound {
		t.Errorf("Weixin itself responds with status %d, want 404", r.Status)
	}
}

func TestTokenServerHasTheLatestToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	first := w.raw(shop)
	other := w.legacy(shop, shopSecret).AccessToken // invalidates it
	if first == other || w.raw(shop) != other {
		t.Error("the token server does not have the latest token")
	}
	w.clock.Advance(5 * time.Minute)
	w.wantCode("its old token", w.daily(first, yesterday, yesterday), 40001)
	w.wantCode("its latest token", w.daily(other, yesterday, yesterday), 0)

	w.clock.Advance(110 * time.Minute)
	if r := w.house("/object/" + shop); r.AccessToken != other || r.ExpiresIn != 300 {
		t.Errorf("at five minutes before its end: the same token %t, expires_in %d", r.AccessToken == other, r.ExpiresIn)
	}
	w.clock.Advance(time.Second)
	if r := w.house("/object/" + shop); r.AccessToken == other || r.ExpiresIn != 7200 {
		t.Errorf("in its last five minutes: the same token %t, expires_in %d", r.AccessToken == other, r.ExpiresIn)
	}
	w.wantCode("the old token in its grace", w.daily(other, yesterday, yesterday), 0)

	component := w.raw("component/" + agency)
	w.clock.Advance(2*time.Hour - time.Second)
	if r := w.house("/object/component/" + agency); r.AccessToken != component || r.ExpiresIn != 1 {
		t.Errorf("a platform's token in its last second: the same %t, expires_in %d", r.AccessToken == component, r.ExpiresIn)
	}
	w.clock.Advance(500 * time.Millisecond)
	if r := w.house("/object/component/" + agency); r.AccessToken == component || r.ExpiresIn != 7200 {
		t.Errorf("a platform's token at its end: the same %t, expires_in %d", r.AccessToken == component, r.ExpiresIn)
	}
}

func TestFrozenTokenServerRepeatsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	first, component := w.house("/object/"+shop), w.raw("component/"+agency)
	w.FreezeTokenServer(true)
	unseen := w.raw(bot)
	w.wantCode("a token that it never handed out before", w.daily(unseen, yesterday, yesterday), 0)

	w.legacy(shop, shopSecret)
	w.clock.Advance(5 * time.Minute)
	if r := w.house("/object/" + shop); !cmp.Equal(r, first) {
		t.Error("the response of a frozen token server changed")
	}
	w.wantCode("its token", w.daily(w.raw(shop), yesterday, yesterday), 40001)
	w.clock.Advance(2 * time.Hour)
	w.wantCode("its token", w.daily(w.raw(shop), yesterday, yesterday), 40001)
	if w.raw(bot) != unseen || w.raw("component/"+agency) != component {
		t.Error("a frozen token server returned another token")
	}
	w.wantCode("another account's token", w.daily(unseen, yesterday, yesterday), 42001)
	w.wantCode("the platform's token", w.authorize(component, agency, shop, w.RefreshToken(shop)), 42001)
	w.wantRefreshed("the platform's real one", w.refresh(shop, w.RefreshToken(shop)))

	w.FreezeTokenServer(false)
	w.wantCode("thawed", w.daily(w.raw(shop), yesterday, yesterday), 0)
	w.wantRefreshed("thawed", w.authorize(w.raw("component/"+agency), agency, shop, w.RefreshToken(shop)))
}

func TestTokenServerIsRecordedAndFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	at := w.clock.Now()
	w.Inject(weixintest.Fault{Errcode: -1, API: "token"})
	w.Inject(weixintest.Fault{Status: 500}) // every call of Weixin
	w.raw(shop)
	w.raw("component/" + agency)
	for _, c := range []struct {
		name   string
		fault  weixintest.Fault
		status int
		body   string
	}{
		{"account", weixintest.Fault{AppID: shop, Status: 503, Body: []byte("sorry")}, 503, "sorry"},
		{"empty", weixintest.Fault{Empty: true}, 200, ""},
		{"body", weixintest.Fault{Body: []byte(`{"token":1}`)}, 200, `{"token":1}`},
	} {
		c.fault.API, c.fault.Times = "token_server", 1
		w.Inject(c.fault)
		if c.fault.AppID != "" {
			w.raw("component/" + agency)
		}
		if r := w.house("/string/" + shop); r.Status != c.status || string(r.Body) != c.body {
			t.Errorf("%s: status %d, %d bytes, want %d and %q", c.name, r.Status, len(r.Body), c.status, c.body)
		}
	}
	w.Inject(weixintest.Fault{API: "token_server", Reset: true, Times: 1})
	wantAbort(t, w.TokenServer(), httptest.NewRequest(http.MethodGet, "/raw/"+shop, nil))
	w.house("/raw/wx9")
	want := []weixintest.Call{
		{At: at, API: "token_server", AppID: shop},
		{At: at, API: "token_server", AppID: agency},
		{At: at, API: "token_server", AppID: agency},
		{At: at, API: "token_server", AppID: shop, Errcode: weixintest.NoAnswer},
		{At: at, API: "token_server", AppID: shop, Errcode: weixintest.NoAnswer},
		{At: at, API: "token_server", AppID: shop, Errcode: weixintest.NoAnswer},
		{At: at, API: "token_server", AppID: shop, Errcode: weixintest.NoAnswer},
		{At: at, API: "/raw/wx9", Errcode: weixintest.NoAnswer},
	}
	if diff := cmp.Diff(want, w.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSlowTokenServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		w.Inject(weixintest.Fault{API: "token_server", AppID: shop, Delay: 7 * time.Second})
		begin := time.Now()
		token := w.raw(shop)
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("it took %s of the bubble's time, want 7s", took)
		}
		w.wantCode("the token", w.daily(token, yesterday, yesterday), 0)
		w.raw(bot)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantAbort(t, w.TokenServer(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/raw/"+shop, nil))
		if took := time.Since(begin); took != 8*time.Second {
			t.Errorf("it stopped after %s in all, want 8s", took)
		}
	})
}

func TestManyCallersOfPlatformAndTokenServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, platformOptions())
	w.RotateRefreshTokens(true)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				if token := w.raw(shop); w.daily(token, yesterday, yesterday).code() != 0 {
					t.Error("a token of the token server is refused")
				}
				w.SetSecret(shop, shopSecret)
				w.wantCode("stable", w.stable(shop, shopSecret, false), 0)
				w.FreezeTokenServer(false)
				r := w.refresh(bot, w.RefreshToken(bot)) // may arrive after another one's
				if code := r.code(); code != 0 && code != 61023 {
					t.Errorf("errcode %d", code)
				}
				w.askQuota(r.AuthorizerToken, hourlyPath)
				w.Secrets()
			}
		})
	}
	group.Wait()
	w.wantRefreshed("in the end", w.refresh(bot, w.RefreshToken(bot)))
}
