package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// queryWorld is a store with gaps, quiet days and days that became known late, and an exporter that answers queries of it.
type queryWorld struct {
	names  []string
	config string
	days   map[string][]queryDay // by account
	// now is a full minute a little before the test, up to which there are gauges to compare.
	now time.Time
}

// queryDay is a known day of one of the calls.
type queryDay struct {
	api     datacube.API
	date    datacube.Date
	knownAt time.Time
	hours   datacube.Hours // the first alone for datacube.Daily
}

const queryDays = 100

func newQueryWorld(t *testing.T) *queryWorld {
	t.Helper()
	w := &queryWorld{
		names: []string{"bot", "news", "shop", `名字 "q"`}, days: map[string][]queryDay{},
		now: clock().Truncate(time.Minute).Add(-2 * time.Minute),
	}
	random := rand.New(rand.NewPCG(16, 2026))
	for _, name := range w.names {
		w.days[name] = w.randomDays(random)
	}
	w.config = filepath.Join(t.TempDir(), "config.yml")
	var text strings.Builder
	text.WriteString("weixin: {base_url: \"http://127.0.0.1:9\"}\nstore: {path: store.db}\naccounts:\n")
	for i, name := range w.names {
		fmt.Fprintf(&text, "  - {name: '%s', app_id: %s, app_secret: %s%032d}\n", name, queryAppID(i), secretMarker, i)
	}
	writeFile(t, w.config, text.String())
	w.save(t)
	return w
}

func queryAppID(i int) string { return fmt.Sprintf("wx%016d", i) }

// randomDays returns days up to yesterday. Yesterday becomes known within the hour before now, the day before it a day
// and half an hour ago.
func (w *queryWorld) randomDays(random *rand.Rand) []queryDay {
	var days []queryDay
	yesterday := datacube.DateOf(w.now) - 1
	for date := yesterday - queryDays + 1; date <= yesterday; date++ {
		for api := range datacube.APIs {
			if random.IntN(10) == 0 && date < yesterday-1 {
				continue // not known
			}
			day := queryDay{api: api, date: date, knownAt: date.End().Add(9*time.Hour + time.Duration(random.IntN(40_000))*time.Second)}
			for back := range datacube.Date(2) {
				if date == yesterday-back {
					day.knownAt = w.now.Add(-time.Duration(back)*24*time.Hour - time.Duration(60+random.IntN(3000))*time.Second)
				}
			}
			for i := range day.hours {
				if api == datacube.Daily && i > 0 || random.IntN(10) == 0 {
					continue // without traffic
				}
				n := random.Int64N(100_000)
				day.hours[i] = datacube.Figures{Callbacks: n, Failures: random.Int64N(n/20 + 1), TimeCostMillis: n * random.Int64N(300), MaxTimeCostMillis: random.Int64N(5001)}
			}
			days = append(days, day)
		}
	}
	return days
}

func (w *queryWorld) save(t *testing.T) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(filepath.Dir(w.config), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, name := range w.names {
		records := make([]store.Record, 0, len(w.days[name]))
		for _, d := range w.days[name] {
			records = append(records, d.record(queryAppID(i)))
		}
		if _, err := s.Save(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *queryDay) record(appID string) store.Record {
	r := store.Record{AppID: appID, API: d.api, Date: d.date, State: store.State{Status: store.Known, Asks: 1, AskedAt: d.knownAt, KnownAt: d.knownAt, Rechecked: true}}
	if d.api == datacube.Daily {
		r.Daily = &d.hours[0]
	} else {
		r.Hourly = &d.hours
	}
	return r
}

// latest returns the latest day that was known at a moment.
func (w *queryWorld) latest(name string, api datacube.API, at time.Time) *queryDay {
	var found *queryDay
	for i := range w.days[name] {
		d := &w.days[name][i]
		// The store keeps full seconds.
		if d.api == api && !d.knownAt.Truncate(time.Second).After(at) && (found == nil || d.date > found.date) {
			found = d
		}
	}
	return found
}

// gauges are the series of an account and call at a moment, by name and hour; those that are absent are not there.
func (w *queryWorld) gauges(name string, api datacube.API, at time.Time) map[[2]string]float64 {
	shown := map[[2]string]float64{}
	d := w.latest(name, api, at)
	if d == nil {
		return shown
	}
	prefix := "weixin_interface_" + api.String() + "_"
	shown[[2]string{prefix + "data_timestamp_seconds", ""}] = float64(d.date.Start().Unix())
	for i, f := range d.hours {
		hour := ""
		if api == datacube.Hourly {
			hour = fmt.Sprintf("%02d", i)
		} else if i > 0 {
			break
		}
		shown[[2]string{prefix + "callbacks", hour}] = float64(f.Callbacks)
		shown[[2]string{prefix + "failures", hour}] = float64(f.Failures)
		shown[[2]string{prefix + "time_cost_seconds", hour}] = float64(f.TimeCostMillis) / 1000
		shown[[2]string{prefix + "max_time_cost_seconds", hour}] = float64(f.MaxTimeCostMillis) / 1000
		if f.Callbacks > 0 {
			shown[[2]string{prefix + "average_time_cost_seconds", hour}] = float64(f.TimeCostMillis) / float64(f.Callbacks) / 1000
		}
	}
	return shown
}

// inGaugeWindow reports whether the reference has all gauges of a moment: in the last hour and more, and the same a day
// and a week before.
func (w *queryWorld) inGaugeWindow(at time.Time) bool {
	for _, back := range []int{7, 1, 0} {
		if age := w.now.AddDate(0, 0, -back).Sub(at); age >= 0 && age <= 80*time.Minute {
			return true
		}
	}
	return false
}

// gaugeMoments returns when the reference has the gauges of a call: at each full hour, and in the windows at each full minute
// and when a day became known.
func (w *queryWorld) gaugeMoments(name string, api datacube.API) []time.Time {
	var moments []time.Time
	for at := w.now.AddDate(0, 0, -9); !at.After(w.now); at = at.Add(time.Minute) {
		if w.inGaugeWindow(at) || at.Truncate(time.Hour).Equal(at) {
			moments = append(moments, at)
		}
	}
	for _, d := range w.days[name] {
		if at := d.knownAt.Truncate(time.Second); d.api == api && w.inGaugeWindow(at) {
			moments = append(moments, at)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	return slices.CompactFunc(moments, time.Time.Equal)
}

// gaugeSamples returns the gauges of an account as scrapes at these moments would have them.
func (w *queryWorld) gaugeSamples(i int) []prompb.TimeSeries {
	name := w.names[i]
	type key = [2]string
	samples := map[key][]prompb.Sample{}
	add := func(k key, at time.Time, v float64) {
		samples[k] = append(samples[k], prompb.Sample{Timestamp: at.UnixMilli(), Value: v})
	}
	for api := range datacube.APIs {
		before := map[key]bool{}
		for _, at := range w.gaugeMoments(name, api) {
			now := w.gauges(name, api, at)
			for k, v := range now {
				add(k, at, v)
				before[k] = true
			}
			for k := range before {
				if _, still := now[k]; !still {
					add(k, at, math.Float64frombits(value.StaleNaN))
					delete(before, k)
				}
			}
			if info := (key{"weixin_account_info"}); api == datacube.Daily && at.Truncate(time.Minute).Equal(at) {
				add(info, at, 1)
			}
		}
	}
	var series []prompb.TimeSeries
	for k, s := range samples {
		labels := []prompb.Label{{Name: "__name__", Value: k[0]}, {Name: "account", Value: name}}
		if k[1] != "" {
			labels = append(labels, prompb.Label{Name: "hour", Value: k[1]})
		}
		if k[0] == "weixin_account_info" {
			labels = append(labels, prompb.Label{Name: "app_id", Value: queryAppID(i)})
		}
		series = append(series, prompb.TimeSeries{Labels: labels, Samples: s})
	}
	return series
}

// history writes the history as OpenMetrics and returns the file.
func (w *queryWorld) history(t *testing.T) string {
	t.Helper()
	output := filepath.Join(t.TempDir(), "history.om")
	export := exec.CommandContext(t.Context(), suite.binary, "export", "--config.file="+w.config, "--format=openmetrics", "--output="+output)
	export.Env = environment(t.TempDir())
	if out, err := export.CombinedOutput(); err != nil {
		t.Fatalf("export: %v\n%s", err, mask(string(out)))
	}
	return output
}

// reference starts a Prometheus that has the same samples: the history in blocks, the gauges by remote write.
func (w *queryWorld) reference(t *testing.T, binary string) prometheus {
	t.Helper()
	data := dataFolder(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	blocks := exec.CommandContext(ctx, program(t, "PROMTOOL", "promtool"), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h", w.history(t), data)
	if out, err := blocks.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	writeFile(t, config, "storage: {tsdb: {out_of_order_time_window: 35d}}\n")
	// Blocks of days, or it would compact hundreds of them while it is queried.
	server := start(t, binary, "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=10y",
		"--storage.tsdb.min-block-duration=30d", "--storage.tsdb.max-block-duration=30d",
		"--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver")
	p := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: server.listensOn(t)})}
	p.waitReady(t)
	for i := range w.names {
		p.write(t, w.gaugeSamples(i))
	}
	return p
}

// write sends samples by remote write.
func (p prometheus) write(t *testing.T, series []prompb.TimeSeries) {
	t.Helper()
	message := prompb.WriteRequest{Timeseries: series}
	plain, err := message.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base.String()+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, plain)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := p.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		t.Fatalf("remote write: %s", response.Status)
	}
}

// queryResult is what an API says about a query. Its elements are in order, so that results can be compared.
type queryResult struct {
	Code              int
	Status, ErrorType string
	ResultType        string
	Elements          []string
	Warnings, Infos   []string
}

// readQuery reads the response to a query of an API of Prometheus.
func readQuery(t *testing.T, target string, got response) queryResult {
	t.Helper()
	var said struct {
		Status, ErrorType string
		Warnings, Infos   []string
		Data              struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(got.body), &said); err != nil {
		t.Fatalf("%s: %v: %s", target, err, mask(got.body))
	}
	r := queryResult{
		Code: got.status, Status: said.Status, ErrorType: said.ErrorType, ResultType: said.Data.ResultType,
		Warnings: said.Warnings, Infos: said.Infos,
	}
	if r.ResultType == "vector" || r.ResultType == "matrix" {
		var elements []any
		if err := json.Unmarshal(said.Data.Result, &elements); err != nil {
			t.Fatal(err)
		}
		for _, e := range elements {
			text, err := json.Marshal(e) // with the labels in order
			if err != nil {
				t.Fatal(err)
			}
			r.Elements = append(r.Elements, string(text))
		}
		slices.Sort(r.Elements)
	} else if len(said.Data.Result) > 0 {
		r.Elements = []string{string(said.Data.Result)}
	}
	slices.Sort(r.Warnings)
	slices.Sort(r.Infos)
	return r
}
