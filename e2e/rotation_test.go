package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// newPlatformFixture returns a fixture with accounts that have authorized the platform, whose refresh tokens rotate with
// each exchange, and with a configuration that stores nothing but them.
func newPlatformFixture(t *testing.T, accounts ...account) *fixture {
	t.Helper()
	w := newFixtureWith(t, platforms(), accounts...)
	w.sim.RotateRefreshTokens(true)
	server := w.tokenServer(t, false)
	var all []sourced
	for _, a := range accounts {
		w.put(t, "tokens-"+a.name, w.sim.RefreshToken(a.AppID))
		component := fmt.Sprintf("type: url, url: %q", server.JoinPath("object", "component", agency))
		all = append(all, sourced{a, fromPlatform(component, "tokens-"+a.name)})
	}
	text := strings.Replace(w.list(all...), "path: store.db", `path: ""`, 1)
	w.write(t, strings.Replace(text, "history: 2d", "history: 30d", 1))
	return w
}

// checkRefreshToken fails unless the file has the latest refresh token of Weixin and only its owner can read it.
func (w *fixture) checkRefreshToken(t *testing.T, a account) {
	t.Helper()
	path := w.path("tokens-" + a.name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(content)) != w.sim.RefreshToken(a.AppID) {
		t.Errorf("%s: the file does not have the latest refresh token", a.name)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s: the file of the refresh token has mode %04o, want 0600", a.name, info.Mode().Perm())
	}
}

// checkNoLeftovers fails if there are temporary files in the folder.
func (w *fixture) checkNoLeftovers(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(w.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestRefreshTokenRotates(t *testing.T) {
	t.Parallel()
	shop := authorized("shop", 1)
	w := newPlatformFixture(t, shop)
	before := w.sim.RefreshToken(shop.AppID)
	if err := os.Chmod(w.path("tokens-shop"), 0o644); err != nil {
		t.Fatal(err)
	}
	first := serve(t, w.config)
	first.logged(t, "level=warn", "refresh_token_file", "tokens-shop is open to others than its owner, with mode 0644")
	w.waitComplete(t, first.web, shop)
	w.checkFigures(t, first.metrics(t), shop)
	w.checkRefreshToken(t, shop)
	if w.sim.RefreshToken(shop.AppID) == before {
		t.Fatal("the refresh token did not rotate")
	}
	first.stop(t, syscall.SIGTERM)

	before = w.sim.RefreshToken(shop.AppID)
	second := serve(t, w.config)
	w.waitComplete(t, second.web, shop)
	w.checkRefreshToken(t, shop)
	if w.sim.RefreshToken(shop.AppID) == before {
		t.Error("the refresh token did not rotate with the restart")
	}
	if text := second.stderr.String(); strings.Contains(text, "level=warn") || strings.Contains(text, "level=error") {
		t.Errorf("the restart has warnings or errors:\n%s", mask(text))
	}
	if n := w.count("authorizer", shop.AppID); n != 2 {
		t.Errorf("%d exchanges of the refresh token, want one for each start", n)
	}
	w.checkNoLeftovers(t)
}
