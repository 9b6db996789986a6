package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A problem with a file of one account, at the start or at a reload, affects that account only: the
// others work, check reports it, and a corrected file needs at most a reload.
func TestFileOfOneAccountAffectsNoOther(t *testing.T) {
	t.Parallel()
	fine, noSecret, emptySecret, caFile := newAccount("fine", 1, 9000), newAccount("no-secret", 2, 700), newAccount("empty-secret", 3, 700), newAccount("ca-file", 4, 700)
	emptyRefresh := authorized("empty-refresh", 5)
	w := newFixtureWith(t, platforms(), fine, noSecret, emptySecret, caFile, emptyRefresh)
	server := w.tokenServer(t, false)
	w.put(t, "fine", fine.AppSecret+"\n")
	w.put(t, "empty-secret", byteOrderMark+"\n")
	w.put(t, "empty-refresh", "")
	component := fmt.Sprintf("type: url, url: %q", server.JoinPath("own", "component", agency))
	w.write(t, w.list(
		sourced{fine, "app_secret_file: fine"},
		sourced{noSecret, "app_secret_file: no-secret"},
		sourced{emptySecret, "app_secret_file: empty-secret"},
		sourced{caFile, fmt.Sprintf("token: {type: url, url: %q, token_path: data.token, http_config: {tls_config: {ca_file: ca-file}}}", server.JoinPath("nested", caFile.AppID))},
		sourced{emptyRefresh, fromPlatform(component, "empty-refresh")},
	))
	broken := []account{noSecret, emptySecret, caFile, emptyRefresh}

	got := finish(t, nil, "check", "--config.file="+w.config)
	if got.code != 1 || !strings.Contains(got.stderr, "faults: 4") {
		t.Errorf("check: exit code %d and\n%s", got.code, mask(got.stderr))
	}
	online := finish(t, nil, "check", "--online", "--config.file="+w.config)
	for _, a := range broken {
		if !strings.Contains(got.stderr, w.path(a.name)) || !strings.Contains(got.stderr, fmt.Sprintf("(account %q alone)", a.name)) {
			t.Errorf("check does not name the file of %s:\n%s", a.name, mask(got.stderr))
		}
		if online.code != 1 || !strings.Contains(online.stdout, a.name+", token: ") || strings.Contains(online.stdout, "fine, token: ") {
			t.Errorf("check --online, exit code %d, does not report the problem of %s:\n%s", online.code, a.name, mask(online.stdout))
		}
	}

	x := serve(t, w.config, "--web.enable-lifecycle")
	w.waitFigures(t, x.web, fine)
	x.logged(t, "level=error", "files of accounts cannot be used", "no-secret, empty-secret, ca-file, empty-refresh")
	for _, a := range broken {
		x.logged(t, "level=error", "account="+a.name+" ", "refresh failed", "reason=token", w.path(a.name), "advice=")
	}
	metrics := x.metrics(t)
	for _, a := range broken {
		if !strings.Contains(x.get(t, "/accounts/"+a.name).body, w.path(a.name)) {
			t.Errorf("the page does not name the file of %s", a.name)
		}
		if got := metrics[series("weixin_refresh_success", "account", a.name, "api", "daily")]; got != 0 {
			t.Errorf("%s: weixin_refresh_success is %v, want 0", a.name, got)
		}
	}

	// While the other files are corrected, that of the working account is deleted: it keeps its secret.
	w.put(t, "no-secret", noSecret.AppSecret)
	w.put(t, "empty-secret", byteOrderMark+emptySecret.AppSecret+"\r\n")
	w.put(t, "empty-refresh", byteOrderMark+w.sim.RefreshToken(emptyRefresh.AppID))
	if err := os.Remove(w.path("fine")); err != nil {
		t.Fatal(err)
	}
	from := len(w.sim.Calls())
	x.reload(t)
	w.waitFigures(t, x.web, fine, noSecret, emptySecret, emptyRefresh)
	x.logged(t, "level=error", "files of accounts cannot be used", "accounts=\"fine, ca-file\"")
	for _, c := range w.callsFor(fine, from) {
		if c.API == "stable_token" {
			t.Error("the account whose file was deleted has lost its token")
		}
	}
}
