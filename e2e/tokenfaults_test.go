package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

// tokenFault is a problem with the source of an account's token.
type tokenFault struct {
	sourced
	reason string
	source string   // the name of the source in the error
	logged []string // further parts of the log line
	calls  map[string]int
	fix    func() // nil: only another configuration fixes it
}

// strange returns a token that Weixin has never issued.
func strange(n int) string { return fmt.Sprintf("%s%0150d", tokenMarker, n) }

// Every problem with a source of tokens, in one exporter with an account that works. Each is logged with the
// name of the source and not repeated. After it is fixed, a reload is enough.
func TestFaultsOfTokenSources(t *testing.T) {
	t.Parallel()
	const closed = "wxe2e0000000closed" // a platform whose allow list lacks the address of this machine
	o := platforms()
	o.Platforms = append(o.Platforms, weixintest.Platform{AppID: closed, AllowList: []string{"198.51.100.1"}})
	fine := newAccount("fine", 99, 700)
	accounts := []account{
		newAccount("file-missing", 1, 700), newAccount("file-garbled", 2, 700), newAccount("file-of-words", 3, 700), newAccount("file-stale", 4, 700),
		newAccount("file-refusal", 5, 700), newAccount("server-down", 6, 700), newAccount("server-500", 7, 700), newAccount("server-403", 8, 700),
		newAccount("server-html", 9, 700), newAccount("server-stale", 10, 700), authorized("revoked", 11), authorized("component-stale", 12),
		authorized("component-missing", 13), authorized("address", 14),
	}
	accounts[13].Platform = closed
	w := newFixtureWith(t, o, append(accounts, fine)...)
	server := w.tokenServer(t, false)
	faults := append(w.fileFaults(t, accounts[:5]), w.serverFaults(t, server, accounts[5:10])...)
	faults = append(faults, w.platformFaults(t, accounts[10:])...)

	list := []sourced{{fine, fromURL(server.JoinPath("object", fine.AppID).String())}}
	for _, f := range faults {
		list = append(list, f.sourced)
	}
	w.write(t, w.list(list...))
	from := len(w.sim.Calls())
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitFigures(t, x.web, fine)
	for _, f := range faults {
		x.logged(t, append([]string{"account=" + f.name + " ", "refresh failed", "reason=" + f.reason, f.source, "advice=", "next="}, f.logged...)...)
	}
	got := x.metrics(t)
	w.checkFigures(t, got, fine)
	stale := 0
	for _, c := range w.sim.Calls()[from:] {
		if c.API == "daily" && c.AppID == "" {
			stale++
		}
	}
	if stale != 2 {
		t.Errorf("%d calls with a token that Weixin never issued or no longer accepts; want one of each account that has one", stale)
	}
	for _, f := range faults {
		if n := got[series("weixin_refresh_failures_total", "account", f.name, "api", "daily", "reason", f.reason)]; n != 1 && f.reason != "busy" {
			t.Errorf("%s: %v failures for %s, want 1", f.name, n, f.reason)
		}
		if !strings.Contains(x.get(t, "/accounts/"+f.name).body, f.source) {
			t.Errorf("%s: its page does not name %s", f.name, f.source)
		}
		for api, want := range f.calls {
			if n := w.count(api, f.AppID); n != want {
				t.Errorf("%s: %d calls %s, want %d", f.name, n, api, want)
			}
		}
	}

	fixed := []account{fine}
	for _, f := range faults {
		if f.fix != nil {
			f.fix()
			fixed = append(fixed, f.account)
		}
	}
	x.reload(t)
	w.waitFigures(t, x.web, fixed...)
	w.checkFigures(t, x.metrics(t), fixed...)
	for _, a := range fixed[1:] {
		x.logged(t, "level=info", "account="+a.name+" ", "refresh recovered")
	}
}

func (w *fixture) fileFaults(t *testing.T, accounts []account) []tokenFault {
	t.Helper()
	contents := []string{
		"", "<!DOCTYPE html>\n<p>" + strange(1), strange(2) + " " + strange(3), strange(4),
		`{"errcode": 40125, "errmsg": "invalid appsecret"}`,
	}
	messages := []string{"no such file", "an HTML page", "2 words", "that Weixin refused", "a JSON object with errcode 40125"}
	var faults []tokenFault
	for i, a := range accounts {
		if contents[i] != "" {
			w.put(t, a.name, contents[i])
		}
		faults = append(faults, tokenFault{
			sourced: sourced{a, fromFile(a.name)},
			reason:  "token", source: "the file " + w.path(a.name), logged: []string{"level=error", messages[i]},
			calls: map[string]int{"token": 0, "stable_token": 0, "daily": 0, "hourly": 0},
			fix:   func() { w.put(t, a.name, w.tokenOf(t, a)) },
		})
	}
	return faults
}

// serverFaults returns the problems of token servers that are down, respond with 500, 403 or an HTML page, or repeat
// a token that Weixin refuses.
func (w *fixture) serverFaults(t *testing.T, server *url.URL, accounts []account) []tokenFault {
	t.Helper()
	address := func(a account) *url.URL { return server.JoinPath("object", a.AppID) }
	var fixes []func()
	inject := func(a account, f weixintest.Fault) {
		f.API, f.AppID = "token_server", a.AppID
		fixes = append(fixes, w.sim.Inject(f))
	}
	port := closedPort(t)
	fixes = append(fixes, func() { serveTokens(t, port.listen(t), w.sim.TokenServer()) })
	inject(accounts[1], weixintest.Fault{Status: http.StatusInternalServerError})
	inject(accounts[2], weixintest.Fault{Status: http.StatusForbidden})
	inject(accounts[3], weixintest.Fault{Body: []byte("<html><body>Sign in first " + strange(5))})
	fixes = append(fixes, func() { w.sim.FreezeTokenServer(false) })
	w.spoilToken(t, address(accounts[4]), accounts[4])
	var faults []tokenFault
	for i, a := range accounts {
		u := address(a)
		if i == 0 {
			u.Host = port.address
		}
		f := tokenFault{reason: "token", source: u.String(), fix: fixes[i], calls: map[string]int{"token_server": 1, "hourly": 0}}
		switch i {
		case 0:
			f.reason, f.logged, f.calls = "busy", []string{"level=warn", "connection refused"}, nil
		case 1:
			f.reason, f.logged, f.calls = "busy", []string{"level=warn", "500"}, nil
		case 2:
			f.logged = []string{"level=error", "403"}
		case 3:
			f.logged = []string{"level=error", "an HTML page"}
		default:
			f.logged, f.calls["token_server"] = []string{"level=error", "still has the token that Weixin refused"}, 1+2
		}
		u.User, u.RawQuery = url.UserPassword(serverUser, serverPassword), "key="+secretMarker+"key"
		f.sourced = sourced{a, fromURL(u.String())}
		faults = append(faults, f)
	}
	return faults
}

// serveTokens runs a token server on a listener.
func serveTokens(t *testing.T, listener net.Listener, handler http.Handler) {
	t.Helper()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
}

// spoilToken makes the token server repeat a token of the account that Weixin no longer accepts.
func (w *fixture) spoilToken(t *testing.T, address *url.URL, a account) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(mask(err.Error()))
	}
	_ = response.Body.Close()
	w.sim.FreezeTokenServer(true)
	w.tokenOf(t, a)
	w.pass(5 * time.Minute)
}

func (w *fixture) platformFaults(t *testing.T, accounts []account) []tokenFault {
	t.Helper()
	for _, a := range accounts {
		w.put(t, "refresh-"+a.name, w.sim.RefreshToken(a.AppID))
	}
	fix := func(file string) func() { return func() { w.put(t, file, w.sim.ComponentToken(agency)) } }
	fix("component")()
	w.put(t, "refresh-revoked", tokenMarker+"refreshtoken@@@revoked")
	w.put(t, "component-stale", strange(6))
	w.put(t, "component-closed", w.sim.ComponentToken(accounts[3].Platform))
	from := func(i int, file string) sourced {
		a := accounts[i]
		return sourced{a, strings.Replace(fromPlatform("type: file, path: "+file, "refresh-"+a.name), agency, a.Platform, 1)}
	}
	once := map[string]int{"authorizer": 1, "daily": 0}
	return []tokenFault{
		{
			sourced: from(0, "component"), reason: "permission", source: "errcode 61023", calls: once,
			logged: []string{"level=error", "errcode=61023", "authorise the third-party platform again"},
			fix:    func() { w.put(t, "refresh-revoked", w.sim.RefreshToken(accounts[0].AppID)) },
		},
		{
			sourced: from(1, "component-stale"), reason: "token", source: "the file " + w.path("component-stale"), calls: once,
			logged: []string{"level=error", "still has the token that Weixin refused"}, fix: fix("component-stale"),
		},
		{
			sourced: from(2, "component-missing"), reason: "token", source: "the file " + w.path("component-missing"),
			calls: map[string]int{"authorizer": 0, "daily": 0}, logged: []string{"level=error", "no such file"}, fix: fix("component-missing"),
		},
		{
			sourced: from(3, "component-closed"), reason: "permission", source: "errcode 61004", calls: once,
			logged: []string{"level=error", "errcode=61004", "add " + loopback + ", the address that Weixin saw, to the platform's IP allow list"},
		},
	}
}
