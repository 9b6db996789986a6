package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTokensInPostgres: exporters and commands that share a database get their tokens once, lose no refresh token when one of
// them is killed, and leave its file as it is.
func TestTokensInPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	shop, guest := newAccount("shop", 1, 9000), authorized("guest", 2)
	w := newFixtureWith(t, platforms(), shop, guest)
	w.sim.RotateRefreshTokens(true)
	seed := w.sim.RefreshToken(guest.AppID)
	w.put(t, "seed", seed)
	w.put(t, "seal", strings.Repeat("ab", 32)+"\n")
	component := fmt.Sprintf("type: url, url: %q", w.tokenServer(t, false).JoinPath("object", "component", agency))
	text := w.list(sourced{shop, "app_secret: " + shop.AppSecret}, sourced{guest, fromPlatform(component, "seed")})
	text = strings.Replace(text, "history: 2d", fmt.Sprintf("history: %dd", history), 1)
	w.write(t, strings.Replace(text, "path: store.db", fmt.Sprintf("url: %q", server.URL("postgres")), 1))
	if f := finish(t, nil, "check", "--config.file="+w.config); f.code != 1 ||
		!strings.Contains(f.stderr, `store.sealing_key_file: is missing; account "guest"`) {
		t.Errorf("check without a key: %+v", f)
	}
	w.write(t, strings.Replace(text, "path: store.db", fmt.Sprintf("url: %q\n  sealing_key_file: seal", server.URL("postgres")), 1))

	tokens := func(want int, after string) {
		t.Helper()
		if stable, exchanged := w.count("stable_token", shop.AppID), w.count("authorizer", guest.AppID); stable != want || exchanged != want {
			t.Errorf("after %s: %d tokens of the shop and %d exchanges for the guest; want %d of each", after, stable, exchanged, want)
		}
		if content, err := os.ReadFile(w.path("seed")); err == nil && string(content) != seed {
			t.Errorf("after %s: the file of the refresh token was changed", after)
		}
	}
	check := func(after string, want int) {
		t.Helper()
		if f := finish(t, nil, "check", "--config.file="+w.config, "--online"); f.code != 0 {
			t.Errorf("%s: %+v", after, f)
		}
		tokens(want, after)
	}
	check("a check before the first start", 1)
	first := serve(t, w.config)
	w.waitComplete(t, first.web, shop, guest)
	check("a check beside the exporter", 1)
	if f := w.backfill(t, 10); f.code != 0 || strings.Contains(f.stderr, "do not run another exporter") {
		t.Errorf("backfill: %+v", f)
	}
	tokens(1, "a backfill")
	first.kill(t)

	w.pass(2 * time.Hour) // the tokens are refused
	if err := os.Remove(w.path("seed")); err != nil {
		t.Fatal(err)
	}
	check("a check after the life of the tokens, without the file", 2)
	second := serve(t, w.config)
	w.waitComplete(t, second.web, shop, guest)
	check("a takeover", 2)
	second.stop(t, syscall.SIGTERM)

	w.put(t, "seal", strings.Repeat("cd", 32)+"\n"+strings.Repeat("ab", 32)+"\n")
	check("a change of the key", 2)
	w.put(t, "seal", strings.Repeat("ef", 32)+"\n")
	f := finish(t, nil, "check", "--config.file="+w.config, "--online", "--account=guest")
	if f.code != 1 || !strings.Contains(f.stdout+f.stderr, "sealed with a key that is not in "+w.path("seal")) ||
		!strings.Contains(f.stdout+f.stderr, "Add the key with which the token was sealed") {
		t.Errorf("with another key: %+v", f)
	}
	tokens(2, "a check with another key")
}
