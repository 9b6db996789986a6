package weixintest_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin/weixintest"
)

func (w *world) askQuota(token, path string) reply {
	w.Helper()
	return w.send(http.MethodPost, quotaPath, url.Values{"access_token": {token}}, `{"cgi_path":"`+path+`"}`)
}

func (w *world) wantQuota(what string, r reply, limit, used, remain int) {
	w.Helper()
	w.wantCode(what, r, 0)
	if diff := cmp.Diff(&replyQuota{limit, used, remain}, r.Quota); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestQuotaIsTold(t *testing.T) {
	t.Parallel()
	for name, overHTTP := range map[string]bool{"in process": false, "over HTTP": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{Accounts: []weixintest.Account{
				{AppID: shop, AppSecret: shopSecret, CallbacksPerDay: 100, Quota: 2},
				{AppID: bot, AppSecret: botSecret, CallbacksPerDay: 100},
			}})
			if overHTTP {
				w.overHTTP(httptest.NewServer(w.Server))
			}
			w.clock.Set(time.Date(2026, 11, 18, 15, 0, 0, 0, time.UTC))
			token, other := w.token(shop), w.token(bot)
			for range 3 { // the quota call is not counted
				w.wantQuota("before the first call", w.askQuota(token, dailyPath), 2, 0, 2)
			}
			w.wantCode("daily", w.daily(token, yesterday, yesterday), 0)
			w.wantQuota("daily, after one", w.askQuota(token, dailyPath), 2, 1, 1)
			w.wantQuota("hourly, after none", w.askQuota(token, hourlyPath), 2, 0, 2)
			w.wantCode("daily", w.daily(token, yesterday, yesterday), 0)
			w.wantCode("daily", w.daily(token, yesterday, yesterday), 45009)
			w.wantQuota("daily, used up", w.askQuota(token, dailyPath), 2, 2, 0)
			w.wantCode("hourly", w.hourly(other, yesterday), 0)
			w.wantQuota("without a limit", w.askQuota(other, hourlyPath), 100_000, 1, 99_999)
			w.clock.Advance(time.Hour)
			w.wantQuota("midnight in China", w.askQuota(token, dailyPath), 2, 0, 2)
			r := w.askQuota(token, dailyPath)
			if want := `{"errcode":0,"errmsg":"ok","quota":{"daily_limit":2,"used":0,"remain":2},` +
				`"rate_limit":{"call_count":600000,"refresh_second":60},"component_rate_limit":{"call_count":600000,"refresh_second":60}}`; string(r.Body) != want || r.ContentType != "text/plain" {
				t.Errorf("type %q, body %s, want %s", r.ContentType, r.Body, want)
			}
		})
	}
}

func TestQuotaForAPlatformAndAnAccountWithoutPermission(t *testing.T) {
	t.Parallel()
	o := platformOptions()
	o.Accounts[0].Quota, o.Accounts[0].Errcode = 7, 48001
	w := newWorld(t, o)
	access, _ := w.wantRefreshed("shop", w.refresh(shop, w.RefreshToken(shop)))
	w.wantCode("daily", w.daily(access, yesterday, yesterday), 48001)
	w.wantCode("quota", w.askQuota(access, dailyPath), 76022)
}

func TestRefusedQuotaCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	token := w.token(shop)
	old := w.legacy(shop, shopSecret).AccessToken
	w.legacy(shop, shopSecret)
	w.clock.Advance(5 * time.Minute)
	w.wantCode("no token", w.askQuota("", dailyPath), 41001)
	w.wantCode("malformed token", w.askQuota("sim-token-short", dailyPath), 40014)
	w.wantCode("replaced token", w.askQuota(old, dailyPath), 40001)
	w.wantCode("unknown path", w.askQuota(token, "/cgi-bin/message/custom/send"), 76021)
	w.wantCode("another call's path", w.askQuota(token, quotaPath), 76021)
	w.wantCode("without a slash", w.askQuota(token, dailyPath[1:]), 76003)
	w.wantCode("with a host", w.askQuota(token, "https://api.weixin.qq.com"+dailyPath), 76003)
	query := url.Values{"access_token": {token}}
	w.wantCode("no path", w.send(http.MethodPost, quotaPath, query, "{}"), 76003)
	w.wantCode("a number", w.send(http.MethodPost, quotaPath, query, `{"cgi_path":1}`), 47001)
	w.wantCode("fetched", w.send(http.MethodGet, quotaPath, query, ""), 43002)
	w.wantCode("empty", w.send(http.MethodPost, quotaPath, query, ""), 44002)
	w.clock.Advance(2 * time.Hour)
	w.wantCode("expired token", w.askQuota(token, dailyPath), 42001)
}

func TestQuotaCallsAreRecordedAndFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	at := w.clock.Now()
	token := w.token(shop)
	w.wantQuota("before the fault", w.askQuota(token, dailyPath), 100_000, 0, 100_000)
	w.Inject(weixintest.Fault{Stray: true})
	w.Inject(weixintest.Fault{API: "quota", AppID: shop, Empty: true, Times: 1})
	if r := w.askQuota(token, dailyPath); len(r.Body) != 0 {
		t.Errorf("body %s, want none", r.Body)
	}
	w.wantQuota("after the fault", w.askQuota(token, dailyPath), 100_000, 0, 100_000)
	w.askQuota("", dailyPath)
	want := []weixintest.Call{
		{At: at, API: "stable_token", AppID: shop},
		{At: at, API: "quota", AppID: shop},
		{At: at, API: "quota", AppID: shop, Errcode: weixintest.NoAnswer},
		{At: at, API: "quota", AppID: shop},
		{At: at, API: "quota", Errcode: 41001},
	}
	if diff := cmp.Diff(want, w.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r := w.send(http.MethodPost, "/cgi-bin/clear_quota", url.Values{"access_token": {token}}, "{}"); !bytes.Contains(r.Body, []byte("404")) {
		t.Error("clear_quota is implemented")
	}
}
