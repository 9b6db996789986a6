package exposition_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weixin_exporter/internal/exposition"
)

// FuzzQuery: whatever a scrape asks for, it is refused, or has the form that promhttp chooses and a canonical shard.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "shard=1/1", "shard=2/8", "shard=02/8", "shard=9/8", "shard=1/101", "shard=1/8&shard=2/8", "shard=%zz", "name[]=go_goroutines", "name[]=a;b", "shards=8", "shards=0x8", strings.Repeat("name[]=a&", 201)} {
		f.Add(query, "text/plain;version=0.0.4", "gzip", "localhost:9988")
	}
	f.Add("", asProtobuf, "gzip;q=0.5, identity;q=0.1", "[::1]:9988")
	f.Add("", asOpenMetrics+";q=0.3,*/*;q=nan", "br, gzip;q=0", "a\"b")
	x := newFixture(f, someLive()...)
	x.latest.Publish(accounts(3, 1))
	chosen := promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{EnableOpenMetrics: true}) // with nothing to gather
	discovery := exposition.Discovery(nil)
	canonical := regexp.MustCompile(`^([1-9]\d?|100)/([1-9]\d?|100)$`)
	f.Fuzz(func(t *testing.T, query, accept, encoding, host string) {
		request := func(path string) *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			r.URL.RawQuery, r.Host = query, host
			r.Header.Set("Accept", accept)
			r.Header.Set("Accept-Encoding", encoding)
			return r
		}
		values, invalid := url.ParseQuery(query)
		got := httptest.NewRecorder()
		x.handler.ServeHTTP(got, request("/metrics"))
		shards, sharded := values["shard"]
		switch {
		case got.Code != http.StatusOK && got.Code != http.StatusBadRequest:
			t.Errorf("status %d", got.Code)
		case got.Code == http.StatusOK && (invalid != nil || len(values["name[]"]) > 200 || sharded && (len(shards) != 1 || !canonical.MatchString(shards[0]))):
			t.Errorf("%q is served", query)
		case got.Code == http.StatusBadRequest && invalid == nil && !sharded && len(values["name[]"]) <= 200:
			t.Errorf("%q is refused", query)
		case got.Code == http.StatusOK:
			want := httptest.NewRecorder()
			r := request("/metrics")
			r.URL.RawQuery = ""
			chosen.ServeHTTP(want, r)
			if got.Header().Get("Content-Type") != want.Header().Get("Content-Type") {
				t.Errorf("Accept: %q: %s, not %s", accept, got.Header().Get("Content-Type"), want.Header().Get("Content-Type"))
			}
		}
		found := httptest.NewRecorder()
		discovery.ServeHTTP(found, request("/sd"))
		if found.Code == http.StatusBadRequest {
			return
		}
		var groups []struct{ Targets []string }
		if err := json.Unmarshal(found.Body.Bytes(), &groups); err != nil || len(groups) < 1 || len(groups) > 100 {
			t.Errorf("%q: %d groups: %v", query, len(groups), err)
		}
	})
}
