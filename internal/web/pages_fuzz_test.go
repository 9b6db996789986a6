package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"weixin_exporter/internal/web"
)

// fuzzHandler returns the handler of a surface.
func fuzzHandler(f *testing.F, s *surface) http.Handler {
	f.Helper()
	h, err := web.NewHandler(s.options)
	if err != nil {
		f.Fatal(err)
	}
	return h
}

// FuzzPages: whatever a page is asked for, it has an answer, no element of its own making, and only links that stay here.
func FuzzPages(f *testing.F) {
	s, _ := newPages(f)
	h := fuzzHandler(f, s)
	paths := []string{"/", "/accounts/shop", "/accounts/", "/health", "/config", "/accounts/incident"}
	for i, query := range []string{
		"", "sort=callbacks&page=2", "q=shop&state=wrong&group=48001&lang=zh", "page=-1", "page=9999999999999999999", "date=2026-11-28", "date=2026-02-30",
		"format=csv&of=hours", "format=csv&of=years", "lang=de", "name=incident", "sort=%zz", "q=%ff%00",
	} {
		for at := range paths {
			f.Add(at+i*len(paths), query, "javascript:alert(1)//", "zh-CN,en;q=0.5")
		}
	}
	const marker = "<fuzz"
	f.Fuzz(func(t *testing.T, at int, query, text, languages string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, paths[uint(at)%uint(len(paths))], http.NoBody)
		hostile := url.Values{}
		for _, name := range []string{"q", "group", "state", "sort", "date", "name", "lang", "of", "format", "page"} {
			hostile.Set(name, marker+text) // behind what the query says, so that this counts only where it is silent
		}
		r.URL.RawQuery = query + "&" + hostile.Encode()
		r.Header.Set("Accept-Language", languages)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound && w.Code != http.StatusFound {
			t.Errorf("status %d", w.Code)
		}
		if place, err := url.Parse(w.Header().Get("Location")); err != nil || place.Scheme != "" || place.Host != "" {
			t.Errorf("leads to %v: %v", place, err)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			return
		}
		body := w.Body.String()
		if strings.Contains(body, marker) {
			t.Error("what was asked for became an element")
		}
		for _, link := range links(body) {
			if u, err := url.Parse(link); err != nil || u.Host != "" || u.Scheme != "" {
				t.Errorf("the link %q: %v", link, err)
			}
		}
	})
}

// FuzzReloadOrigin: a browser can cause a reload only from a page of this host; other programs need no headers.
func FuzzReloadOrigin(f *testing.F) {
	for _, origin := range []string{"", "null", "http://a.test", "http://a.test:80", "https://a.test", "http://b.test", "http://a.test@b.test", "http://a.test/", "//a.test", "a.test", "http://%zz"} {
		for _, site := range []string{"", "none", "same-origin", "same-site", "cross-site", "Same-Origin"} {
			f.Add(origin, site, "a.test")
		}
	}
	s := newSurface(f)
	h := fuzzHandler(f, s)
	f.Fuzz(func(t *testing.T, origin, site, host string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/-/reload", http.NoBody)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		before := s.reloads
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		allowed := site == "none" || site == "same-origin"
		if site == "" {
			u, err := url.Parse(origin)
			allowed = origin == "" || err == nil && u.Host == host
		}
		want := http.StatusForbidden
		if allowed {
			want = http.StatusOK
		}
		if w.Code != want || (s.reloads > before) != allowed {
			t.Errorf("status %d after %d reloads, want %d", w.Code, s.reloads-before, want)
		}
	})
}
