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

// What a scraper accepts.
const (
	asText        = "text/plain;version=0.0.4"
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

const date datacube.Date = 20521

// accounts returns accounts with traffic in each hour, the same ones for the same numbers.
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

// foreign returns accounts with names and figures that are awkward to write, in order.
func foreign() *snapshot.Snapshot {
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

// world is a handler and the ordinary one over the same metrics.
type world struct {
	tb       testing.TB
	board    *snapshot.Latest
	live     *prometheus.Registry
	now      func() time.Time
	log      bytes.Buffer
	handler  *exposition.Handler
	ordinary http.Handler
}

// newWorld makes one whose live part is what the given collectors have.
func newWorld(tb testing.TB, live ...prometheus.Collector) *world {
	tb.Helper()
	w := &world{tb: tb, board: snapshot.NewLatest(), live: prometheus.NewRegistry()}
	w.now = func() time.Time { return time.Unix(1773108000, 0) }
	both := prometheus.NewRegistry()
	for _, c := range live {
		if err := w.live.Register(c); err != nil {
			tb.Fatal(err)
		}
	}
	for _, c := range append(live, collector.New(w.board)) {
		if err := both.Register(c); err != nil {
			tb.Fatal(err)
		}
	}
	w.ordinary = promhttp.HandlerFor(both, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorLog: log.New(io.Discard, "", 0)})
	var err error
	w.handler, err = exposition.New(exposition.Options{
		Source: w.board, Live: w.live, ErrorLog: log.New(&w.log, "", 0), Now: func() time.Time { return w.now() },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// someLive are metrics of all kinds that look the same each time.
func someLive() []prometheus.Collector {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weixin_api_requests_total", Help: "Quoted: \"\\\n"}, []string{"api"})
	counter.WithLabelValues("daily").Add(7)
	counter.WithLabelValues(`"`).Inc()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "a_level", Help: "The first of all."})
	gauge.Set(-1.5)
	dotted := prometheus.NewGauge(prometheus.GaugeOpts{Name: "zoo.größe", Help: "To be escaped.", ConstLabels: prometheus.Labels{"dotted.label": "ä"}})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weixin_times_seconds", Help: "Times.", Buckets: []float64{0.1, 1}, NativeHistogramBucketFactor: 1.1})
	histogram.Observe(0.5)
	return []prometheus.Collector{counter, gauge, dotted, histogram}
}

// answer is what a handler says.
type answer struct {
	status int
	header http.Header
	body   []byte // as it was sent
	plain  string // without compression
}

// get asks a handler. Headers are given as names and values in turn.
func (w *world) get(h http.Handler, path string, headers ...string) answer {
	w.tb.Helper()
	return w.ask(h, http.MethodGet, path, headers...)
}

func (w *world) ask(h http.Handler, method, path string, headers ...string) answer {
	w.tb.Helper()
	r := httptest.NewRequestWithContext(w.tb.Context(), method, path, http.NoBody)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if r.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	return w.serve(h, r)
}

func (w *world) serve(h http.Handler, r *http.Request) answer {
	w.tb.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	a := answer{status: recorder.Code, header: recorder.Result().Header, body: recorder.Body.Bytes(), plain: recorder.Body.String()}
	if a.header.Get("Content-Encoding") == "gzip" && r.Method != http.MethodHead {
		a.plain = string(gunzip(w.tb, a.body))
	}
	return a
}

// gunzip unpacks what has to be one member and nothing else.
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
