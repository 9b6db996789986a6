package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// There are as many connections to Weixin as workers, not one for each call. While a connection is opened another
// may become idle, so there can be a few more.
func TestWorkersKeepTheirConnections(t *testing.T) {
	const workers = 8 // of the settings
	var accounts []account
	for i := range 2 * workers {
		accounts = append(accounts, newAccount(fmt.Sprintf("account%02d", i), 100+i, 1000))
	}
	w := newFixture(t, accounts...)
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(w.sim)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	w.url = server.URL
	w.write(t, w.yaml(accounts...))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, accounts...)
	if calls := len(w.sim.Calls()); calls < 20*2*workers {
		t.Fatalf("only %d calls", calls)
	}
	if n := opened.Load(); n < 2 || n > 2*workers {
		t.Errorf("%d connections for %d calls by %d workers", n, len(w.sim.Calls()), workers)
	}
}
