package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// firstDay is 2026-03-02.
const firstDay datacube.Date = 20514

// world is a store and what answers from it.
type world struct {
	store    *sqlite.Store
	accounts []query.Account
	now      time.Time
	storage  *query.Storage
	limits   query.Limits
}

func newWorld(tb testing.TB, names ...string) *world {
	tb.Helper()
	w := &world{now: (firstDay + 30).Start().Add(12 * time.Hour)}
	var err error
	if w.store, err = sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "store.db"), sqlite.Options{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	for _, name := range names {
		w.accounts = append(w.accounts, query.Account{Name: name, AppID: "wx-" + name})
	}
	w.storage = query.NewStorage(query.StorageOptions{
		Source:   w.store,
		Accounts: func() []query.Account { return w.accounts },
		Now:      w.clock,
	})
	w.limits = query.Limits{Timeout: time.Minute, MaxSamples: 1_000_000, MaxConcurrency: 4, LookbackDelta: 5 * time.Minute}
	return w
}

// canceled returns a context that is over.
func canceled(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx
}

// clock is the time that the world has.
func (w *world) clock() time.Time { return w.now }

func (w *world) save(tb testing.TB, records ...store.Record) {
	tb.Helper()
	if _, err := w.store.Save(tb.Context(), records); err != nil {
		tb.Fatal(err)
	}
}

// daily is a day of the daily call that became known at a time.
func daily(account string, date datacube.Date, knownAt time.Time, f datacube.Figures) store.Record {
	return store.Record{
		AppID: "wx-" + account, API: datacube.Daily, Date: date, Daily: &f,
		State: store.State{Status: store.Known, AskedAt: knownAt, KnownAt: knownAt},
	}
}

func hourly(account string, date datacube.Date, knownAt time.Time, hours datacube.Hours) store.Record {
	return store.Record{
		AppID: "wx-" + account, API: datacube.Hourly, Date: date, Hourly: &hours,
		State: store.State{Status: store.Known, AskedAt: knownAt, KnownAt: knownAt},
	}
}

// morning is nine o'clock in China on the day after a date, when its figures usually become known.
func morning(date datacube.Date) time.Time { return date.End().Add(9 * time.Hour) }

// figures are some that depend on a number.
func figures(n int64) datacube.Figures {
	return datacube.Figures{Callbacks: n, Failures: n / 10, TimeCostMillis: n * 101, MaxTimeCostMillis: n % 5000}
}

// day has figures in each hour that depend on a number.
func hours(n int64) datacube.Hours {
	var hours datacube.Hours
	for hour := range hours {
		hours[hour] = figures(n + int64(hour))
	}
	return hours
}

// api serves the API.
func (w *world) api(tb testing.TB) *client {
	tb.Helper()
	api := query.NewAPI(query.APIOptions{
		Storage: w.storage, Limits: w.limits, Now: w.clock, Logger: slog.New(slog.DiscardHandler),
		Build: query.Build{Application: "weixin_exporter", Version: "1.2.3"},
	})
	return &client{api: api}
}

// client asks the API as one over HTTP does.
type client struct{ api http.Handler }

// response is one of the API.
type response struct {
	Code      int
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Infos     []string        `json:"infos"`
}

// get asks with parameters that follow each other as name and value.
func (c *client) get(tb testing.TB, path string, parameters ...string) response {
	tb.Helper()
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Add(parameters[i], parameters[i+1])
	}
	return c.do(tb, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, query.Path+path+"?"+values.Encode(), nil))
}

func (c *client) do(tb testing.TB, r *http.Request) response {
	tb.Helper()
	recorder := httptest.NewRecorder()
	c.api.ServeHTTP(recorder, r)
	got := response{Code: recorder.Code}
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		tb.Fatalf("%s: %v: %q", r.URL, err, recorder.Body)
	}
	return got
}

// sample is one of a series.
type sample struct {
	T int64
	V float64
}

// all returns the samples of all series that a selector matches between two times, in the order in which they come.
func (w *world) all(tb testing.TB, mint, maxt time.Time, matchers ...*labels.Matcher) ([]string, map[string][]sample) {
	tb.Helper()
	var series []string
	samples := make(map[string][]sample)
	set := w.selected(tb.Context(), tb, mint, maxt, matchers...)
	var it chunkenc.Iterator
	for set.Next() {
		name := set.At().Labels().String()
		it = set.At().Iterator(it)
		for it.Next() != chunkenc.ValNone {
			t, v := it.At()
			samples[name] = append(samples[name], sample{t, v})
		}
		if err := it.Err(); err != nil {
			tb.Fatal(err)
		}
		if len(samples[name]) > 0 {
			series = append(series, name)
		}
	}
	if err := set.Err(); err != nil {
		tb.Fatal(err)
	}
	return series, samples
}

func (w *world) selected(ctx context.Context, tb testing.TB, mint, maxt time.Time, matchers ...*labels.Matcher) storage.SeriesSet {
	tb.Helper()
	q, err := w.storage.Querier(mint.UnixMilli(), maxt.UnixMilli())
	if err != nil {
		tb.Fatal(err)
	}
	return q.Select(ctx, true, nil, matchers...)
}

func named(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
}

func account(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, "account", name)
}

// fill stores days of both calls for all accounts, each known on the next morning.
func (w *world) fill(tb testing.TB, first datacube.Date, days int) {
	tb.Helper()
	for i, a := range w.accounts {
		var records []store.Record
		for d := range days {
			date := first + datacube.Date(d)
			n := int64(1000*i + 100*d + 7)
			records = append(records, daily(a.Name, date, morning(date), figures(24*n)), hourly(a.Name, date, morning(date), hours(n)))
		}
		w.save(tb, records...)
	}
}

func seconds(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }
