package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

const (
	// agency is the third-party platform that the accounts have authorized.
	agency = "wxe2e0000000agency"
	// serverUser and serverPassword are the credentials for the protected token server.
	serverUser     = "user-of-the-token-server"
	serverPassword = secretMarker + "password-of-the-token-server"
	// byteOrderMark is what some editors add at the beginning of a file.
	byteOrderMark = "\uFEFF"
)

// tokenServer starts the token server of the operator, with optional authentication, and returns its URL.
func (w *fixture) tokenServer(t *testing.T, protected bool) *url.URL {
	t.Helper()
	inner := w.sim.TokenServer()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if protected && (user != serverUser || password != serverPassword) {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// path returns the path of a file in the configuration's folder.
func (w *fixture) path(name string) string { return filepath.Join(w.folder, name) }

// put writes a file in the configuration's folder.
func (w *fixture) put(t *testing.T, name, content string) {
	t.Helper()
	writeFile(t, w.path(name), content)
}

// reload makes the exporter reload its configuration.
func (x *exporter) reload(t *testing.T) {
	t.Helper()
	if p := x.ask(t, http.MethodPost, "/-/reload"); p.status != http.StatusOK {
		t.Fatalf("POST /-/reload: status %d: %s", p.status, mask(p.body))
	}
}

// pass lets time pass in the simulated Weixin.
func (w *fixture) pass(d time.Duration) { w.ahead.Add(int64(d)) }

// service is another program that calls Weixin for an account.
type service struct {
	fixture *fixture
	account account
	token   string
}

// takeToken gets a token like an old program, from /cgi-bin/token.
func (s *service) takeToken(t *testing.T) {
	t.Helper()
	query := url.Values{"grant_type": {"client_credential"}, "appid": {s.account.AppID}, "secret": {s.account.AppSecret}}
	s.token = s.send(t, http.MethodGet, "/cgi-bin/token?"+query.Encode(), "").Token
	if s.token == "" {
		t.Fatal("the other service got no token")
	}
}

// call requests the daily figures and returns the errcode.
func (s *service) call(t *testing.T) int {
	t.Helper()
	yesterday := clock().In(time.FixedZone("China", 8*3600)).AddDate(0, 0, -1).Format(time.DateOnly)
	body := fmt.Sprintf(`{"begin_date": %q, "end_date": %q}`, yesterday, yesterday)
	return s.send(t, http.MethodPost, "/datacube/getinterfacesummary?access_token="+url.QueryEscape(s.token), body).Errcode
}

// reply is the relevant part of Weixin's responses to another service.
type reply struct {
	Errcode int    `json:"errcode"`
	Token   string `json:"access_token"`
}

func (s *service) send(t *testing.T, method, path, body string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.fixture.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal("the request of another service cannot be created")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(mask(err.Error()))
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	var got reply
	if err != nil || json.Unmarshal(content, &got) != nil {
		t.Fatalf("another service's call: status %d: %v", response.StatusCode, err)
	}
	return got
}

// tokenOf returns a token of the account that another program obtained for the exporter.
func (w *fixture) tokenOf(t *testing.T, a account) string {
	t.Helper()
	other := &service{fixture: w, account: a}
	other.takeToken(t)
	return other.token
}

// count returns the number of calls of an API that the simulated Weixin has seen for an account, or for the platform
// whose token was requested.
func (w *fixture) count(api, appID string) int {
	n := 0
	for _, c := range w.sim.Calls() {
		if c.API == api && c.AppID == appID {
			n++
		}
	}
	return n
}

// sourced is an account and the configuration key of its token source.
type sourced struct {
	account
	token string
}

// list returns the configuration of accounts with their token sources.
func (w *fixture) list(list ...sourced) string {
	var b strings.Builder
	b.WriteString("accounts:\n")
	for _, s := range list {
		b.WriteString(entry(s.account, s.token))
	}
	return b.String() + w.settings(2)
}

func fromFile(path string) string { return fmt.Sprintf("token: {type: file, path: %q}", path) }

func fromURL(address string) string { return fmt.Sprintf("token: {type: url, url: %q}", address) }

// fromPlatform configures an authorizer token, with the source of the platform's token.
func fromPlatform(component, file string) string {
	return fmt.Sprintf("token: {type: authorizer, component_app_id: %s, component_access_token: {%s}, refresh_token_file: %q}", agency, component, file)
}

func platforms() weixintest.Options {
	return weixintest.Options{Platforms: []weixintest.Platform{{AppID: agency}}}
}

// authorized returns an account that has authorized the platform.
func authorized(name string, n int) account {
	a := newAccount(name, n, 700)
	a.Platform, a.AppSecret = agency, ""
	return a
}

func TestTokenSources(t *testing.T) {
	t.Parallel()
	shapes := []struct{ name, format string }{
		{"raw", "%s"},
		{"raw with space", " \r\n" + byteOrderMark + "%s \r\n\r\n"},
		{"raw with mark", byteOrderMark + "%s\n"},
		{"string", "%q"},
		{"string with mark", byteOrderMark + " %q\n"},
		{"object", `{"access_token": %q}`},
		{"object with life", "\t" + `{"access_token": %q, "expires_in": 7200}` + "\n"},
		{"object with more", byteOrderMark + `{"errcode": 0, "errmsg": "ok", "access_token": %q, "expires_in": "7200"}`},
	}
	var accounts []account
	for i, shape := range shapes {
		accounts = append(accounts, newAccount("file "+shape.name, 10+i, 700), newAccount("url "+shape.name, 30+i, 700),
			authorized("platform by file "+shape.name, 50+i), authorized("platform by url "+shape.name, 70+i))
	}
	w := newFixtureWith(t, platforms(), accounts...)
	server := w.tokenServer(t, false)
	component := w.sim.ComponentToken(agency)
	var all []sourced
	for i, shape := range shapes {
		four := accounts[4*i : 4*i+4]
		of := func(j int) string { return fmt.Sprintf("%d-%d", i, j) }
		w.put(t, of(0), fmt.Sprintf(shape.format, w.tokenOf(t, four[0])))
		w.sim.Inject(weixintest.Fault{API: "token_server", AppID: four[1].AppID, Body: fmt.Appendf(nil, shape.format, w.tokenOf(t, four[1]))})
		for _, j := range []int{2, 3} {
			w.put(t, of(j)+"-refresh", w.sim.RefreshToken(four[j].AppID)+"\n")
		}
		w.put(t, of(2), fmt.Sprintf(shape.format, component))
		served := []string{"raw", "string", "object", "object-without-life"}[i%4]
		all = append(all,
			sourced{four[0], fromFile(of(0))},
			sourced{four[1], fromURL(server.JoinPath("object", four[1].AppID).String())},
			sourced{four[2], fromPlatform("type: file, path: "+of(2), of(2)+"-refresh")},
			sourced{four[3], fromPlatform(fmt.Sprintf("type: url, url: %q", server.JoinPath(served, "component", agency)), of(3)+"-refresh")})
	}
	before := len(w.sim.Calls())
	w.write(t, w.list(all...))
	x := serve(t, w.config)
	w.waitFigures(t, x.web, accounts...)
	w.checkFigures(t, x.metrics(t), accounts...)

	for _, c := range w.sim.Calls()[before:] {
		if c.API == "token" || c.API == "stable_token" || c.Errcode > 0 {
			t.Errorf("a call %s for %s with errcode %d; want neither token calls nor errors", c.API, c.AppID, c.Errcode)
		}
	}
	for i := range shapes {
		asked, exchanged := w.count("token_server", accounts[4*i+1].AppID), w.count("authorizer", accounts[4*i+2].AppID)
		if asked != 1 || exchanged != 1 {
			t.Errorf("%s: %d requests to the token server and %d for an authorizer's token, want one of each", shapes[i].name, asked, exchanged)
		}
	}
	if n := w.count("token_server", agency); n != 4 {
		t.Errorf("the platform's token was requested %d times, want once for each of the four URLs that accounts share", n)
	}
}

// User, password and key of a token server are not shown anywhere.
func TestProtectedTokenServer(t *testing.T) {
	t.Parallel()
	byBlock, byURL, refused := newAccount("block", 1, 700), newAccount("in-url", 2, 700), newAccount("refused", 3, 700)
	w := newFixture(t, byBlock, byURL, refused)
	server := w.tokenServer(t, true)
	address := func(a account, user *url.Userinfo) string {
		u := server.JoinPath("object-without-life", a.AppID)
		u.User, u.RawQuery = user, "key="+secretMarker+"key-of-the-token-server"
		return u.String()
	}
	w.write(t, w.list(
		sourced{byBlock, fmt.Sprintf("token: {type: url, url: %q, http_config: {basic_auth: {username: %s, password: %s}}}",
			address(byBlock, nil), serverUser, serverPassword)},
		sourced{byURL, fromURL(address(byURL, url.UserPassword(serverUser, serverPassword)))},
		sourced{refused, fromURL(address(refused, url.UserPassword(serverUser, secretMarker+"other-password")))},
	))
	x := serve(t, w.config, "--log.level=debug")
	w.waitFigures(t, x.web, byBlock, byURL)
	shown := server.JoinPath("object-without-life", refused.AppID).String()
	x.logged(t, "level=error", "account=refused", "reason=token", "getting an access token from "+shown+":", "401", "advice=")
	w.checkFigures(t, x.metrics(t), byBlock, byURL)
	page, config := x.get(t, "/accounts/refused").body, x.get(t, "/config").body
	if !strings.Contains(page, shown) || !strings.Contains(config, server.Host) {
		t.Error("the page of the account or /config does not name the token server")
	}
	for name, text := range map[string]string{"the page of the account": page, "the log": x.stderr.String()} {
		if strings.Contains(text, serverUser) || strings.Contains(text, "key=") {
			t.Errorf("%s shows user or query of the URL", name)
		}
	}
	if strings.Contains(config, serverUser+":") || strings.Contains(config, "@"+server.Host) && !strings.Contains(config, "<secret>@") {
		t.Error("/config shows the user of the URL")
	}
}

// A token in a file is replaced while the exporter works: the file is read again, and nothing fails.
func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	shop := newAccount("shop", 1, 9000)
	w := newFixture(t, shop)
	w.put(t, "token", w.tokenOf(t, shop))
	remove := w.sim.Inject(weixintest.Fault{API: "hourly", Delay: 100 * time.Millisecond}) // so that it is still working
	w.write(t, strings.Replace(w.yaml(shop), "app_secret: "+shop.AppSecret, fromFile("token"), 1))
	x := serve(t, w.config)
	w.waitFigures(t, x.web, shop)
	w.put(t, "token", w.tokenOf(t, shop))
	replaced := len(w.sim.Calls())
	w.pass(5 * time.Minute) // the previous token is refused
	remove()
	w.waitComplete(t, x.web, shop)
	got := x.metrics(t)
	w.checkFigures(t, got, shop)
	for _, api := range apis() {
		if n := got[series("weixin_refresh_failures_total", "account", "shop", "api", api, "reason", "token")]; n != 0 {
			t.Errorf("%s: %v failures", api, n)
		}
	}
	if len(w.sim.Calls()) == replaced {
		t.Error("all days were known before the token was replaced")
	}
}
