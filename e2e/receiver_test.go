package e2e_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/datacube"
)

// database is a remote write receiver with the query API of Prometheus, which can be restarted.
type database struct {
	web
	process *process
	run     func() *process
	write   string // the URL for samples
}

// freeAddress returns a free address of the loopback interface.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newDatabase starts a database. ready is the path of its readiness check.
func newDatabase(t *testing.T, ready string, run func(address string) *process) *database {
	t.Helper()
	address := freeAddress(t)
	d := &database{
		web: newWeb(t, &url.URL{Scheme: "http", Host: address}),
		run: func() *process {
			p := run(address)
			eventually(t, "the receiver to be ready", func() error {
				response, err := http.Get("http://" + address + ready)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				if response.StatusCode != http.StatusOK {
					return fmt.Errorf("status %d", response.StatusCode)
				}
				return nil
			})
			return p
		},
		write: "http://" + address + "/api/v1/write",
	}
	d.process = d.run()
	return d
}

// prometheusReceiver starts a Prometheus that accepts samples up to the age of the window; "" means no window.
func prometheusReceiver(t *testing.T, variable, window string) *database {
	t.Helper()
	binary := program(t, variable, strings.ToLower(variable))
	folder, data := t.TempDir(), dataFolder(t)
	config := "global: {scrape_interval: 1m}\n"
	if window != "" {
		config += "storage: {tsdb: {out_of_order_time_window: " + window + "}}\n"
	}
	writeFile(t, filepath.Join(folder, "prometheus.yml"), config)
	return newDatabase(t, "/-/ready", func(address string) *process {
		return start(t, binary, "--config.file="+filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path="+data,
			"--web.listen-address="+address, "--web.enable-remote-write-receiver")
	})
}

// victoriaMetrics starts a VictoriaMetrics.
func victoriaMetrics(t *testing.T) *database {
	t.Helper()
	binary := program(t, "VICTORIA_METRICS", "victoria-metrics")
	folder := t.TempDir()
	return newDatabase(t, "/health", func(address string) *process {
		return start(t, binary, "-storageDataPath="+filepath.Join(folder, "data"), "-httpListenAddr="+address,
			"-retentionPeriod=3", "-search.latencyOffset=0s", "-search.disableCache", "-loggerLevel=WARN")
	})
}

func (d *database) stop(t *testing.T) {
	t.Helper()
	d.process.signal(t, syscall.SIGTERM)
	<-d.process.ended
}

func (d *database) restart() { d.process = d.run() }

// samples returns all samples of the history, by series and time. A repeated time fails the test.
func (d *database) samples(t *testing.T) remotewritetest.Samples {
	t.Helper()
	got := remotewritetest.Samples{}
	for _, r := range d.matrix(t, "/api/v1/query", "query", `{__name__=~"weixin_history_.+"}[60d]`) {
		name := r.Metric["__name__"]
		delete(r.Metric, "__name__")
		key := series(name, "account", r.Metric["account"])
		if len(r.Metric) != 1 || got[key] != nil {
			t.Errorf("%s has the labels %v", name, r.Metric)
		}
		got[key] = r.values(t)
	}
	return got
}

// row is a series of a matrix.
type row struct {
	Metric map[string]string
	Values [][2]any
}

func (r row) values(t *testing.T) map[int64]float64 {
	t.Helper()
	values := map[int64]float64{}
	for _, v := range r.Values {
		at, ok := v[0].(float64)
		value, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
		if _, twice := values[int64(at)]; !ok || err != nil || twice {
			t.Errorf("%v: %v (repeated: %v): %v", r.Metric, v, twice, err)
		}
		values[int64(at)] = value
	}
	return values
}

// matrix evaluates a query whose result is a matrix.
func (d *database) matrix(t *testing.T, path string, parameters ...string) []row {
	t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	var response struct {
		Status string
		Data   struct {
			ResultType string
			Result     []row
		}
	}
	text := d.get(t, path+"?"+values.Encode()).body
	if err := json.Unmarshal([]byte(text), &response); err != nil || response.Status != "success" || response.Data.ResultType != "matrix" {
		t.Fatalf("%v: %v: %s", parameters, err, mask(text))
	}
	return response.Data.Result
}

// historyOf returns the samples of the accounts for the days from first to last.
func (w *fixture) historyOf(first, last datacube.Date, accounts ...account) remotewritetest.Samples {
	appIDs := map[string]string{}
	for _, a := range accounts {
		appIDs[a.name] = a.AppID
	}
	return remotewritetest.HistoryOf(w.sim, appIDs, first, last)
}

// lastDay returns the latest day of the accounts, which must be the same for all of them.
func lastDay(t *testing.T, x *exporter, accounts ...account) datacube.Date {
	t.Helper()
	got := x.metrics(t)
	last, ok := dateOf(got, "daily", accounts[0])
	for _, a := range accounts {
		for _, api := range apis() {
			if date, there := dateOf(got, api, a); !ok || !there || date != last {
				t.Fatalf("%s, %s: the latest day is %v, want %v", a.name, api, date, last)
			}
		}
	}
	return last
}

// waitSent waits until an exporter has no pending samples for a receiver, and has sent and given up so many; -1 means
// any number.
func waitSent(t *testing.T, x *exporter, endpoint string, sent, failed int) {
	t.Helper()
	eventually(t, "all samples to be sent to "+endpoint, func() error {
		got := x.metrics(t)
		lost := 0.0
		for key, value := range got {
			if strings.HasPrefix(key, "weixin_remote_write_samples_failed_total{") && strings.Contains(key, endpoint) {
				lost += value
			}
		}
		count := got[series("weixin_remote_write_samples_total", "endpoint", endpoint)]
		pending, ok := got[series("weixin_remote_write_pending_samples", "endpoint", endpoint)]
		if !ok || pending != 0 || sent >= 0 && count != float64(sent) || failed >= 0 && lost != float64(failed) {
			return fmt.Errorf("%v samples sent, %v given up, %v pending (exists: %v); want %d and %d", count, lost, pending, ok, sent, failed)
		}
		return nil
	})
}

// endpointOf returns an exporter's name of a receiver.
func endpointOf(write string) string { return strings.TrimPrefix(write, "http://") }

// receiver is a remotewritetest.Receiver with a server. What it finds wrong with requests fails the test.
type receiver struct {
	*httptest.Server
	*remotewritetest.Receiver
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{Receiver: remotewritetest.NewReceiver()}
	r.Server = httptest.NewServer(r.Receiver)
	t.Cleanup(func() {
		r.Close()
		for _, fault := range r.Faults(r.Samples()) {
			t.Error(fault)
		}
	})
	return r
}

// once returns the samples. Each must have arrived once.
func (r *receiver) once(t *testing.T) remotewritetest.Samples {
	t.Helper()
	if n := r.Repeats(); n != 0 {
		t.Errorf("%d samples arrived again", n)
	}
	return r.Samples()
}

// mustEqual compares samples.
func mustEqual(t *testing.T, what string, want, got remotewritetest.Samples) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) })); diff != "" {
		t.Errorf("%s: samples differ (-want +got):\n%.2000s", what, diff)
	}
}
