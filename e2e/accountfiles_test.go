package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

// newFolderFixture returns a fixture whose accounts are in files next to the configuration.
func newFolderFixture(t *testing.T, accounts ...account) *fixture {
	t.Helper()
	w := newFixture(t, accounts...)
	if err := os.Mkdir(w.path("accounts.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.file(t, "special.yaml")
	return w
}

// file writes a file of accounts.
func (w *fixture) file(t *testing.T, name string, accounts ...account) {
	t.Helper()
	var b strings.Builder
	for _, a := range accounts {
		b.WriteString(entry(a, "app_secret: "+a.AppSecret))
	}
	w.put(t, "accounts.d/"+name, b.String())
}

// main writes the configuration itself, with the accounts that are in no other file.
func (w *fixture) main(t *testing.T, days int, accounts ...account) {
	t.Helper()
	var b strings.Builder
	for _, a := range accounts {
		b.WriteString(entry(a, "app_secret: "+a.AppSecret))
	}
	w.write(t, "accounts:\n"+b.String()+"account_files: [\"accounts.d/*.yml\", \"accounts.d/special.yaml\"]\n"+w.settings(days))
}

// waitDays waits until an exporter has at least so many days of the accounts.
func (w *fixture) waitDays(t *testing.T, x web, days int, accounts ...account) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d days", days), func() error {
		got := x.metrics(t)
		for _, a := range accounts {
			for _, api := range apis() {
				if n := got[series("weixin_store_known_dates", "account", a.name, "api", api)]; n < float64(days) {
					return fmt.Errorf("%s, %s: %v days", a.name, api, n)
				}
			}
		}
		return nil
	})
}

func TestAccountFiles(t *testing.T) {
	t.Parallel()
	shop, bot, cafe := newAccount("shop", 1, 9000), newAccount("bot", 2, 700), newAccount("cafe", 3, 300)
	news, reset, late := newAccount("news", 4, 200), newAccount("reset", 5, 100), newAccount("late", 6, 50)
	w := newFolderFixture(t, shop, bot, cafe, news, reset, late)
	w.main(t, 2, shop)
	w.file(t, "a.yml", bot, cafe)
	w.file(t, "b.yml", news)
	w.file(t, "special.yaml", reset)
	w.put(t, "accounts.d/notes.txt", "not an account")
	x := serve(t, w.config, "--web.enable-lifecycle")
	first := []account{shop, bot, cafe, news, reset}
	w.waitDays(t, x.web, 2, first...)
	w.checkFigures(t, x.metrics(t), first...)

	// bot has another name, reset another secret. The entry of cafe and the file of news are removed, and late is added.
	robot := bot
	robot.name = "robot"
	reset.AppSecret = secretMarker + "another"
	w.sim.SetSecret(reset.AppID, reset.AppSecret)
	w.file(t, "a.yml", robot)
	if err := os.Remove(w.path("accounts.d/b.yml")); err != nil {
		t.Fatal(err)
	}
	w.file(t, "special.yaml", reset)
	w.file(t, "c.yml", late)
	w.main(t, 4, shop)
	from := len(w.sim.Calls())
	x.reload(t)
	got := x.metrics(t)
	if names := accountsIn(got); !slices.Equal(names, []string{"late", "reset", "robot", "shop"}) {
		t.Errorf("accounts %q right after the reload", names)
	}
	w.checkFigures(t, withoutAccount(got, "late"), shop, robot, reset)
	for key := range got {
		for _, name := range []string{"bot", "cafe", "news"} {
			if strings.Contains(key, fmt.Sprintf("account=%q", name)) {
				t.Errorf("a series of a removed account: %s", key)
			}
		}
	}
	left := []account{shop, robot, reset, late}
	w.waitDays(t, x.web, 4, left...)
	w.checkFigures(t, x.metrics(t), left...)
	for _, gone := range []account{cafe, news} {
		if n := len(w.callsFor(gone, from)); n != 0 {
			t.Errorf("%s: %d calls after it was removed", gone.name, n)
		}
	}
	for name, c := range map[string]struct{ got, want int }{
		"robot, which changed its name":   {w.count("stable_token", robot.AppID), 1},
		"reset, which has another secret": {w.count("stable_token", reset.AppID), 2},
		"shop, which did not change":      {w.count("stable_token", shop.AppID), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s took %d tokens in total, want %d", name, c.got, c.want)
		}
	}
}

func TestRemovedAccountStopsItsCalls(t *testing.T) {
	t.Parallel()
	shop, bot := newAccount("shop", 1, 9000), newAccount("bot", 2, 700)
	w := newFolderFixture(t, shop, bot)
	w.main(t, history, shop)
	w.file(t, "bot.yml", bot)
	w.sim.Inject(weixintest.Fault{AppID: bot.AppID, API: "hourly", Delay: 100 * time.Millisecond})
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitFigures(t, x.web, shop, bot)
	if err := os.Remove(w.path("accounts.d/bot.yml")); err != nil {
		t.Fatal(err)
	}
	x.reload(t)
	from := len(w.sim.Calls())
	w.waitComplete(t, x.web, shop)
	w.checkFigures(t, x.metrics(t), shop)
	// One may have been in flight.
	if n := len(w.callsFor(bot, from)); n > 1 {
		t.Errorf("%d calls for a removed account", n)
	}
	if n := w.count("hourly", bot.AppID); n >= history {
		t.Errorf("%d hourly calls: all days were known before the account was removed", n)
	}
}

func TestFaultsInAccountFiles(t *testing.T) {
	t.Parallel()
	shop, bot := newAccount("shop", 1, 9000), newAccount("bot", 2, 700)
	w := newFolderFixture(t, shop, bot)
	w.main(t, 2, shop)
	w.file(t, "bot.yml", bot)
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitFigures(t, x.web, shop, bot)
	file := w.path("accounts.d/wrong.yml")
	for _, c := range []struct{ name, text, fault string }{
		{
			"an unknown key", "- name: cafe\n  app_id: wxcafe\n  app_secert: x\n  app_secret: " + secretMarker + "cafe\n",
			":3:3: [0].app_secert: unknown key",
		},
		{
			"the name of another file's account", entry(account{"bot", weixintest.Account{AppID: "wxother"}}, "app_secret: "+secretMarker+"other"),
			":1:5: [0].name: is the same as",
		},
		{
			"the app id of the main file's account", entry(account{"other", shop.Account}, "app_secret: "+secretMarker+"other"),
			":2:5: [0].app_id: is the same as",
		},
		{"no list", "accounts: []\n", ":1:1: "},
		{"no YAML", "- [\n", ":2:1: invalid YAML"},
	} {
		w.put(t, "accounts.d/wrong.yml", c.text)
		p := x.ask(t, http.MethodPost, "/-/reload")
		if p.status != http.StatusInternalServerError || !strings.Contains(p.body, "\n"+file+c.fault) {
			t.Errorf("%s: status %d, want 500 with %s\ngot\n%s", c.name, p.status, file+c.fault, mask(p.body))
		}
		got := x.metrics(t)
		w.checkFigures(t, got, shop, bot)
		if got[reloadGauge] != 0 {
			t.Errorf("%s: %s is %v, want 0", c.name, reloadGauge, got[reloadGauge])
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	x.reload(t)
	if got := x.metrics(t); got[reloadGauge] != 1 {
		t.Errorf("%s is %v after the file was corrected, want 1", reloadGauge, got[reloadGauge])
	}
}
