package collector_test

import (
	"bytes"
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/collector"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

var update = flag.Bool("update", false, "update the golden files")

// example returns a snapshot with an account that has all kinds of values, and one that has none.
func example(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	date, err := datacube.ParseDate("2026-03-09")
	if err != nil {
		t.Fatal(err)
	}
	shop := &snapshot.Account{
		Name:  "shop",
		AppID: "wx0123456789abcdef",
		// Tencent's own statistics page shows 87.98 ms for this day.
		Daily:  &datacube.Day{Date: date, Figures: datacube.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}},
		Hourly: &datacube.HourlyDay{Date: date},
	}
	shop.Hourly.Hours[0] = datacube.Figures{Callbacks: 1, TimeCostMillis: 120, MaxTimeCostMillis: 120}
	shop.Hourly.Hours[23] = datacube.Figures{Callbacks: 195, Failures: 1, TimeCostMillis: 17124, MaxTimeCostMillis: 3000}
	shop.Work[datacube.Daily] = snapshot.Work{Succeeded: true, LastSuccess: time.Unix(1773108000, 500e6), Revisions: 2, Days: 30}
	shop.Work[datacube.Daily].Quota = &weixin.CallQuota{Limit: 10_000, Used: 4, Remaining: 9_996}
	shop.Work[datacube.Hourly] = snapshot.Work{Days: 29, PlainHours: 3}
	shop.Work[datacube.Hourly].Failures[weixin.Busy] = 4
	shop.Work[datacube.Hourly].Failures[snapshot.StoreFault] = 1
	shop.Work[datacube.Hourly].Rejected[weixin.BadHour] = 7
	return &snapshot.Snapshot{Accounts: []*snapshot.Account{shop, {Name: "客服\"号\\\n", AppID: "wxfedcba9876543210"}}}
}

func registryOver(t *testing.T, s *snapshot.Snapshot) *prometheus.Registry {
	t.Helper()
	latest := snapshot.NewLatest()
	if s != nil {
		latest.Publish(s)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector.New(latest)); err != nil {
		t.Fatal(err)
	}
	return registry
}

func exposition(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if recorder.Code != http.StatusOK {
		t.Fatalf("%d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

func TestExposition(t *testing.T) {
	got := exposition(t, registryOver(t, example(t)))
	const golden = "testdata/exposition.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("exposition (-want +got; go test ./collector -update updates it):\n%s", diff)
	}
}

func TestLint(t *testing.T) {
	registry := registryOver(t, example(t))
	if _, err := collector.NewRequests(registry); err != nil {
		t.Fatal(err)
	}
	if _, err := collector.NewReloads(registry); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Metric == "weixin_refresh_inconsistent_days" && strings.Contains(p.Text, "base unit") {
			continue // it counts days, which are not a unit there
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNothingBeforeTheFirstSnapshot(t *testing.T) {
	if n, err := testutil.GatherAndCount(registryOver(t, nil)); err != nil || n != 0 {
		t.Errorf("%d metrics and error %v, want none", n, err)
	}
}

func TestHelpNamesTheFieldAndSaysThatItIsCached(t *testing.T) {
	families, err := registryOver(t, example(t)).Gather()
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{
		"callbacks": "callback_count", "failures": "fail_count", "max_time_cost_seconds": "max_time_cost",
		"average_time_cost_seconds": "total_time_cost divided by callback_count", "time_cost_seconds": "total_time_cost",
	}
	seen := 0
	for _, family := range families {
		rest, isDaily := strings.CutPrefix(family.GetName(), "weixin_interface_daily_")
		if !isDaily {
			rest, isDaily = strings.CutPrefix(family.GetName(), "weixin_interface_hourly_")
		}
		field, isFigure := fields[rest]
		if !isDaily || !isFigure {
			continue
		}
		seen++
		for _, text := range []string{field, "Cached", "at least one day old", "getinterfacesummary"} {
			if !strings.Contains(family.GetHelp(), text) {
				t.Errorf("HELP of %s does not contain %q: %s", family.GetName(), text, family.GetHelp())
			}
		}
	}
	if seen != 2*len(fields) {
		t.Errorf("%d families of figures, want %d", seen, 2*len(fields))
	}
}

// A scrape shows a single snapshot, never parts of two.
func TestSnapshotIsReplacedAtomically(t *testing.T) {
	latest := snapshot.NewLatest()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector.New(latest)); err != nil {
		t.Fatal(err)
	}
	snapshots := []*snapshot.Snapshot{numbered(1), numbered(2)}
	want := map[string]bool{}
	for _, s := range snapshots {
		latest.Publish(s)
		want[exposition(t, registry)] = true
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			latest.Publish(snapshots[i%2])
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			if got := exposition(t, registry); !want[got] {
				t.Fatalf("a mixture of snapshots:\n%s", got)
			}
		}
	}
}

// numbered returns a snapshot in which every value is n.
func numbered(n int64) *snapshot.Snapshot {
	a := &snapshot.Account{Name: "a", AppID: "wx", Daily: &datacube.Day{Date: datacube.Date(n)}, Hourly: &datacube.HourlyDay{Date: datacube.Date(n)}}
	a.Daily.Figures = datacube.Figures{Callbacks: n, TimeCostMillis: n}
	for hour := range a.Hourly.Hours {
		a.Hourly.Hours[hour] = a.Daily.Figures
	}
	return &snapshot.Snapshot{Accounts: []*snapshot.Account{a}}
}

func TestRequests(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	requests, err := collector.NewRequests(registry)
	if err != nil {
		t.Fatal(err)
	}
	requests.Expect("quota")
	requests.Observe(weixin.Request{API: "daily", Errcode: "0", Duration: 30 * time.Millisecond})
	requests.Observe(weixin.Request{API: "hourly", Errcode: "45009", Duration: 40 * time.Millisecond})
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP weixin_api_requests_total Requests sent to Weixin, by the errcode of the response: "0" for success, "http" for a transport error or an invalid response.
# TYPE weixin_api_requests_total counter
weixin_api_requests_total{api="daily",errcode="0"} 1
weixin_api_requests_total{api="daily",errcode="http"} 0
weixin_api_requests_total{api="hourly",errcode="0"} 0
weixin_api_requests_total{api="hourly",errcode="45009"} 1
weixin_api_requests_total{api="hourly",errcode="http"} 0
weixin_api_requests_total{api="quota",errcode="0"} 0
weixin_api_requests_total{api="quota",errcode="http"} 0
weixin_api_requests_total{api="token",errcode="0"} 0
weixin_api_requests_total{api="token",errcode="http"} 0
`), "weixin_api_requests_total")
	if err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "weixin_api_request_duration_seconds" {
			continue
		}
		sum := 0.0
		for _, m := range family.GetMetric() {
			sum += m.GetHistogram().GetSampleSum()
			if m.GetHistogram().Schema == nil || len(m.GetHistogram().GetBucket()) == 0 {
				t.Error("the histogram is not both native and classic")
			}
		}
		if math.Abs(sum-0.07) > 1e-9 {
			t.Errorf("requests took %v seconds together, want 0.07", sum)
		}
	}
	if _, err := collector.NewRequests(registry); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

func TestReloads(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	reloads, err := collector.NewReloads(registry)
	if err != nil {
		t.Fatal(err)
	}
	check := func(successful string) {
		t.Helper()
		err := testutil.GatherAndCompare(registry, bytes.NewBufferString(`
# HELP weixin_exporter_config_last_reload_success_timestamp_seconds Time of the last successful configuration reload, as Unix time.
# TYPE weixin_exporter_config_last_reload_success_timestamp_seconds gauge
weixin_exporter_config_last_reload_success_timestamp_seconds 1.7731080005e+09
# HELP weixin_exporter_config_last_reload_successful Whether the last configuration reload succeeded (1) or failed (0).
# TYPE weixin_exporter_config_last_reload_successful gauge
weixin_exporter_config_last_reload_successful `+successful+"\n"))
		if err != nil {
			t.Error(err)
		}
	}
	reloads.Succeeded(time.Unix(1773108000, 500e6))
	check("1")
	reloads.Failed()
	check("0")
	if _, err := collector.NewReloads(registry); err == nil {
		t.Error("the same metrics were registered twice")
	}
}
