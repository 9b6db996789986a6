package remotewrite_test

import (
	"context"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/testlog"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

const (
	shop = "wx0123456789abcdef"
	bot  = "wxfedcba9876543210"
	// today is 2026-11-24. The clock of a fixture starts at 09:00 of that day in China.
	today datacube.Date = 20781
	// perDay is the number of samples of a day with daily and hourly figures.
	perDay = 100
)

// fixture is a group of senders with a store, on the clock of a synctest bubble.
type fixture struct {
	t          *testing.T
	path       string
	store      *sqlite.Store
	writes     atomic.Int64 // how often the test wrote to the store
	group      *remotewrite.Group
	registry   *prometheus.Registry
	log        *testlog.Log
	stop       func()
	trustedNow func() time.Time    // nil: the clock
	sharing    remotewrite.Sharing // nil: all slots
}

// withFixture runs a test in a bubble, with a store in a file.
func withFixture(t *testing.T, test func(f *fixture)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(today.Start().Add(9 * time.Hour)))
		f := &fixture{t: t, path: path, log: testlog.New(t)}
		f.open()
		test(f)
		f.close()
	})
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.store, err = sqlite.Open(f.t.Context(), f.path, sqlite.Options{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) close() {
	f.t.Helper()
	f.end()
	if err := f.store.Close(); err != nil {
		f.t.Error(err)
	}
}

// start runs a group for the endpoints.
func (f *fixture) start(endpoints ...remotewrite.Endpoint) {
	f.t.Helper()
	f.startOn(&polledStore{Store: f.store, writes: &f.writes}, endpoints...)
}

// polledStore answers repeated polls from memory as long as the test does not write to the store. Senders poll every few
// seconds, and the tests let hours pass: nearly all of their time would go into queries with the same result.
type polledStore struct {
	remotewrite.Store
	writes *atomic.Int64

	mu     sync.Mutex
	polls  map[store.Mark]poll
	polled int64 // the value of writes for which polls are valid
}

// poll is the result of Changed.
type poll struct {
	appIDs []string
	mark   store.Mark
}

func (s *polledStore) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if writes := s.writes.Load(); writes != s.polled || s.polls == nil {
		s.polled, s.polls = writes, map[store.Mark]poll{}
	}
	if p, ok := s.polls[after]; ok {
		return p.appIDs, p.mark, nil
	}
	appIDs, mark, err := s.Store.Changed(ctx, after)
	if err == nil {
		s.polls[after] = poll{appIDs, mark}
	}
	return appIDs, mark, err
}

func (f *fixture) startOn(s remotewrite.Store, endpoints ...remotewrite.Endpoint) {
	f.t.Helper()
	f.registry = prometheus.NewPedanticRegistry()
	metrics, err := remotewrite.NewMetrics(f.registry)
	if err != nil {
		f.t.Fatal(err)
	}
	f.group = remotewrite.NewGroup(remotewrite.Options{Store: s, Metrics: metrics, Logger: f.logger(), Now: time.Now, TrustedNow: f.trustedNow, Sharing: f.sharing})
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.group.Run(ctx, endpoints)
	}()
	f.stop = func() {
		cancel()
		<-ended
	}
}

func (f *fixture) end() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

func (f *fixture) logger() log.Logger { return log.NewLogfmtLogger(f.log) }

// endpoint returns an endpoint that sends to the receiver. change modifies the client's options and may be nil.
func (f *fixture) endpoint(name string, r http.RoundTripper, change func(*remotewrite.ClientOptions)) remotewrite.Endpoint {
	o := remotewrite.ClientOptions{
		URL: secret.NewURL("http://user:sim-secret-url@" + name + "/write?key=sim-secret-query"), HTTPClient: &http.Client{Transport: r},
		Timeout: 30 * time.Second, Message: remotewrite.V1, UserAgent: "test/1", Now: time.Now, Logger: f.logger(),
	}
	if change != nil {
		change(&o)
	}
	return remotewrite.Endpoint{
		Key: name, Label: name + "/write", Client: remotewrite.NewClient(o), MaxSamples: 2000, MaxAge: 30 * 24 * time.Hour,
		Accounts: map[string]string{shop: "shop", bot: "bot"},
	}
}

// wait lets time pass on the clock of the bubble.
func (f *fixture) wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// figuresOf returns figures that differ by hour and day. Other factors give those of a revision.
func figuresOf(date datacube.Date, hour int, factor int64) datacube.Figures {
	n := (int64(date)*24 + int64(hour)) * factor
	return datacube.Figures{Callbacks: n, Failures: n + 1, TimeCostMillis: n + 2, MaxTimeCostMillis: n + 3}
}

// save stores the daily and hourly figures of an account for the given days.
func (f *fixture) save(appID string, factor int64, dates ...datacube.Date) {
	f.t.Helper()
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
	if _, err := f.store.Save(f.t.Context(), records); err != nil {
		f.t.Fatal(err)
	}
	f.writes.Add(1)
}

// resend resends days and returns their number.
func (f *fixture) resend(endpoint string, since, until datacube.Date, appIDs ...string) int64 {
	f.t.Helper()
	n, err := f.store.Resend(f.t.Context(), endpoint, since, until, appIDs...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.writes.Add(1)
	return n
}

// days returns the n days before today, in order.
func days(n int) []datacube.Date {
	var dates []datacube.Date
	for date := today - datacube.Date(n); date < today; date++ {
		dates = append(dates, date)
	}
	return dates
}

// mustHave fails unless the receiver has every sample of the days exactly once, with the right value.
func (f *fixture) mustHave(r *receiver, account string, factor int64, dates ...datacube.Date) {
	f.t.Helper()
	for _, date := range dates {
		for _, family := range history.Families() {
			series := family.Name + `{account="` + account + `"}`
			if family.API == datacube.Daily {
				f.mustBeOnce(r, series, history.DayTime(date), family.Value(figuresOf(date, 0, factor)))
				continue
			}
			for hour := range datacube.HoursPerDay {
				f.mustBeOnce(r, series, history.HourTime(date, hour), family.Value(figuresOf(date, hour, factor)))
			}
		}
	}
}

func (f *fixture) mustBeOnce(r *receiver, series string, at time.Time, value float64) {
	f.t.Helper()
	if got := r.values(series, at.UnixMilli()); len(got) != 1 || got[0] != value {
		f.t.Fatalf("%s at %v is %v, want %v once", series, at, got, value)
	}
}

// metric returns the value of an endpoint's metric; -1 if it does not exist. reason may be "".
func (f *fixture) metric(name, endpoint, reason string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
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

// mustCount fails unless the endpoint's metrics have these values.
func (f *fixture) mustCount(endpoint string, sent, pending int, failed map[string]int) {
	f.t.Helper()
	if got := f.metric("samples_total", endpoint, ""); got != float64(sent) {
		f.t.Errorf("%s: %v samples were sent, want %d", endpoint, got, sent)
	}
	if got := f.metric("pending_samples", endpoint, ""); got != float64(pending) {
		f.t.Errorf("%s: %v samples are pending, want %d", endpoint, got, pending)
	}
	for reason := range remotewrite.Reasons {
		if got := f.metric("samples_failed_total", endpoint, reason.String()); got != float64(failed[reason.String()]) {
			f.t.Errorf("%s: %v samples failed for %s, want %d", endpoint, got, reason, failed[reason.String()])
		}
	}
}
