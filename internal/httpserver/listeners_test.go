package httpserver_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/httpserver"
)

// TestSeveralListeners: what is done to the http.Server of one listener does not concern the others, and when one of them fails, the others
// are closed, too.
func TestSeveralListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "|") })
		server := httpserver.New(t.Context(), httpserver.Options{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), Now: time.Now})
		listeners := []*pipeListener{newPipeListener(), newPipeListener()}
		over := make(chan error, 1)
		go func() {
			over <- server.Serve([]net.Listener{listeners[0], listeners[1]}, func(l net.Listener, one *http.Server) error {
				inner := one.Handler
				one.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "wrapped")
					inner.ServeHTTP(w, r)
				})
				return one.Serve(l)
			})
		}()
		for _, l := range listeners {
			c := l.dial()
			c.request("/")
			if _, body, err := c.response(); err != nil || body != "wrapped|" {
				t.Errorf("%q, %v", body, err)
			}
		}
		listeners[0].fail <- errors.New("no more descriptors")
		if err := <-over; err == nil || err.Error() != "no more descriptors" {
			t.Errorf("ended with %v", err)
		}
		if err := server.Serve([]net.Listener{newPipeListener()}, nil); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serves again: %v", err)
		}
	})
}

func TestDrain(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		unused, busy := f.listener.dial(), f.listener.dial()
		busy.request("/large")
		synctest.Wait()
		drained := make(chan error, 1)
		began := time.Now()
		go func() { drained <- f.server.Drain(t.Context()) }()
		wait(time.Second)
		if unused.request("/small") {
			t.Error("an unused connection delays the shutdown")
		}
		if _, body, err := busy.response(); len(body) != 1<<20 {
			t.Errorf("a running request was aborted: %v", err)
		}
		if err := <-drained; err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("ended after %v: %v", time.Since(began), err)
		}
		<-f.ended
	})
}

func TestDrainAborts(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		f.listener.dial().request("/large")
		synctest.Wait()
		began := time.Now()
		if err := f.server.Drain(t.Context()); err == nil {
			t.Error("no request was aborted")
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("after %v", took)
		}
		if err := <-f.ended; err == nil {
			t.Error("the client has its response")
		}
	})
}

// TestRequestsAfterTheEnd: a request that arrives when the server's context has ended, but its listeners are not closed yet, is refused.
func TestRequestsAfterTheEnd(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		f.end()
		c := f.listener.dial()
		c.request("/small")
		if code, body, err := c.response(); code != http.StatusServiceUnavailable || body != "" || err != nil {
			t.Errorf("status %d, %q, %v", code, body, err)
		}
		transport := f.http2()
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/small", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("status %d over HTTP/2", response.StatusCode)
		}
	})
}
