package web_test

import (
	"net/http"
	"net/http/httptest"
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
