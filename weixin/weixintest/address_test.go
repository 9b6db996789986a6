package weixintest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"weixin_exporter/weixin/weixintest"
)

func (w *world) from(address string) {
	w.client = &http.Client{Transport: w.TransportFrom(address)}
}

func TestAllowList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, address string
		list          []string
		says          string // "": the address is allowed
	}{
		{"no list", "198.51.100.9", nil, ""},
		{"an empty list", "198.51.100.9", []string{}, "invalid ip 198.51.100.9 ipv6 ::ffff:198.51.100.9, not in whitelist"},
		{"on the list", "198.51.100.9", []string{"192.0.2.1", "198.51.100.9"}, ""},
		{"not on the list", "198.51.100.9", []string{"198.51.100.8"}, "invalid ip 198.51.100.9 ipv6 ::ffff:198.51.100.9, not in whitelist"},
		{"another form", "::ffff:198.51.100.9", []string{"198.51.100.9"}, ""},
		{"another form on the list", "198.51.100.9", []string{"::ffff:198.51.100.9"}, ""},
		{"IPv6", "2001:db8::1", []string{"2001:db8:0::1"}, ""},
		{"IPv6, not on the list", "2001:db8::1", []string{"2001:db8::2"}, "invalid ip 2001:db8::1 ipv6 2001:db8::1, not in whitelist"},
		{"no IP address", "socket", []string{"socket"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := weixintest.Options{Accounts: accounts()}
			o.Accounts[0].AllowList = c.list
			w := newWorld(t, o)
			// A token from an allowed address, for the calls that need one.
			w.from("198.51.100.200")
			free := w.token(bot)
			w.from(c.address)
			want := 0
			if c.says != "" {
				want = 40164
			}
			for what, r := range map[string]reply{
				"stable token": w.stable(shop, shopSecret, false), "old token": w.legacy(shop, shopSecret),
			} {
				w.wantCode(what, r, want)
				if !strings.HasPrefix(r.Errmsg, c.says) || (r.AccessToken == "") != (want != 0) {
					t.Errorf("%s: errmsg %q, want %q", what, r.Errmsg, c.says)
				}
			}
			w.wantCode("wrong secret", w.stable(shop, botSecret, false), 40125)
			w.wantCode("another account", w.daily(free, yesterday, yesterday), 0)
		})
	}
}

func TestAllowListHoldsForCallsWithAToken(t *testing.T) {
	t.Parallel()
	o := weixintest.Options{Accounts: accounts()}
	o.Accounts[0].AllowList = []string{weixintest.ClientAddress}
	o.Accounts[0].Errcode = 48001
	w := newWorld(t, o)
	token := w.token(shop) // through Transport, from ClientAddress
	w.wantCode("from the address", w.daily(token, yesterday, yesterday), 48001)
	w.from("198.51.100.9")
	for what, r := range map[string]reply{
		"daily": w.daily(token, yesterday, yesterday), "hourly": w.hourly(token, yesterday), "quota": w.askQuota(token, dailyPath),
	} {
		w.wantCode(what, r, 40164)
		if !strings.HasPrefix(r.Errmsg, "invalid ip 198.51.100.9 ") {
			t.Errorf("%s: errmsg %q does not name the address", what, r.Errmsg)
		}
	}
	w.wantCode("no token", w.daily("", yesterday, yesterday), 41001)
	w.Inject(weixintest.Fault{Errcode: 40164})
	if r := w.daily(token, yesterday, yesterday); !strings.HasPrefix(r.Errmsg, "invalid ip 203.0.113.7 ") {
		t.Errorf("errmsg %q of a fault, want that of ClientAddress", r.Errmsg)
	}
}

func TestAllowListOverHTTPHasThePeer(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]int{"127.0.0.1": 0, weixintest.ClientAddress: 40164} {
		o := weixintest.Options{Accounts: accounts()}
		o.Accounts[0].AllowList = []string{address}
		w := newWorld(t, o)
		w.overHTTP(httptest.NewServer(w.Server))
		r := w.stable(shop, shopSecret, false)
		w.wantCode(address, r, want)
		if want != 0 && !strings.HasPrefix(r.Errmsg, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist") {
			t.Errorf("errmsg %q, want that of the peer", r.Errmsg)
		}
	}
	// No header changes the peer, and a peer need not have an IP address.
	o := weixintest.Options{Accounts: accounts()}
	o.Accounts[0].AllowList = []string{"@"}
	w := newWorld(t, o)
	query := url.Values{"grant_type": {"client_credential"}, "appid": {shop}, "secret": {shopSecret}}
	for _, peer := range []string{"@", "192.0.2.1:1234"} {
		request := httptest.NewRequest(http.MethodGet, "/cgi-bin/token?"+query.Encode(), nil)
		request.RemoteAddr = peer
		request.Header.Set("X-Forwarded-For", "@")
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, request)
		if refused := strings.Contains(recorder.Body.String(), "40164"); refused != (peer != "@") {
			t.Errorf("peer %q: refused %t", peer, refused)
		}
	}
}

func TestAPlatformHasAnAllowListOfItsOwn(t *testing.T) {
	t.Parallel()
	o := platformOptions()
	o.Accounts[0].AllowList = []string{"198.51.100.1"}
	o.Platforms[0].AllowList = []string{"198.51.100.2"}
	w := newWorld(t, o)
	w.RotateRefreshTokens(true)
	old := w.RefreshToken(shop)
	w.from("198.51.100.2")
	access, _ := w.wantRefreshed("the platform", w.refresh(shop, old))
	w.wantCode("the account's token from the platform's address", w.stable(shop, shopSecret, false), 40164)
	w.from("198.51.100.1")
	for what, r := range map[string]reply{
		"authorizer": w.refresh(shop, old), "daily": w.daily(access, yesterday, yesterday), "quota": w.askQuota(access, dailyPath),
	} {
		w.wantCode(what, r, 61004)
		if !strings.HasPrefix(r.Errmsg, "access clientip is not registered requestIP: 198.51.100.1") {
			t.Errorf("%s: errmsg %q does not name the address", what, r.Errmsg)
		}
	}
	w.from("198.51.100.2")
	w.wantCode("the old refresh token, whose successor's access token was refused", w.refresh(shop, old), 0)
	w.wantCode("the platform's access token", w.daily(access, yesterday, yesterday), 0)
}
