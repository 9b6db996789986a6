package httpserver_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
)

// A connection whose requests all work takes at most half of the places for its further requests, and closes no other.
func TestFurtherRequestsOfAConnection(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		const limit, asked = 10, 20
		f.server.LimitConnections(limit)
		waiting := f.listener.dial()
		waiting.request("/large")
		synctest.Wait()

		transport := &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return f.listener.dial().Conn, nil },
			Protocols:   &http.Protocols{},
		}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		var all sync.WaitGroup
		statuses := make(chan int, asked)
		get := func() {
			all.Go(func() {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/work", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				_ = response.Body.Close()
				statuses <- response.StatusCode
			})
			synctest.Wait()
		}
		for range asked {
			get()
		}
		another := f.listener.dial()
		another.request("/small")
		if code, _, err := another.response(); code != http.StatusOK {
			t.Errorf("another connection: %d, %v", code, err)
		}
		if code, body, err := waiting.response(); code != http.StatusOK || len(body) != 1<<20 {
			t.Errorf("the connection that waits for its client was closed after %d bytes: %v", len(body), err)
		}
		close(f.work)
		all.Wait()
		close(statuses)
		counts := map[int]int{}
		for status := range statuses {
			counts[status]++
		}
		if counts[http.StatusOK] != 1+limit/2 || counts[http.StatusServiceUnavailable] != asked-1-limit/2 {
			t.Errorf("statuses %v", counts)
		}
	})
}
