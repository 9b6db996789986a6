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

// Whatever the exporter calls, it follows no redirect: credentials would go along. The log names the address.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	defer elsewhere.Close()
	leads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/there?key=sim-secret-query", http.StatusTemporaryRedirect)
	}))
	defer leads.Close()
	fine, club := newAccount("shop", 1, 500), newAccount("club", 2, 500)
	w := newWorld(t, fine, club)
	w.write(t, w.list(sourced{fine, "app_secret: " + fine.AppSecret}, sourced{club, fromURL(leads.URL + "/token?key=sim-secret-own")})+
		fmt.Sprintf(`remote_write:
  - {url: %q, name: headers, headers: {X-Api-Key: sim-secret-header}}
  - {url: %q, name: basic, basic_auth: {username: u, password: sim-secret-basic}}
  - {url: "http://127.0.0.1:9/", name: token, oauth2: {client_id: id, client_secret: sim-secret-client, token_url: %q}}
`, leads.URL+"/write", leads.URL+"/write", leads.URL+"/oauth2"))
	x := serve(t, w.config)
	told := "the server redirects to " + elsewhere.URL + "/there; redirects are not followed"
	x.logged(t, "account=club", "refresh failed", "reason=token", told)
	for _, endpoint := range []string{"(headers)", "(basic)", "endpoint=127.0.0.1:9/"} {
		x.logged(t, "level=error", "remote write is failing", endpoint, told)
	}
	x.logged(t, "getting an OAuth2 token: HTTP status 307")
	w.waitFigures(t, x.web, fine)
	if n := seen.Load(); n > 0 {
		t.Errorf("the other server saw %d requests", n)
	}

	// The same of Weixin itself.
	x.stop(t, syscall.SIGTERM)
	w.write(t, strings.ReplaceAll(w.yaml(fine), w.url, leads.URL+"/weixin"))
	x = serve(t, w.config)
	x.logged(t, "account=shop", "refresh failed", told)
	if n := seen.Load(); n > 0 {
		t.Errorf("the other server saw %d requests", n)
	}
}
