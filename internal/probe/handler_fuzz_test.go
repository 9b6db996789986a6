package probe_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/secret"
)

// FuzzProbe: whatever is to be probed, only the callback of the one account that is named gets a request, and no answer
// has its token or key.
func FuzzProbe(f *testing.F) {
	for _, query := range []string{
		"", "account=shop", "account=shop&debug=true", "account=shop&account=news", "account=news", "target=http://127.0.0.1/", "account=shop&target=",
		"account=%zz", "account=shop;debug=true", "account=http://127.0.0.1/", "account=Shop", "account=shop%00",
	} {
		f.Add(query, "10")
	}
	for _, timeout := range []string{"", "0", "-1", "NaN", "+Inf", "1e400", "0.5", "0x1p3", " 5"} {
		f.Add("account=shop", timeout)
	}
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	f.Cleanup(s.Close)
	target := probe.Target{URL: secret.NewURL(s.URL + "/callback"), Token: given(token), Key: given(aesKey), Shown: func() string { return "url: shown\n" }}
	prober := probe.New(probe.Options{Now: time.Now, UserAgent: "weixin_exporter/test"})
	prober.ApplyConfig([]probe.Account{{Name: "shop", Target: &target}, {Name: "news"}})
	f.Fuzz(func(t *testing.T, query, timeout string) {
		requests.Store(0)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/probe", http.NoBody)
		r.URL.RawQuery = query
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
		w := httptest.NewRecorder()
		prober.ServeProbe(w, r)
		values, err := url.ParseQuery(query)
		named := err == nil && len(values["account"]) == 1 && !values.Has("target")
		switch {
		case w.Code == http.StatusOK && (!named || values.Get("account") != "shop"), w.Code != http.StatusOK && requests.Load() > 0:
			t.Errorf("status %d after %d requests", w.Code, requests.Load())
		case w.Code == http.StatusNotFound && (!named || values.Get("account") == "shop"):
			t.Error("the account was not found")
		case w.Code != http.StatusOK && w.Code != http.StatusNotFound && w.Code != http.StatusBadRequest:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		for _, hidden := range []string{token, aesKey} {
			if strings.Contains(w.Body.String(), hidden) && !strings.Contains(query+timeout, hidden) {
				t.Error("the answer has a secret")
			}
		}
	})
}
