package remotewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

const (
	shop = "wx0123456789abcdef"
	bot  = "wxfedcba9876543210"
	// today is 2026-11-24; the clock of a world begins at nine in the morning of it, in China.
	today datacube.Date = 20781
	// perDay is the number of samples of a day for which both calls are known.
	perDay = 100
)

// world is a group of senders on the clock of a synctest bubble.
type world struct {
	t        *testing.T
	path     string
	store    *store.Store
	group    *remotewrite.Group
	registry *prometheus.Registry
	log      logbook
	stop     func()
	believed func() time.Time // nil: the clock
}

// logbook collects log lines; they also go to the test's output.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
	t    *testing.T
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.t.Output(), "%s", p)
	return l.text.Write(p)
}

// lines returns the lines that contain all of the given texts.
func (l *logbook) lines(texts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
next:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// inWorld runs a test in a bubble, with a store in a file.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(today.Start().Add(9 * time.Hour)))
		w := &world{t: t, path: path, log: logbook{t: t}}
		w.open()
		test(w)
		w.close()
	})
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.store, err = store.Open(w.t.Context(), w.path, store.Options{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.t.Helper()
	w.end()
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

// start runs a group for the endpoints.
func (w *world) start(endpoints ...remotewrite.Endpoint) {
	w.t.Helper()
	w.startOn(w.store, endpoints...)
}

func (w *world) startOn(s remotewrite.Store, endpoints ...remotewrite.Endpoint) {
	w.t.Helper()
	w.registry = prometheus.NewPedanticRegistry()
	metrics, err := remotewrite.NewMetrics(w.registry)
	if err != nil {
		w.t.Fatal(err)
	}
	w.group = remotewrite.NewGroup(remotewrite.Options{Store: s, Metrics: metrics, Logger: w.logger(), Now: time.Now, Believed: w.believed})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.group.Run(ctx, endpoints)
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
}

func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

func (w *world) logger() log.Logger { return log.NewLogfmtLogger(&w.log) }

// endpoint returns one that sends to the receiver. change may be nil.
func (w *world) endpoint(name string, r http.RoundTripper, change func(*remotewrite.ClientOptions)) remotewrite.Endpoint {
	o := remotewrite.ClientOptions{
		URL: secret.NewURL("http://user:sim-secret-url@" + name + "/write?key=sim-secret-query"), HTTPClient: &http.Client{Transport: r},
		Timeout: 30 * time.Second, Message: remotewrite.V1, UserAgent: "test/1", Now: time.Now, Logger: w.logger(),
	}
	if change != nil {
		change(&o)
	}
	return remotewrite.Endpoint{
		Key: name, Label: name + "/write", Client: remotewrite.NewClient(o), MaxSamples: 2000, MaxAge: 30 * 24 * time.Hour,
		Accounts: map[string]string{shop: "shop", bot: "bot"},
	}
}

// wait lets time pass.
func (w *world) wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// figuresOf are different for each hour of each day; factor makes them those of a revision.
func figuresOf(date datacube.Date, hour int, factor int64) datacube.Figures {
	n := (int64(date)*24 + int64(hour)) * factor
	return datacube.Figures{Callbacks: n, Failures: n + 1, TimeCostMillis: n + 2, MaxTimeCostMillis: n + 3}
}

// save stores days of an account, of both calls.
func (w *world) save(appID string, factor int64, dates ...datacube.Date) {
	w.t.Helper()
	var records []store.Record
	for _, date := range dates {
		state := store.State{Status: store.Known, AskedAt: time.Now(), KnownAt: time.Now()}
		day := figuresOf(date, 0, factor)
		var hours datacube.Hours
		for hour := range hours {
			hours[hour] = figuresOf(date, hour, factor)
		}
		records = append(records,
			store.Record{AppID: appID, API: datacube.Daily, Date: date, State: state, Daily: &day},
			store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: state, Hourly: &hours})
	}
	if _, err := w.store.Save(w.t.Context(), records); err != nil {
		w.t.Fatal(err)
	}
}

// days returns the last days before today, the latest last.
func days(n int) []datacube.Date {
	var dates []datacube.Date
	for date := today - datacube.Date(n); date < today; date++ {
		dates = append(dates, date)
	}
	return dates
}

// mustHave fails unless a receiver has every sample of the days exactly once, with the right values.
func (w *world) mustHave(r *receiver, account string, factor int64, dates ...datacube.Date) {
	w.t.Helper()
	for _, date := range dates {
		for _, family := range history.Families() {
			series := family.Name + `{account="` + account + `"}`
			if family.API == datacube.Daily {
				w.mustBeOnce(r, series, history.DayTime(date), family.Value(figuresOf(date, 0, factor)))
				continue
			}
			for hour := range datacube.HoursPerDay {
				w.mustBeOnce(r, series, history.HourTime(date, hour), family.Value(figuresOf(date, hour, factor)))
			}
		}
	}
}

func (w *world) mustBeOnce(r *receiver, series string, at time.Time, value float64) {
	w.t.Helper()
	if got := r.values(series, at.UnixMilli()); len(got) != 1 || got[0] != value {
		w.t.Fatalf("%s at %v is %v, want %v once", series, at, got, value)
	}
}

// metric returns the value of a metric of an endpoint; -1 if it is not there. reason may be "".
func (w *world) metric(name, endpoint, reason string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "weixin_remote_write_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["endpoint"] == endpoint+"/write" && labels["reason"] == reason {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// mustCount fails unless the metrics of an endpoint are these.
func (w *world) mustCount(endpoint string, sent, pending int, failed map[string]int) {
	w.t.Helper()
	if got := w.metric("samples_total", endpoint, ""); got != float64(sent) {
		w.t.Errorf("%s: %v samples were sent, want %d", endpoint, got, sent)
	}
	if got := w.metric("pending_samples", endpoint, ""); got != float64(pending) {
		w.t.Errorf("%s: %v samples are pending, want %d", endpoint, got, pending)
	}
	for reason := range remotewrite.Reasons {
		if got := w.metric("samples_failed_total", endpoint, reason.String()); got != float64(failed[reason.String()]) {
			w.t.Errorf("%s: %v samples failed for %s, want %d", endpoint, got, reason, failed[reason.String()])
		}
	}
}
