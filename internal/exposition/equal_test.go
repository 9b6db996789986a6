package exposition_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// headers returns the headers of a response that must be the same. Only this package sets Content-Length.
func headers(a response) map[string][]string {
	values := map[string][]string{}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Vary", "X-Content-Type-Options"} {
		values[name] = a.header.Values(name)
	}
	return values
}

// reordered returns a response of promhttp with the families of accounts before all others.
func reordered(t *testing.T, a response) string {
	t.Helper()
	ofAccounts := map[string]bool{}
	for _, f := range families.All() {
		ofAccounts[f.Name], ofAccounts[strings.TrimSuffix(f.Name, "_total")] = true, true
	}
	body, end := strings.CutSuffix(a.plain, "# EOF\n")
	var front, back strings.Builder
	for _, family := range split(t, a.header.Get("Content-Type"), body) {
		into := &back
		if ofAccounts[family.name] {
			into = &front
		}
		into.WriteString(family.text)
	}
	text := front.String() + back.String()
	if end {
		text += "# EOF\n"
	}
	return text
}

// named is a family in a response, with its name.
type named struct{ name, text string }

// split returns the families of a response, in order.
func split(t *testing.T, contentType, body string) []named {
	t.Helper()
	if strings.Contains(contentType, "encoding=delimited") {
		return delimited(t, body)
	}
	begin := regexp.MustCompile(`(?m)^# HELP (\S+)`)
	if strings.Contains(contentType, "protobuf") {
		begin = regexp.MustCompile(`(?m)^name:\s*"([^"]+)"`)
	}
	var families []named
	starts := begin.FindAllStringSubmatchIndex(body, -1)
	for i, start := range starts {
		end := len(body)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		families = append(families, named{body[start[2]:start[3]], body[start[0]:end]})
	}
	return families
}

func delimited(t *testing.T, body string) []named {
	t.Helper()
	var families []named
	for len(body) > 0 {
		size, n := protowire.ConsumeVarint([]byte(body))
		if n < 0 || uint64(n)+size > uint64(len(body)) {
			t.Fatalf("an invalid message after %d families", len(families))
		}
		var family dto.MetricFamily
		if err := proto.Unmarshal([]byte(body[n:uint64(n)+size]), &family); err != nil {
			t.Fatal(err)
		}
		families = append(families, named{family.GetName(), body[:uint64(n)+size]})
		body = body[uint64(n)+size:]
	}
	return families
}

// same compares a response with that of promhttp over one registry, and returns it.
func (f *fixture) same(t *testing.T, path string, with ...string) response {
	t.Helper()
	got, want := f.get(f.handler, path, with...), f.get(f.promhttp, path, with...)
	if got.status != http.StatusOK || want.status != http.StatusOK {
		t.Fatalf("status %d, want that of promhttp, %d, and 200", got.status, want.status)
	}
	if diff := cmp.Diff(headers(want), headers(got)); diff != "" {
		t.Errorf("headers (-promhttp +got):\n%s", diff)
	}
	want.plain = reordered(t, want)
	// The text format of protobuf has random white space.
	tidy := strings.NewReplacer(" ", "", "\n", "")
	random := strings.Contains(want.header.Get("Content-Type"), "text; escaping")
	if want.plain != got.plain && (!random || tidy.Replace(want.plain) != tidy.Replace(got.plain)) {
		t.Errorf("%s %q: body (-promhttp +got):\n%s", path, with, cmp.Diff(want.plain, got.plain))
	}
	return got
}

func snapshots() map[string]*snapshot.Snapshot {
	return map[string]*snapshot.Snapshot{
		"none":     nil,
		"empty":    {},
		"nothing":  {Accounts: []*snapshot.Account{{Name: "a", AppID: "wx1"}, {Name: "b", AppID: "wx2"}}},
		"awkward":  awkward(),
		"one hour": {Accounts: []*snapshot.Account{{Name: "a", AppID: "wx1", Hourly: &datacube.HourlyDay{Date: date}}}},
	}
}

func TestEqualsPromhttp(t *testing.T) {
	t.Parallel()
	for name, s := range snapshots() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, someLive()...)
			if s != nil {
				f.latest.Publish(s)
			}
			for _, accept := range []string{
				"", "*/*", asText, asOpenMetrics, "application/openmetrics-text", "application/openmetrics-text;version=0.0.1",
				"application/openmetrics-text;version=2.0.0", asProtobuf, "application/json",
				"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
				"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
				// The headers of Prometheus 2.42 and 3.
				"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
				"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.2,text/plain;version=0.0.4;q=0.3",
			} {
				f.same(t, "/metrics", "Accept", accept, "Accept-Encoding", "gzip")
				for _, escaping := range []string{"", "allow-utf-8", "underscores", "dots", "values", "bogus"} {
					with := accept
					if escaping != "" && accept != "" {
						with = strings.ReplaceAll(accept, ",", ";escaping="+escaping+",") + ";escaping=" + escaping
					}
					f.same(t, "/metrics", "Accept", with, "Accept-Encoding", "identity")
				}
			}
		})
	}
}

// The response is written in many parts.
func TestManyAccountsEqualPromhttp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(accounts(40, 1))
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		for _, encoding := range []string{"identity", "gzip"} {
			got := f.same(t, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
			if len(got.plain) < 3*(60<<10) { // it is written in parts of 60 KiB
				t.Errorf("%s: only %d bytes", accept, len(got.plain))
			}
		}
	}
}

func TestSomeFamilies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(awkward())
	for _, query := range []string{
		"name[]=weixin_store_known_dates", "name[]=a_level", "name[]=weixin_refresh_failures_total&name[]=weixin_times_seconds&name[]=no_such", "name[]=no_such", "name[]=",
	} {
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			for _, encoding := range []string{"identity", "gzip"} {
				got := f.same(t, "/metrics?"+query, "Accept", accept, "Accept-Encoding", encoding)
				if strings.Contains(got.plain, "weixin_account_info") {
					t.Errorf("%s has other families:\n%s", query, got.plain)
				}
			}
		}
	}
	f.same(t, "/metrics", "Accept-Encoding", "gzip") // the selection is not cached
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(awkward())
	compressed := 0
	for _, accepted := range []string{
		"", "gzip", "identity", "*", "br", "zstd", "gzip;q=0", "*;q=0", "gzip;q=0, *", "gzip;q=1.0", "gzip; q=0.5", "gzip;q=0.5, identity;q=0.5",
		"gzip;q=0.6, identity;q=0.5", "gzip;q=0.5, identity;q=0.6", "identity;q=0, gzip", "identity;q=0, *;q=0.5", "*;q=0.5, gzip", "*;q=0.5,gzip;q=0.4",
		"deflate, gzip;q=0.5, br", "zstd, gzip", "gzip;q=1.0, identity; q=0.5, *;q=0", "gzip;q=x", "br;q=x, gzip", "gzip;level=9",
	} {
		got := f.same(t, "/metrics", "Accept-Encoding", accepted)
		if got.header.Get("Content-Encoding") == "gzip" {
			compressed++
			if length := strconv.Itoa(len(got.body)); got.header.Get("Content-Length") != length {
				t.Errorf("%q: Content-Length %q, want %s", accepted, got.header.Get("Content-Length"), length)
			}
		}
	}
	if compressed == 0 {
		t.Error("nothing was ever compressed")
	}
	f.same(t, "/metrics", "Accept-Encoding", "br", "Accept-Encoding", "gzip")
	f.same(t, "/metrics")
}

func TestHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(awkward())
	server := f.over(t)
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		for _, encoding := range []string{"identity", "gzip"} {
			got := f.request(f.handler, http.MethodHead, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
			want := f.get(f.promhttp, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
			if diff := cmp.Diff(headers(want), headers(got)); got.status != http.StatusOK || diff != "" {
				t.Errorf("%s, %s: status %d, headers (-promhttp +got):\n%s", accept, encoding, got.status, diff)
			}
			if len(got.body) > 0 {
				t.Errorf("%s, %s: %d bytes", accept, encoding, len(got.body))
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+"/metrics", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", accept)
			r.Header.Set("Accept-Encoding", encoding)
			sent, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = sent.Body.Close()
			if sent.ContentLength == 0 {
				t.Errorf("%s, %s: HEAD has a Content-Length of 0", accept, encoding)
			}
		}
	}
}

// The live metrics of the program change, so only the names are compared.
func TestNamesEqualPromhttp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, programs()...)
	f.latest.Publish(accounts(3, 1))
	names := func(text string) []string {
		found := regexp.MustCompile(`(?m)^[^# ]+(?:\{.*\})? `).FindAllString(text, -1)
		slices.Sort(found)
		return found
	}
	for _, accept := range []string{asText, asOpenMetrics} {
		got, want := f.get(f.handler, "/metrics", "Accept", accept), f.get(f.promhttp, "/metrics", "Accept", accept)
		if diff := cmp.Diff(names(want.plain), names(got.plain)); diff != "" || len(names(got.plain)) < 100 {
			t.Errorf("%s: series (-promhttp +got):\n%s", accept, diff)
		}
	}
}

// FuzzAccount compares the rendering of any name and figures with that of expfmt.
func FuzzAccount(f *testing.F) {
	for _, a := range awkward().Accounts {
		f.Add(a.Name, a.AppID, int64(3), int64(17), int64(1_000_001), int64(-5))
	}
	f.Add("\r\t\v\x00", "\u2028", int64(1)<<62, int64(-1)<<63, int64(999_999_999), int64(1001))
	f.Fuzz(func(t *testing.T, name, appID string, callbacks, failures, millis, longest int64) {
		if !utf8.ValidString(name) || !utf8.ValidString(appID) {
			t.Skip("the configuration is UTF-8")
		}
		figures := datacube.Figures{Callbacks: callbacks, Failures: failures, TimeCostMillis: millis, MaxTimeCostMillis: longest}
		a := &snapshot.Account{Name: name, AppID: appID, Daily: &datacube.Day{Date: date, Figures: figures}, Hourly: &datacube.HourlyDay{Date: date}}
		a.Hourly.Hours[7] = figures
		f := newFixture(t)
		f.latest.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{a}})
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			got, want := f.get(f.handler, "/metrics", "Accept", accept), f.get(f.promhttp, "/metrics", "Accept", accept)
			if got.plain != want.plain {
				t.Errorf("(-promhttp +got):\n%s", cmp.Diff(want.plain, got.plain))
			}
		}
	})
}
