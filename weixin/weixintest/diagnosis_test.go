package weixintest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

func (w *world) checkCallback(token, body string) reply {
	w.Helper()
	return w.send(http.MethodPost, "/cgi-bin/callback/check", url.Values{"access_token": {token}}, body)
}

func (w *world) lookUp(token, body string) reply {
	w.Helper()
	return w.send(http.MethodPost, "/cgi-bin/openapi/rid/get", url.Values{"access_token": {token}}, body)
}

func TestCallbackCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Accounts: []weixintest.Account{
		{AppID: shop, AppSecret: shopSecret, Callback: &weixintest.CallbackHost{Addresses: []string{"192.0.2.1"}}},
		{AppID: bot, AppSecret: botSecret, Callback: &weixintest.CallbackHost{Addresses: []string{"192.0.2.2"}, Lost: true}},
		{AppID: quiet, AppSecret: "sim-secret-quiet"},
	}})
	token, lost := w.token(shop), w.token(bot)
	for body, want := range map[string]string{
		`{"action":"all","check_operator":"DEFAULT"}`: `{"dns":[{"ip":"192.0.2.1","real_operator":"UNICOM"}],"ping":[{"ip":"192.0.2.1","from_operator":"UNICOM","package_loss":"0%","time":"23.079ms"}]}`,
		`{"action":"dns","check_operator":"CAP"}`:     `{"dns":[{"ip":"192.0.2.1","real_operator":"UNICOM"}],"ping":[]}`,
	} {
		if r := w.checkCallback(token, body); string(r.Body) != want {
			t.Errorf("%s: %s", body, r.Body)
		}
	}
	if r := w.checkCallback(lost, `{"action":"ping","check_operator":"UNICOM"}`); string(r.Body) != `{"dns":[],"ping":[{"ip":"192.0.2.2","from_operator":"UNICOM","package_loss":"100%","time":""}]}` {
		t.Errorf("lost: %s", r.Body)
	}
	w.wantCode("no URL", w.checkCallback(w.token(quiet), `{"action":"all","check_operator":"DEFAULT"}`), 40201)
	w.wantCode("action", w.checkCallback(token, `{"action":"trace","check_operator":"DEFAULT"}`), 40202)
	w.wantCode("operator", w.checkCallback(token, `{"action":"all"}`), 40203)
	w.wantCode("a number", w.checkCallback(token, `{"action":1}`), 47001)
	w.wantCode("empty", w.checkCallback(token, ""), 44002)
	w.wantCode("no token", w.checkCallback("", `{"action":"all"}`), 41001)
}

func TestCallbackCheckOfAPlatform(t *testing.T) {
	t.Parallel()
	o := platformOptions()
	o.Platforms[0].Callback = &weixintest.CallbackHost{Addresses: []string{"192.0.2.9"}}
	o.Platforms[0].AllowList = []string{weixintest.ClientAddress}
	w := newWorld(t, o)
	r := w.checkCallback(w.ComponentToken(o.Platforms[0].AppID), `{"action":"dns","check_operator":"DEFAULT"}`)
	if string(r.Body) != `{"dns":[{"ip":"192.0.2.9","real_operator":"UNICOM"}],"ping":[]}` {
		t.Errorf("%s", r.Body)
	}
	w.client.Transport = w.TransportFrom("198.51.100.1")
	w.wantCode("another address", w.checkCallback(w.ComponentToken(o.Platforms[0].AppID), `{"action":"dns","check_operator":"DEFAULT"}`), 61004)
}

func TestLookUpOfARid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token, other := w.token(shop), w.token(bot)
	var rid string
	for rid == "" {
		r := w.daily(token, "2026-11-18", "2026-11-18")
		w.wantCode("daily", r, 61501)
		if found := regexp.MustCompile(`rid: ([0-9a-f-]{26})`).FindStringSubmatch(r.Errmsg); found != nil {
			rid = found[1]
		}
	}
	r := w.lookUp(token, `{"rid":"`+rid+`"}`)
	w.wantCode("known", r, 0)
	var read struct {
		Request map[string]any `json:"request"`
	}
	if err := json.Unmarshal(r.Body, &read); err != nil || read.Request["client_ip"] != weixintest.ClientAddress || read.Request["request_url"] != "access_token="+token {
		t.Errorf("a request of %d fields, %v", len(read.Request), err)
	}
	w.wantCode("of another account", w.lookUp(other, `{"rid":"`+rid+`"}`), 76003)
	w.wantCode("unknown", w.lookUp(token, `{"rid":"00000000-00000000-00000000"}`), 76001)
	w.wantCode("not a rid", w.lookUp(token, `{"rid":"x"}`), 76002)
	w.wantCode("a number", w.lookUp(token, `{"rid":1}`), 47001)
	w.wantCode("empty", w.lookUp(token, ""), 44002)
	w.clock.Advance(8 * 24 * time.Hour)
	w.wantCode("after a week", w.lookUp(w.token(shop), `{"rid":"`+rid+`"}`), 76001)
}
