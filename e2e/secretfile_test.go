package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

// The app secret is reset in Weixin's console and its file is updated while the exporter works. It reads the
// file again when it next needs a token, and nothing fails.
func TestSecretRotatesWithoutRestart(t *testing.T) {
	t.Parallel()
	shop := newAccount("shop", 1, 9000)
	w := newFixture(t, shop)
	w.put(t, "secret", shop.AppSecret+"\n")
	w.write(t, strings.Replace(w.yaml(shop), "app_secret: "+shop.AppSecret, "app_secret_file: secret", 1))
	remove := w.sim.Inject(weixintest.Fault{API: "hourly", Delay: 100 * time.Millisecond}) // so that it is still working
	x := serve(t, w.config)
	w.waitFigures(t, x.web, shop)

	other := secretMarker + "after-the-reset"
	w.sim.SetSecret(shop.AppID, other)
	w.put(t, "secret", other+"\n")
	from := len(w.sim.Calls())
	w.pass(2 * time.Hour) // the token expires
	remove()
	w.waitComplete(t, x.web, shop)
	got := x.metrics(t)
	w.checkFigures(t, got, shop)
	var codes []int
	for _, c := range w.callsFor(shop, from) {
		if c.API == "stable_token" {
			codes = append(codes, c.Errcode)
		}
	}
	if fmt.Sprint(codes) != "[40125 0]" {
		t.Errorf("token calls after the reset: %v, want one with each secret", codes)
	}
	for key, value := range got {
		if strings.HasPrefix(key, "weixin_refresh_failures_total{") && value != 0 {
			t.Errorf("%s is %v, want no failure", key, value)
		}
	}
}

// If the file is updated too late, the refusal is logged, and a reload resolves it at once.
func TestSecretRotatesWithReload(t *testing.T) {
	t.Parallel()
	shop := newAccount("shop", 1, 9000)
	w := newFixture(t, shop)
	w.put(t, "secret", shop.AppSecret+"\n")
	other := secretMarker + "after-the-reset"
	w.sim.SetSecret(shop.AppID, other)
	w.write(t, w.list(sourced{shop, "app_secret_file: secret"}))
	x := serve(t, w.config, "--web.enable-lifecycle")
	x.logged(t, "level=error", "account=shop", "refresh failed", "reason=config", "errcode=40125", "advice=", "app secret")
	if n := w.count("stable_token", shop.AppID); n != 1 {
		t.Errorf("%d token calls with a secret that did not change, want 1", n)
	}
	w.put(t, "secret", other+"\r\n")
	x.reload(t)
	w.waitFigures(t, x.web, shop)
	w.checkFigures(t, x.metrics(t), shop)
	if n := w.count("stable_token", shop.AppID); n != 2 {
		t.Errorf("%d token calls, want one before the reload and one after it", n)
	}
}

// check and serve warn about a file with a secret that others can read.
func TestSecretOpenToOthers(t *testing.T) {
	t.Parallel()
	shop, bot := newAccount("shop", 1, 9000), newAccount("bot", 2, 700)
	w := newFixture(t, shop, bot)
	w.put(t, "open", shop.AppSecret)
	w.put(t, "closed", bot.AppSecret)
	if err := os.Chmod(w.path("open"), 0o640); err != nil {
		t.Fatal(err)
	}
	w.write(t, w.list(sourced{shop, "app_secret_file: open"}, sourced{bot, "app_secret_file: closed"}))
	warning := fmt.Sprintf("accounts[0].app_secret_file: %s is open to others than its owner, with mode 0640; chmod 600 %s keeps them out", w.path("open"), w.path("open"))
	got := finish(t, nil, "check", "--config.file="+w.config)
	want := "warning: " + w.config + ":4:5: " + warning + "\n" + w.config + ": no fault found; accounts: 2\n"
	if got.code != 0 || got.stdout != want {
		t.Errorf("check: exit code %d and\n%s\nwant 0 and\n%s", got.code, mask(got.stdout), want)
	}
	x := serve(t, w.config)
	x.logged(t, "level=warn", warning)
	if n := strings.Count(x.stderr.String(), "is open to others"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}
