package e2e_test

import (
	"strings"
	"testing"
)

func TestQuotaMetrics(t *testing.T) {
	t.Parallel()
	shop, unverified := newAccount("shop", 1, 9000), newAccount("unverified", 2, 700)
	shop.Quota, unverified.Errcode = 500, 48001
	w := newFixture(t, shop, unverified)
	off := w.list(sourced{shop, "app_secret: " + shop.AppSecret}, sourced{unverified, "app_secret: " + unverified.AppSecret})
	on := strings.Replace(off, "weixin:\n", "weixin:\n  quota: true\n", 1)
	w.write(t, off)
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitDays(t, x.web, 2, shop)
	checkNoQuota(t, x.metrics(t))
	if n := w.count("quota", shop.AppID); n != 0 {
		t.Errorf("%d quota calls, although they are disabled by default", n)
	}

	w.write(t, on)
	x.reload(t)
	wait := func() samples {
		var got samples
		eventually(t, "the quotas", func() error {
			got = x.metrics(t)
			for _, api := range apis() {
				if _, ok := got[series("weixin_api_quota_limit", "account", "shop", "api", api)]; !ok {
					return errNotYet
				}
			}
			return nil
		})
		return got
	}
	got := wait()
	for _, api := range apis() {
		used := float64(w.count(api, shop.AppID))
		for name, want := range map[string]float64{"limit": 500, "used": used, "remaining": 500 - used} {
			if value, ok := got[series("weixin_api_quota_"+name, "account", "shop", "api", api)]; value != want || !ok {
				t.Errorf("%s: weixin_api_quota_%s is %v (exists: %v), want %v", api, name, value, ok, want)
			}
		}
		if got[series("weixin_refresh_success", "account", "shop", "api", api)] != 1 {
			t.Errorf("%s: quota calls changed weixin_refresh_success", api)
		}
	}
	if n := got[series("weixin_api_requests_total", "api", "quota", "errcode", "0")]; n < 2 {
		t.Errorf("%v quota requests are counted, want at least one for each of the two calls", n)
	}

	x.reload(t)
	wait()
	w.write(t, strings.Replace(on, "history: 2d", "history: 3d", 1))
	x.reload(t)
	w.waitDays(t, x.web, 3, shop)
	if n := w.count("quota", shop.AppID); n != 2 {
		t.Errorf("%d quota calls within the hour, want 2", n)
	}

	w.write(t, off)
	x.reload(t)
	checkNoQuota(t, x.metrics(t))
}

func checkNoQuota(t *testing.T, got samples) {
	t.Helper()
	for key := range got {
		if strings.HasPrefix(key, "weixin_api_quota") {
			t.Errorf("%s exists, although quotas are not requested", key)
		}
	}
}
