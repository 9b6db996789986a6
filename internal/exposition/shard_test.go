package exposition_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"weixin_exporter/internal/exposition"
)

// lines returns the set of the samples in a response.
func lines(t *testing.T, a response) map[string]bool {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.plain)
	}
	set := map[string]bool{}
	if strings.Contains(a.header.Get("Content-Type"), "protobuf") {
		decoder := expfmt.NewDecoder(strings.NewReader(a.plain), expfmt.ResponseFormat(a.header))
		for {
			var f dto.MetricFamily
			if decoder.Decode(&f) != nil {
				return set
			}
			for _, m := range f.GetMetric() {
				set[f.GetName()+m.String()] = true
			}
		}
	}
	for line := range strings.Lines(a.plain) {
		if !strings.HasPrefix(line, "#") {
			set[line] = true
		}
	}
	return set
}

func TestShardsAreComplete(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		for _, encoding := range []string{"identity", "gzip"} {
			f.latest.Publish(accounts(24, 1))
			want := lines(t, f.get(f.handler, "/metrics", "Accept", accept, "Accept-Encoding", encoding))
			got := map[string]bool{}
			for i := range 8 {
				part := f.get(f.handler, fmt.Sprintf("/metrics?shard=%d/8", i+1), "Accept", accept, "Accept-Encoding", encoding)
				ofAccounts := false
				for line := range lines(t, part) {
					if got[line] {
						t.Errorf("%s is in two shards", line)
					}
					got[line] = true
					ofAccounts = ofAccounts || strings.HasPrefix(line, "weixin_account_info")
					if strings.HasPrefix(line, "a_level") && i > 0 {
						t.Errorf("%s is in shard %d", line, i+1)
					}
				}
				if !ofAccounts {
					t.Errorf("no account is in shard %d", i+1)
				}
				if accept == asOpenMetrics && !strings.HasSuffix(part.plain, "\n# EOF\n") {
					t.Errorf("shard %d does not end with # EOF", i+1)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s (-all +shards):\n%s", accept, encoding, diff)
			}
		}
	}
	if f.get(f.handler, "/metrics?shard=1/1").plain != f.get(f.handler, "/metrics").plain {
		t.Error("the only shard is not complete")
	}
}

// An account stays in its shard, whatever other accounts there are, and in every version.
func TestAnAccountStaysInItsShard(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.latest.Publish(awkward())
	for name, want := range map[string]int{`account=""`: 2, `account="\"quoted\"`: 1, `account="a=`: 3, `account="客服号 🎉"`: 2} {
		found := 0
		for n := range 8 {
			if strings.Contains(f.get(f.handler, fmt.Sprintf("/metrics?shard=%d/8", n+1)).plain, "weixin_account_info{"+name) {
				found = n + 1
			}
		}
		if found != want {
			t.Errorf("%s is in shard %d of 8, want %d", name, found, want)
		}
	}
}

// Where an account is in the snapshot is kept for each generation. Accounts that a reload adds or removes change it.
func TestShardsFollowTheGeneration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for generation, count := range []int{24, 30, 7, 7} {
		s := accounts(count, 1)
		s.Generation = uint64(generation + 1)
		f.latest.Publish(s)
		want := lines(t, f.get(f.handler, "/metrics", "Accept-Encoding", "identity"))
		for _, shards := range []int{3, 5} { // of the second number nothing is cached
			got := map[string]bool{}
			for i := range shards {
				maps.Copy(got, lines(t, f.get(f.handler, fmt.Sprintf("/metrics?shard=%d/%d", i+1, shards), "Accept-Encoding", "gzip")))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("generation %d, %d shards (-whole +shards):\n%s", generation+1, shards, diff)
			}
		}
	}
}

func TestInvalidShards(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(awkward())
	for _, query := range []string{
		"shard=", "shard=1", "shard=0/8", "shard=9/8", "shard=-1/8", "shard=+1/8", "shard=01/8", "shard=1/8/2", "shard=1/101", "shard=1/99999999999999999999",
		"shard=a/b", "shard=1/0", "shard=1/8&shard=2/8", "shard=2%208",
	} {
		for _, accept := range []string{asText, asProtobuf} {
			got := f.get(f.handler, "/metrics?"+query, "Accept", accept, "Accept-Encoding", "gzip")
			if got.status != http.StatusBadRequest || !strings.Contains(got.plain, "use shard=2/8") || !strings.Contains(got.plain, "100") || strings.Contains(got.plain, "[") {
				t.Errorf("%s: %d %q", query, got.status, got.plain)
			}
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	type group struct {
		Targets []string
		Labels  map[string]string
	}
	h := exposition.Discovery(nil)
	for _, metrics := range []*url.URL{nil, {Scheme: "https", Host: "proxy.example", Path: "/weixin/statistics"}} {
		host, labels := "weixin.example:9988", map[string]string{} // scheme and path are those of the job
		if metrics != nil {
			host, labels = "proxy.example", map[string]string{"__scheme__": "https", "__metrics_path__": "/weixin/statistics"}
		}
		for _, shards := range []int{1, 8, 100} {
			got := f.get(exposition.Discovery(metrics), fmt.Sprintf("http://weixin.example:9988/sd?shards=%d", shards))
			var groups, want []group
			if err := json.Unmarshal(got.body, &groups); err != nil {
				t.Fatalf("%v: %s", err, got.body)
			}
			for i := range shards {
				shard := fmt.Sprintf("%d/%d", i+1, shards)
				all := maps.Clone(labels)
				all["__param_shard"], all["shard"] = shard, shard
				want = append(want, group{[]string{host}, all})
			}
			if diff := cmp.Diff(want, groups); diff != "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%v, %d shards, Content-Type %q (-want +got):\n%s", metrics, shards, got.header.Get("Content-Type"), diff)
			}
		}
	}
	for _, query := range []string{"", "?shards=", "?shards=0", "?shards=101", "?shards=-1", "?shards=08", "?shards=%2B8", "?shards=eight", "?shards=8&shards=9", "?shard=8"} {
		if got := f.get(h, "http://weixin.example/sd"+query); got.status != http.StatusBadRequest || !strings.Contains(got.plain, "?shards=8") || !strings.Contains(got.plain, "100") || strings.Contains(got.plain, "[") {
			t.Errorf("%s: %d %q", query, got.status, got.plain)
		}
	}
	if got := f.get(hostless(h), "http://weixin.example/sd?shards=8"); got.status != http.StatusBadRequest || !strings.Contains(got.plain, "host and port") {
		t.Errorf("without a host: %d %q", got.status, got.plain)
	}
}

// hostless serves requests without a host, as in HTTP/1.0.
func hostless(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = ""
		h.ServeHTTP(w, r)
	})
}

// Invalid queries are not treated as queries without parameters, which are for everything.
func TestInvalidQueries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(awkward())
	for _, query := range []string{"shard=%zz", "shard=1/8;", "shard=1/8;name[]=up", "name%5B%5D=%", "%zz"} {
		for name, h := range map[string]http.Handler{"/metrics": f.handler, "/sd": exposition.Discovery(nil)} {
			for _, accept := range []string{asText, asProtobuf} {
				got := f.get(h, "http://weixin.example"+name+"?shards=8&"+query, "Accept", accept)
				if got.status != http.StatusBadRequest || !strings.Contains(got.plain, "the query of the URL is invalid") {
					t.Errorf("%s?%s: %d %q", name, query, got.status, got.plain)
				}
			}
		}
	}
}
