package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/weixin/weixintest"
)

func TestStartsWhileWeixinIsDownAndRecovers(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	port := closedPort(t)
	w.url = "http://" + port.address
	w.write(t, w.yaml(w.accounts...))
	x := serve(t, w.config)

	x.logged(t, "level=warn", "refresh failed", "reason=busy", "connection refused", "next=")
	got := x.metrics(t)
	for _, a := range w.accounts {
		for _, api := range apis() {
			if got[series("weixin_refresh_success", "account", a.name, "api", api)] != 0 {
				t.Errorf("%s, %s: weixin_refresh_success is not 0", a.name, api)
			}
		}
	}
	eventually(t, "the failures to be counted", func() error {
		got := x.metrics(t)
		if got[series("weixin_refresh_failures_total", "account", "shop", "api", "daily", "reason", "busy")] < 1 ||
			got[series("weixin_api_requests_total", "api", "token", "errcode", "http")] < 1 {
			return errNotYet
		}
		return nil
	})
	if page := x.get(t, "/").body; !strings.Contains(page, "What to do") || !strings.Contains(page, "connection refused") {
		t.Error("the overview does not say what to do")
	}

	server := &httptest.Server{Listener: port.listen(t), Config: &http.Server{Handler: w.sim}}
	server.Start()
	t.Cleanup(server.Close)
	w.waitComplete(t, x.web, w.accounts...)
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.logged(t, "level=info", "refresh recovered", "failing_since=")
	if page := x.get(t, "/").body; strings.Contains(page, "What to do") {
		t.Error("the overview still says that something is wrong")
	}
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	shop, bot := w.accounts[0], w.accounts[1]
	wrong := shop
	wrong.AppSecret = secretMarker + "wrong"
	w.write(t, w.yaml(wrong, bot))
	x := serve(t, w.config)
	x.logged(t, "level=error", "account=shop", "refresh failed", "reason=config", "errcode=40125", "invalid appsecret", "next=", "advice=")
	w.waitComplete(t, x.web, bot)
	failures := series("weixin_refresh_failures_total", "account", "shop", "api", "daily", "reason", "config")
	got := x.metrics(t)
	if got[failures] != 1 || got[series("weixin_refresh_success", "account", "shop", "api", "daily")] != 0 ||
		got[series("weixin_api_requests_total", "api", "token", "errcode", "40125")] != 1 {
		t.Errorf("%s is %v, want 1, one token request with 40125, and no success", failures, got[failures])
	}
	w.checkFigures(t, got, bot)

	w.write(t, w.yaml(shop, bot))
	x.signal(t, syscall.SIGHUP)
	w.waitComplete(t, x.web, shop, bot)
	got = x.metrics(t)
	w.checkFigures(t, got, shop, bot)
	if got[failures] != 1 || got[series("weixin_refresh_success", "account", "shop", "api", "daily")] != 1 {
		t.Errorf("after the correction: %s is %v, want still 1, and success", failures, got[failures])
	}
	x.logged(t, "account=shop", "refresh recovered")
}

// A file with a secret is read again with each reload.
func TestSecretFileIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	secret := filepath.Join(w.folder, "shop.secret")
	text := strings.Replace(w.yaml(w.accounts...), "app_secret: "+w.accounts[0].AppSecret, "app_secret_file: shop.secret", 1)
	w.write(t, text)
	writeFile(t, secret, secretMarker+"wrong\n")
	x := serve(t, w.config, "--web.enable-lifecycle")
	x.logged(t, "errcode=40125")
	writeFile(t, secret, w.accounts[0].AppSecret+"\r\n")
	if p := x.ask(t, http.MethodPost, "/-/reload"); p.status != http.StatusOK {
		t.Fatalf("status %d: %s", p.status, mask(p.body))
	}
	w.waitComplete(t, x.web, w.accounts...)
	if got := x.get(t, "/config").body; !strings.Contains(got, "app_secret_file: "+secret+"\n") {
		t.Error("/config does not name the file of the secret")
	}
}

func TestLegacyTokenWarnsAndWorks(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	shop := w.accounts[0]
	w.write(t, strings.Replace(w.yaml(shop), "app_secret: "+shop.AppSecret, "app_secret: "+shop.AppSecret+"\n    token: {type: token}", 1))
	x := serve(t, w.config)
	x.logged(t, "level=warn", "accounts[0].token.type", "logs them out")
	w.waitComplete(t, x.web, shop)
	w.checkFigures(t, x.metrics(t), shop)
	tokens := 0
	for _, c := range w.sim.Calls() {
		if c.API == "stable_token" {
			t.Error("a stable token was asked for")
		}
		if c.API == "token" {
			tokens++
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens were taken, want 1", tokens)
	}
}

func TestRestartRequestsNoKnownDay(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700), newAccount("cafe", 3, 30))
	shop, bot, cafe := w.accounts[0], w.accounts[1], w.accounts[2]
	w.write(t, w.yaml(shop, bot))
	first := serve(t, w.config)
	w.waitComplete(t, first.web, shop, bot)
	known := first.metrics(t)
	first.stop(t, syscall.SIGTERM)
	calls := len(w.sim.Calls())

	// When the further account is complete, everything that is due has been requested.
	w.write(t, w.yaml(shop, bot, cafe))
	second := serve(t, w.config)
	got := second.metrics(t)
	w.checkFigures(t, withoutAccount(got, "cafe"), shop, bot)
	w.waitComplete(t, second.web, shop, bot, cafe)
	w.checkFigures(t, second.metrics(t), shop, bot, cafe)
	w.checkNoKnownDayRequested(t, known, calls, shop, bot)
	if len(w.callsFor(cafe, calls)) == 0 {
		t.Error("nothing was requested for the new account")
	}
}

func withoutAccount(got samples, name string) samples {
	rest := samples{}
	for key, value := range got {
		if !strings.Contains(key, `account="`+name+`"`) {
			rest[key] = value
		}
	}
	return rest
}

func TestRestartDuringTheHistory(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	shop := w.accounts[0]
	remove := w.sim.Inject(weixintest.Fault{API: "hourly", Delay: patience})
	first := serve(t, w.config)
	eventually(t, "an hourly call", func() error {
		for _, c := range w.callsFor(shop, 0) {
			if c.API == "hourly" {
				return nil
			}
		}
		return errNotYet
	})
	first.stop(t, syscall.SIGINT)
	remove()
	calls := len(w.sim.Calls())
	second := serve(t, w.config)
	w.waitComplete(t, second.web, shop)
	w.checkFigures(t, second.metrics(t), shop)
	if asked := len(w.callsFor(shop, calls)); asked > history+4 {
		t.Errorf("%d calls after the restart, want one for each unknown day by the hour, at most two daily ones, and a token", asked)
	}
}

func TestSecondExporterOnTheSameStore(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	first := serve(t, w.config)
	w.waitComplete(t, first.web, w.accounts...)
	known := first.metrics(t)
	calls := len(w.sim.Calls())
	f := finish(t, nil, "--config.file="+w.config, "--web.listen-address=127.0.0.1:0")
	if want := fmt.Sprintf("another weixin_exporter uses it (process %d on host ", first.cmd.Process.Pid); f.code != 1 || !strings.Contains(f.stderr, want) {
		t.Errorf("a second exporter: %+v, want %q", f, want)
	}
	w.checkFigures(t, first.metrics(t), w.accounts...)
	first.kill(t)
	// The lock is released with the process.
	second := serve(t, w.config)
	w.checkFigures(t, second.metrics(t), w.accounts...)
	w.checkNoKnownDayRequested(t, known, calls, w.accounts...)
	second.stop(t, syscall.SIGTERM)
}

func TestFailuresOfOneAccountAffectNoOther(t *testing.T) {
	t.Parallel()
	accounts := []account{newAccount("good", 1, 9000), newAccount("fine", 2, 700)}
	for i, reason := range []string{"permission", "account", "quota", "allow_list", "retired", "unknown"} {
		a := newAccount(reason, 10+i, 50)
		a.Errcode = []int{48001, 50002, 45009, 40164, 47009, 12345}[i]
		accounts = append(accounts, a)
	}
	w := newFixture(t, accounts...)
	x := serve(t, w.config)
	w.waitComplete(t, x.web, accounts[:2]...)
	eventually(t, "every failure", func() error {
		got := x.metrics(t)
		for _, a := range accounts[2:] {
			failures := got[series("weixin_refresh_failures_total", "account", a.name, "api", "daily", "reason", a.name)]
			if failures < 1 {
				return fmt.Errorf("%s: no failure of this reason", a.name)
			}
		}
		return nil
	})
	w.checkFigures(t, x.metrics(t), accounts[:2]...)
	x.logged(t, "account=allow_list", "reason=allow_list", "errcode=40164", loopback, "advice=")
	overview := x.get(t, "/").body
	for _, text := range []string{"48001", "50002", "45009", "40164", loopback, "47009", "12345"} {
		if !strings.Contains(overview, text) {
			t.Errorf("the overview does not show %s", text)
		}
	}
}

func TestHangingWeixinDoesNotDelayAScrape(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	w.sim.Inject(weixintest.Fault{Delay: patience})
	x := serve(t, w.config)
	eventually(t, "a call that hangs", func() error {
		if len(w.sim.Calls()) == 0 {
			return errNotYet
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got := x.metrics(t); len(accountsIn(got)) != 1 || ctx.Err() != nil {
		t.Errorf("accounts %q, want one", accountsIn(got))
	}
}
