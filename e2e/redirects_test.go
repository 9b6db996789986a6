package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// The exporter never follows a redirect: credentials would be sent along. The log names the target.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer elsewhere.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/there?key=sim-secret-query", http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	fine, club := newAccount("shop", 1, 500), newAccount("club", 2, 500)
	w := newFixture(t, fine, club)
	w.write(t, w.list(sourced{fine, "app_secret: " + fine.AppSecret}, sourced{club, fromURL(redirecting.URL + "/token?key=sim-secret-own")})+
		fmt.Sprintf(`remote_write:
  - {url: %q, name: headers, headers: {X-Api-Key: sim-secret-header}}
  - {url: %q, name: basic, basic_auth: {username: u, password: sim-secret-basic}}
  - {url: "http://127.0.0.1:9/", name: token, oauth2: {client_id: id, client_secret: sim-secret-client, token_url: %q}}
`, redirecting.URL+"/write", redirecting.URL+"/write", redirecting.URL+"/oauth2"))
	x := serve(t, w.config)
	message := "the server redirects to " + elsewhere.URL + "/there; redirects are not followed"
	x.logged(t, "account=club", "refresh failed", "reason=token", message)
	for _, endpoint := range []string{"(headers)", "(basic)", "endpoint=127.0.0.1:9/"} {
		x.logged(t, "level=error", "remote write is failing", endpoint, message)
	}
	x.logged(t, "getting an OAuth2 token: HTTP status 307")
	w.waitFigures(t, x.web, fine)
	if n := seen.Load(); n > 0 {
		t.Errorf("the other server saw %d requests", n)
	}

	// The same for Weixin itself.
	x.stop(t, syscall.SIGTERM)
	w.write(t, strings.ReplaceAll(w.yaml(fine), w.url, redirecting.URL+"/weixin"))
	x = serve(t, w.config)
	x.logged(t, "account=shop", "refresh failed", message)
	if n := seen.Load(); n > 0 {
		t.Errorf("the other server saw %d requests", n)
	}
}
