package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/weixin/weixintest"
)

func strayRows() weixintest.Fault { return weixintest.Fault{Stray: true} }

const (
	reloadGauge = "weixin_exporter_config_last_reload_successful"
	reloadTime  = "weixin_exporter_config_last_reload_success_timestamp_seconds"
)

func TestReload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		// reload reloads the configuration and waits for the result; reason is the expected error, if any.
		reload func(t *testing.T, x *exporter, reason string)
	}{
		{"by POST", []string{"--web.enable-lifecycle"}, func(t *testing.T, x *exporter, reason string) {
			t.Helper()
			p := x.ask(t, http.MethodPost, "/-/reload")
			status, body := http.StatusOK, "The configuration was reloaded.\n"
			if reason != "" {
				status, body = http.StatusInternalServerError, "The configuration was not reloaded, the former one stays in force:\n"+reason+"\n"
			}
			if p.status != status || p.body != body {
				t.Fatalf("POST /-/reload: status %d, want %d with\n%s\ngot\n%s", p.status, status, body, mask(p.body))
			}
		}},
		{"by SIGHUP", nil, func(t *testing.T, x *exporter, reason string) {
			t.Helper()
			from := len(x.stderr.lines())
			x.signal(t, syscall.SIGHUP)
			if reason == "" {
				x.waitLine(t, x.stderr, from, `msg="the configuration was reloaded"`)
				return
			}
			first, _, _ := strings.Cut(reason, "\n")
			x.waitLine(t, x.stderr, from, "level=error", `msg="the configuration was not reloaded; the former one is still used"`,
				strings.ReplaceAll(first, `"`, `\"`))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700), newAccount("cafe", 3, 30))
			shop, bot, cafe := w.accounts[0], w.accounts[1], w.accounts[2]
			w.write(t, w.yaml(shop, bot))
			x := serve(t, w.config, c.args...)
			w.waitComplete(t, x.web, shop, bot)
			before := x.metrics(t)

			w.write(t, strings.Replace(w.yaml(shop), "ready_at", "raedy_at", 1)+"  retention: 1d\n")
			c.reload(t, x, w.config+":10:3: refresh.raedy_at: unknown key; allowed here: interval, ready_at, history, recheck_after\n"+
				w.config+":14:3: store.retention: must not be shorter than refresh.history, which is 30d, or 0 for ever")
			got := x.metrics(t)
			w.checkFigures(t, got, shop, bot)
			if got[reloadGauge] != 0 || got[reloadTime] != before[reloadTime] {
				t.Errorf("after a bad file: %s %v, want 0; time of success moved by %v", reloadGauge, got[reloadGauge], got[reloadTime]-before[reloadTime])
			}

			w.write(t, w.yaml(shop, cafe))
			c.reload(t, x, "")
			got = x.metrics(t)
			if names := accountsIn(got); !slices.Equal(names, []string{"cafe", "shop"}) {
				t.Errorf("accounts %q right after the reload, want cafe and shop", names)
			}
			if got[reloadGauge] != 1 || got[reloadTime] <= before[reloadTime] {
				t.Errorf("after the reload: %s %v, want 1; time of success moved by %v", reloadGauge, got[reloadGauge], got[reloadTime]-before[reloadTime])
			}
			for key := range got {
				if strings.Contains(key, `account="bot"`) {
					t.Errorf("a series of the removed account: %s", key)
				}
			}
			w.waitComplete(t, x.web, shop, cafe)
			w.checkFigures(t, x.metrics(t), shop, cafe)
			if text := x.get(t, "/config").body; !strings.Contains(text, "name: cafe") || strings.Contains(text, "name: bot") {
				t.Error("/config does not show the current accounts")
			}
		})
	}
}

func TestReloadKeepsKnownDays(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	shop, bot := w.accounts[0], w.accounts[1]
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitComplete(t, x.web, w.accounts...)
	known := x.metrics(t)
	calls := len(w.sim.Calls())

	renamed := shop
	renamed.name = "flagship"
	w.write(t, w.yaml(renamed))
	x.ask(t, http.MethodPost, "/-/reload")
	w.checkFigures(t, x.metrics(t), renamed)

	w.write(t, w.yaml(shop, bot))
	if p := x.ask(t, http.MethodPost, "/-/reload"); p.status != http.StatusOK {
		t.Fatalf("status %d", p.status)
	}
	w.checkFigures(t, x.metrics(t), shop, bot)
	w.checkNoKnownDayRequested(t, known, calls, shop, bot)
}

func TestReloadCannotMoveTheStore(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.enable-lifecycle")
	w.write(t, strings.Replace(w.yaml(w.accounts...), "store.db", "other.db", 1))
	p := x.ask(t, http.MethodPost, "/-/reload")
	want := fmt.Sprintf("The configuration was not reloaded, the former one stays in force:\n"+
		"store.path cannot change from %q to %q while running: restart weixin_exporter\n",
		filepath.Join(w.folder, "store.db"), filepath.Join(w.folder, "other.db"))
	if p.status != http.StatusInternalServerError || p.body != want {
		t.Errorf("status %d with\n%s\nwant 500 with\n%s", p.status, mask(p.body), want)
	}
	if _, err := os.Stat(filepath.Join(w.folder, "other.db")); err == nil {
		t.Error("the other store was created")
	}
}

func TestReloadWithoutFile(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.enable-lifecycle")
	if err := os.Remove(w.config); err != nil {
		t.Fatal(err)
	}
	p := x.ask(t, http.MethodPost, "/-/reload")
	want := "The configuration was not reloaded, the former one stays in force:\n" +
		w.config + ": the configuration cannot be read: no such file or directory; name a readable file with --config.file\n"
	if p.status != http.StatusInternalServerError || p.body != want {
		t.Errorf("status %d with\n%s\nwant 500 with\n%s", p.status, mask(p.body), want)
	}
	if got := x.metrics(t); got[reloadGauge] != 0 || len(accountsIn(got)) != 1 {
		t.Errorf("%s %v and accounts %q; want 0 and one", reloadGauge, got[reloadGauge], accountsIn(got))
	}
}

func TestReloadFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config, "--web.enable-lifecycle")
	before := x.metrics(t)[reloadTime]
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://elsewhere.example"}} {
		if p := x.ask(t, http.MethodPost, "/-/reload", headers...); p.status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", headers[0], p.status)
		}
	}
	if p := x.ask(t, http.MethodGet, "/-/reload"); p.status != http.StatusMethodNotAllowed || p.header.Get("Allow") != "POST" {
		t.Errorf("GET: status %d, Allow %q; want 405 and POST", p.status, p.header.Get("Allow"))
	}
	if x.metrics(t)[reloadTime] != before {
		t.Error("the configuration was reloaded")
	}
}

// checkNoKnownDayRequested fails if Weixin was asked, from the call with the given index on, for a day that an
// exporter with the given metrics had already.
func (w *fixture) checkNoKnownDayRequested(t *testing.T, known samples, from int, accounts ...account) {
	t.Helper()
	for _, a := range accounts {
		latest, ok := dateOf(known, "daily", a)
		hourly, alsoOK := dateOf(known, "hourly", a)
		if !ok || !alsoOK {
			t.Fatalf("%s was not known", a.name)
		}
		latest = min(latest, hourly)
		calls := w.callsFor(a, from)
		requested := 0
		for _, c := range calls {
			if c.Begin == 0 {
				continue // for a token
			}
			requested++
			if c.Begin <= latest {
				t.Errorf("%s: a call for %v to %v, although all days up to %v were known", a.name, c.Begin, c.End, latest)
			}
		}
		if requested == 0 && len(calls) > 0 {
			t.Errorf("%s: %d calls for a token that is not needed", a.name, len(calls))
		}
	}
}
