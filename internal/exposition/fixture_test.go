package exposition_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weixin_exporter/collector"
	"weixin_exporter/internal/exposition"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Accept headers of scrapers.
const (
	asText        = "text/plain;version=0.0.4"
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

const date datacube.Date = 20521

// accounts returns accounts with traffic in each hour. The same arguments give the same accounts.
func accounts(n int, seed uint64) *snapshot.Snapshot {
	random := rand.New(rand.NewPCG(seed, 2))
	figures := func() datacube.Figures {
		callbacks := random.Int64N(3000)
		return datacube.Figures{
			Callbacks: callbacks, Failures: random.Int64N(callbacks/100 + 1),
			TimeCostMillis: callbacks * (50 + random.Int64N(100)), MaxTimeCostMillis: 100 + random.Int64N(4900),
		}
	}
	s := &snapshot.Snapshot{}
	for i := range n {
		a := &snapshot.Account{
			Name: fmt.Sprintf("account-%05d", i), AppID: fmt.Sprintf("wx%016x", i),
			Daily: &datacube.Day{Date: date, Figures: figures()}, Hourly: &datacube.HourlyDay{Date: date},
		}
		for hour := range a.Hourly.Hours {
			a.Hourly.Hours[hour] = figures()
		}
		for api := range datacube.APIs {
			a.Work[api] = snapshot.Work{Succeeded: true, LastSuccess: time.Unix(1773108000, 5e8).Add(time.Duration(i) * time.Second), Days: 30}
		}
		s.Accounts = append(s.Accounts, a)
	}
	return s
}

// awkward returns accounts with names and figures that need escaping or special formatting, sorted by name.
func awkward() *snapshot.Snapshot {
	hours := &datacube.HourlyDay{Date: date}
	for i, n := range []int64{0, 1, 9, 10, 999, 1000, 1001, 1010, 1100, 12_345, 999_999, 1_000_000, 1_234_567, 999_999_999, 1_000_000_000, 1 << 53, 1<<53 + 1, 1<<63 - 1} {
		hours.Hours[i] = datacube.Figures{Callbacks: n, Failures: n, TimeCostMillis: n, MaxTimeCostMillis: n * 7 % 1_000_003}
	}
	quoted := &snapshot.Account{Name: "\"quoted\" \\ back\nline", AppID: `wx"\`, Daily: &datacube.Day{Date: date - 1, Figures: datacube.Figures{
		Callbacks: 3, TimeCostMillis: 1, MaxTimeCostMillis: 1,
	}}}
	quoted.Work[datacube.Daily].Quota = &weixin.CallQuota{Limit: 10_000_000, Used: 4, Remaining: 9_999_996}
	quoted.Work[datacube.Hourly].Failures[weixin.NotReady] = 2
	quoted.Work[datacube.Hourly].Failures[snapshot.StoreFault] = 1
	quoted.Work[datacube.Daily].Rejected[weixin.BadValue] = 7
	quoted.Work[datacube.Hourly].PlainHours = 8
	return &snapshot.Snapshot{Accounts: []*snapshot.Account{
		{Name: ""},
		quoted,
		{Name: "a=\"b\",c} 1\n# EOF", AppID: "wx2", Hourly: hours},
		{Name: "客服号 🎉", AppID: "wx3", Daily: &datacube.Day{Date: date}, Hourly: &datacube.HourlyDay{Date: date}},
	}}
}

// fixture has a handler, and that of promhttp over the same metrics.
type fixture struct {
	tb       testing.TB
	latest   *snapshot.Latest
	live     *prometheus.Registry
	now      func() time.Time
	log      bytes.Buffer
	handler  *exposition.Handler
	promhttp http.Handler
}

// newFixture returns a fixture whose live metrics are those of the given collectors.
func newFixture(tb testing.TB, live ...prometheus.Collector) *fixture {
	tb.Helper()
	f := &fixture{tb: tb, latest: snapshot.NewLatest(), live: prometheus.NewRegistry()}
	f.now = func() time.Time { return time.Unix(1773108000, 0) }
	both := prometheus.NewRegistry()
	for _, c := range live {
		if err := f.live.Register(c); err != nil {
			tb.Fatal(err)
		}
	}
	for _, c := range append(live, collector.New(f.latest)) {
		if err := both.Register(c); err != nil {
			tb.Fatal(err)
		}
	}
	f.promhttp = promhttp.HandlerFor(both, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorLog: log.New(io.Discard, "", 0)})
	var err error
	f.handler, err = exposition.New(exposition.Options{
		Source: f.latest, Live: f.live, ErrorLog: log.New(&f.log, "", 0), Now: func() time.Time { return f.now() },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// someLive returns metrics of all types whose values do not change.
func someLive() []prometheus.Collector {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weixin_api_requests_total", Help: "Quoted: \"\\\n"}, []string{"api"})
	counter.WithLabelValues("daily").Add(7)
	counter.WithLabelValues(`"`).Inc()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "a_level", Help: "The first one."})
	gauge.Set(-1.5)
	dotted := prometheus.NewGauge(prometheus.GaugeOpts{Name: "zoo.größe", Help: "Is escaped.", ConstLabels: prometheus.Labels{"dotted.label": "ä"}})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weixin_times_seconds", Help: "Times.", Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: 1.1})
	histogram.Observe(0.5)
	return []prometheus.Collector{counter, gauge, dotted, histogram}
}

// response is the response of a handler.
type response struct {
	status int
	header http.Header
	body   []byte // as sent
	plain  string // uncompressed
}

// get sends a GET request to a handler. headers are names and values in turn.
func (f *fixture) get(h http.Handler, path string, headers ...string) response {
	f.tb.Helper()
	return f.request(h, http.MethodGet, path, headers...)
}

func (f *fixture) request(h http.Handler, method, path string, headers ...string) response {
	f.tb.Helper()
	r := httptest.NewRequestWithContext(f.tb.Context(), method, path, http.NoBody)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if r.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	return f.serve(h, r)
}

func (f *fixture) serve(h http.Handler, r *http.Request) response {
	f.tb.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	got := response{status: recorder.Code, header: recorder.Result().Header, body: recorder.Body.Bytes(), plain: recorder.Body.String()}
	if got.header.Get("Content-Encoding") == "gzip" && r.Method != http.MethodHead {
		got.plain = string(gunzip(f.tb, got.body))
	}
	return got
}

// gunzip decompresses a single gzip member, and fails if anything follows it.
func gunzip(tb testing.TB, packed []byte) []byte {
	tb.Helper()
	source := bytes.NewReader(packed)
	reader, err := gzip.NewReader(source)
	if err != nil {
		tb.Fatal(err)
	}
	reader.Multistream(false)
	plain, err := io.ReadAll(reader)
	if err != nil {
		tb.Fatal(err)
	}
	if source.Len() > 0 {
		tb.Errorf("%d bytes follow the gzip member", source.Len())
	}
	return plain
}
