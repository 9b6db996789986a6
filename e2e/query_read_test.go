package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// Each Prometheus reads the history remotely, in both forms of the response, and evaluates queries to the same as the
// exporter itself.
func TestPrometheusReadsRemotely(t *testing.T) {
	t.Parallel()
	binaries := map[string]string{"usual": program(t, "PROMETHEUS", "prometheus")}
	if os.Getenv("PROMETHEUS3") != "" {
		binaries["later"] = program(t, "PROMETHEUS3", "prometheus3")
	}
	w := newQueryWorld(t)
	x := serve(t, w.config)
	x.waitReady(t)
	samples := newReadProxy(t, x.base, true)
	chunks := newReadProxy(t, x.base, false)
	for name, binary := range binaries {
		for form, proxy := range map[string]*readProxy{"samples": samples, "chunks": chunks} {
			t.Run(name+"/"+form, func(t *testing.T) {
				t.Parallel()
				p := remoteReader(t, binary, proxy.URL)
				w.compareRead(t, x.web, p)
			})
		}
	}
	t.Cleanup(func() {
		for form, proxy := range map[string]*readProxy{"samples": samples, "chunks": chunks} {
			if n, least := proxy.requests.Load(), int64(20*len(binaries)); n < least {
				t.Errorf("%s were read %d times, want %d or more", form, n, least)
			}
		}
	})
}

// A day that is revised while exporter and Prometheus are running shows at once.
func TestARevisedDayShowsAtOnce(t *testing.T) {
	t.Parallel()
	binary := program(t, "PROMETHEUS", "prometheus")
	w := newQueryWorld(t)
	x := serve(t, w.config)
	x.waitReady(t)
	w.reviseDay(t, x.web, remoteReader(t, binary, x.base.String()))
}

// compareRead compares what a Prometheus evaluates with the exporter's own results. The ranges are such that the versions of
// Prometheus agree on their bounds.
func (w *queryWorld) compareRead(t *testing.T, x web, p prometheus) {
	t.Helper()
	midnight := datacube.DateOf(w.now).Start()
	found := 0
	for _, q := range []string{
		"weixin_history_daily_callbacks", `{__name__=~"weixin_history_.+",account=~"b.+"}`, "sum by (account) (sum_over_time(weixin_history_hourly_callbacks[23h59m]))",
		"last_over_time(weixin_history_hourly_failures[59m] offset 3h)", "max(max_over_time(weixin_history_daily_max_time_cost_seconds[28d23h]))",
		"weixin_history_daily_failures / weixin_history_daily_callbacks", "topk(2, last_over_time(weixin_history_daily_callbacks[3d]))",
	} {
		found += compareAt(t, x, p, q, midnight)
		found += compareRange(t, x, p, q, midnight.AddDate(0, 0, -30), midnight, 24*time.Hour)
		found += compareRange(t, x, p, q, midnight.Add(-30*time.Hour), midnight, 10*time.Minute)
	}
	if found < 80 {
		t.Errorf("%d elements were found", found)
	}
	if got := p.query(t, `count({__name__=~"weixin_interface_.+"})`); len(got) > 0 {
		t.Errorf("the gauges were read, too: %v", got)
	}
	for _, q := range []string{`{__name__=~"weixin_history_daily_callbacks"}`, "weixin_history_hourly_callbacks"} {
		path := "/api/v1/series?" + url.Values{"match[]": {q}, "start": {unixSeconds(midnight.AddDate(0, 0, -3))}, "end": {unixSeconds(midnight)}}.Encode()
		if got, want := p.get(t, path).body, x.get(t, path).body; got != want {
			t.Errorf("series %s: %s, want %s", q, got, want)
		}
	}
}

// reviseDay changes a day while exporter and Prometheus are running.
func (w *queryWorld) reviseDay(t *testing.T, x web, p prometheus) {
	t.Helper()
	i := len(w.days["shop"]) - 1
	for w.days["shop"][i].api != datacube.Daily || w.days["shop"][i].hours[0].Callbacks == 0 {
		i--
	}
	d := w.days["shop"][i]
	at := url.QueryEscape("weixin_history_daily_callbacks{account=\"shop\"}") + "&time=" + unixSeconds(d.date.End())
	value := func(w web) string {
		_, text, _ := strings.Cut(w.get(t, "/api/v1/query?query="+at).body, `"value":[`)
		return text
	}
	if before := value(x); !strings.Contains(before, fmt.Sprintf(`"%d"`, d.hours[0].Callbacks)) || value(p.web) != before {
		t.Errorf("before: %s, in Prometheus %s", before, value(p.web))
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(filepath.Dir(w.config), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.hours[0].Callbacks += 12345
	if _, err := s.Save(t.Context(), []store.Record{d.record(queryAppID(2))}); err != nil {
		t.Fatal(err)
	}
	if after := value(x); !strings.Contains(after, fmt.Sprintf(`"%d"`, d.hours[0].Callbacks)) || value(p.web) != after {
		t.Errorf("after: %s, in Prometheus %s", after, value(p.web))
	}
}

// remoteReader starts a Prometheus that has nothing itself.
func remoteReader(t *testing.T, binary, exporter string) prometheus {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	writeFile(t, file, fmt.Sprintf(`
global: {external_labels: {replica: a}}
remote_read:
  - url: %s/api/v1/read?prefix=weixin_history_
    read_recent: true
    filter_external_labels: false
`, exporter))
	server := start(t, binary, "--config.file="+file, "--storage.tsdb.path="+dataFolder(t), "--web.listen-address=127.0.0.1:0")
	p := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: server.listensOn(t)})}
	p.waitReady(t)
	return p
}

// readProxy stands before an exporter and counts what is read.
type readProxy struct {
	*httptest.Server

	requests atomic.Int64
}

// newReadProxy starts a proxy. With old it makes requests those of a Prometheus that does not know chunks.
func newReadProxy(t *testing.T, to *url.URL, old bool) *readProxy {
	t.Helper()
	p := &readProxy{}
	forward := httputil.NewSingleHostReverseProxy(to)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		body, err := io.ReadAll(r.Body) // a response that begins before the body has ended would end its forwarding
		if err == nil && old {
			body, err = withoutChunks(body)
		}
		if err != nil {
			t.Error(err)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func withoutChunks(compressed []byte) ([]byte, error) {
	plain, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, err
	}
	var request prompb.ReadRequest
	if err := request.Unmarshal(plain); err != nil {
		return nil, err
	}
	request.AcceptedResponseTypes = nil
	if plain, err = request.Marshal(); err != nil {
		return nil, err
	}
	return snappy.Encode(nil, plain), nil
}

// promtool queries the exporter.
func TestPromtoolQueries(t *testing.T) {
	t.Parallel()
	promtool := program(t, "PROMTOOL", "promtool")
	w := newQueryWorld(t)
	x := serve(t, w.config)
	x.waitReady(t)
	midnight := datacube.DateOf(w.now).Start()
	from, to := unixSeconds(midnight.AddDate(0, 0, -30)), unixSeconds(midnight)
	const shop = `weixin_history_daily_callbacks{account="shop"}`
	for _, c := range []struct {
		args  []string
		lines int // at least
		part  string
	}{
		{[]string{"instant", "--time=" + to, x.base.String(), "count(last_over_time(weixin_history_daily_callbacks[3d]))"}, 1, "{} => 4 @["},
		{[]string{"range", "--start=" + from, "--end=" + to, "--step=24h", x.base.String(), shop}, 15, "weixin_history_daily_callbacks{account=\"shop\"} =>"},
		{[]string{"series", "--match=" + shop, "--match=weixin_account_info", x.base.String()}, 5, `{__name__="weixin_history_daily_callbacks", account="shop"}`},
		{[]string{"labels", x.base.String(), "account"}, 4, "shop"},
		{[]string{"labels", x.base.String(), "__name__"}, 21, "weixin_interface_hourly_callbacks"},
	} {
		out, err := exec.CommandContext(t.Context(), promtool, append([]string{"query"}, c.args...)...).CombinedOutput()
		text := strings.TrimSpace(string(out))
		if err != nil || strings.Count(text, "\n")+1 < c.lines || !strings.Contains(text, c.part) {
			t.Errorf("promtool query %q: %v: %s", c.args, err, text)
		}
	}
}

// vmctl copies the history into a VictoriaMetrics by remote read, in both forms of the response.
func TestVmctlReadsRemotely(t *testing.T) {
	t.Parallel()
	if os.Getenv("VMCTL") == "" {
		t.Skip("this test needs a vmctl with the command remote-read, 1.89 or later; name it with $VMCTL")
	}
	vmctl := program(t, "VMCTL", "vmctl")
	w := newQueryWorld(t)
	x := serve(t, w.config)
	x.waitReady(t)
	midnight := datacube.DateOf(w.now).Start()
	from := midnight.AddDate(0, 0, -60)
	for name, args := range map[string][]string{"samples": nil, "chunks": {"--remote-read-use-stream"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm := victoriaMetrics(t)
			args := append([]string{
				"remote-read", "-s", "--disable-progress-bar", "--remote-read-src-addr=" + x.base.String(), "--remote-read-step-interval=month",
				"--remote-read-filter-time-start=" + from.Format(time.RFC3339), "--remote-read-filter-time-end=" + midnight.Add(time.Hour).Format(time.RFC3339),
				"--remote-read-filter-label=__name__", "--remote-read-filter-label-value=weixin_history_.+", "--vm-addr=" + vm.base.String(),
			}, args...)
			if out, err := exec.CommandContext(t.Context(), vmctl, args...).CombinedOutput(); err != nil {
				t.Fatalf("vmctl: %v\n%s", err, out)
			}
			want := map[string]float64{}
			for _, r := range w.names {
				for _, d := range w.days[r] {
					if end := d.date.End(); end.After(from) && d.api == datacube.Daily {
						want[r] += float64(d.hours[0].Callbacks)
					}
				}
			}
			eventually(t, "what vmctl has copied", func() error {
				got := prometheus{vm.web}.byAccount(t, fmt.Sprintf("sum_over_time(weixin_history_daily_callbacks[60d] @ %d)", midnight.Unix()))
				if !maps.Equal(got, want) {
					return fmt.Errorf("%v, want %v", got, want)
				}
				return nil
			})
		})
	}
}
