package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/web"
)

// TestPagesAreBounded: so many requests of a page are answered at a time, further ones wait, and
// health does not.
func TestPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSurface(t)
		hold := make(chan struct{})
		s.options.Config = func() ([]byte, error) { <-hold; return []byte("accounts: []\n"), nil }
		h, err := web.NewHandler(s.options)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
			return w
		}
		answers := make(chan int, 5)
		for range 4 {
			go func() { answers <- ask("/config").Code }()
		}
		synctest.Wait()
		began := time.Now()
		if code := ask("/config").Code; code != http.StatusServiceUnavailable || time.Since(began) != 10*time.Second {
			t.Errorf("status %d after %v, want 503 after ten seconds", code, time.Since(began))
		}
		if code := ask("/-/healthy").Code; code != http.StatusOK {
			t.Errorf("/-/healthy answers %d meanwhile", code)
		}
		go func() { answers <- ask("/config").Code }()
		synctest.Wait()
		close(hold)
		for range 5 {
			if code := <-answers; code != http.StatusOK {
				t.Errorf("status %d of a request that had its turn", code)
			}
		}
	})
}

// TestPagesAfterTheEnd: a page is not made once the context has ended, as it has when the exporter stops, and the client sees that.
func TestPagesAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newSurface(t)
	h, err := web.NewHandler(s.options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/config", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || w.Body.Len() > 0 {
		t.Errorf("status %d, %q", w.Code, w.Body)
	}
}

// blocked is a client that reads nothing until its connection breaks.
type blocked struct {
	*httptest.ResponseRecorder

	reached chan<- int // the number of bytes of a write
	broken  chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	b.reached <- len(p)
	<-b.broken
	return 0, os.ErrDeadlineExceeded
}

// SetWriteDeadline breaks the connection: the time has passed in any case.
func (b *blocked) SetWriteDeadline(time.Time) error {
	close(b.broken)
	return nil
}

// askBlocked requests /config for a client that does not read, and returns it once the answer reaches it. aborted receives
// whether the answer was aborted in the end.
func askBlocked(t *testing.T, h http.Handler, aborted chan<- bool) *blocked {
	t.Helper()
	reached := make(chan int, 1)
	b := &blocked{httptest.NewRecorder(), reached, make(chan struct{})}
	go func() {
		defer func() { aborted <- recover() == http.ErrAbortHandler }() //nolint:errorlint // it is that value
		h.ServeHTTP(b, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/config", http.NoBody))
	}()
	<-reached
	return b
}

// TestClientsThatDoNotReadPages: more of them than there are turns keep no one from a page.
func TestClientsThatDoNotReadPages(t *testing.T) {
	t.Parallel()
	s := newSurface(t)
	s.options.Config = func() ([]byte, error) { return []byte("accounts: []\n"), nil }
	h, err := web.NewHandler(s.options)
	if err != nil {
		t.Fatal(err)
	}
	const clients = 20
	aborted := make(chan bool, clients)
	var waiting []*blocked
	for range clients {
		waiting = append(waiting, askBlocked(t, h, aborted))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/config", http.NoBody))
	if w.Code != http.StatusOK || w.Body.Len() == 0 {
		t.Errorf("another client: %d %q", w.Code, w.Body)
	}
	for _, b := range waiting {
		close(b.broken)
	}
	for range clients {
		if <-aborted {
			t.Error("a small answer was aborted")
		}
	}
}

// TestPagesThatAreNotReadAreBounded: beyond 8 MB the oldest answer that is being sent is aborted.
func TestPagesThatAreNotReadAreBounded(t *testing.T) {
	t.Parallel()
	s := newSurface(t)
	s.options.Config = func() ([]byte, error) { return make([]byte, 3<<20), nil }
	h, err := web.NewHandler(s.options)
	if err != nil {
		t.Fatal(err)
	}
	first, others := make(chan bool, 1), make(chan bool, 3)
	askBlocked(t, h, first)
	waiting := []*blocked{askBlocked(t, h, others), askBlocked(t, h, others)}
	if !<-first {
		t.Error("the first answer has ended as if it were whole")
	}
	for _, b := range waiting {
		close(b.broken)
	}
	for range waiting {
		if <-others {
			t.Error("a further answer was aborted")
		}
	}
}
