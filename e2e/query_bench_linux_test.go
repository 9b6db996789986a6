package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// BenchmarkQueryBesidePrometheus sends the same query of a year of 100 accounts to the exporter and to a Prometheus 3 that has
// the same samples in blocks, in turn, and reports the medians of their times. It needs $PROMETHEUS3 and $PROMTOOL.
func BenchmarkQueryBesidePrometheus(b *testing.B) {
	prometheus3, promtool := os.Getenv("PROMETHEUS3"), os.Getenv("PROMTOOL")
	if prometheus3 == "" || promtool == "" {
		b.Skip("this benchmark needs $PROMETHEUS3 and $PROMTOOL")
	}
	const accounts, days, runs = 100, 365, 15
	config := manyAccounts(b, accounts, "http://127.0.0.1:9", 1, 1)
	fillHistory(b, config, accounts, days, days)
	data := historyBlocks(b, promtool, config)
	empty := filepath.Join(b.TempDir(), "prometheus.yml")
	if err := os.WriteFile(empty, []byte("scrape_configs: []\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	p := start(b, prometheus3, "--config.file="+empty, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=10y", "--web.listen-address=127.0.0.1:0")
	x := start(b, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
	servers := []string{"http://" + p.listensOn(b), "http://" + x.listensOn(b)}
	for _, server := range servers {
		p.waitSnapshot(b, server+"/metrics")
	}
	end := datacube.DateOf(clock()).Start()
	query := rangeQuery("sum by (account) (sum_over_time(weixin_history_hourly_callbacks[1d]))", end.AddDate(0, 0, 1-days), end, 24*time.Hour)
	var times [2][]float64
	var first [2]float64
	for b.Loop() {
		for run := range runs {
			for i, server := range servers {
				took, status, body := timedQuery(b, server+query)
				if run == 0 {
					first[i] = took // nothing is in memory yet
				}
				times[i] = append(times[i], took)
				if status != http.StatusOK || len(body) < 500_000 {
					b.Fatalf("%s: %d, %d bytes: %.300s", server, status, len(body), body)
				}
			}
		}
	}
	median := func(values []float64) float64 {
		slices.Sort(values)
		return 1000 * values[len(values)/2]
	}
	b.ReportMetric(median(times[0]), "ms/Prometheus")
	b.ReportMetric(median(times[1]), "ms/exporter")
	b.ReportMetric(1000*first[0], "ms/Prometheus-first")
	b.ReportMetric(1000*first[1], "ms/exporter-first")
	b.ReportMetric(median(times[1])/median(times[0]), "times")
	x.end(b)
	p.end(b)
}

// BenchmarkQueriesBesideScrapes sends 20 queries of ten years and 1,000 accounts at a time while it scrapes, and reports how long
// scrapes take without and with them, and the peak memory of the program.
func BenchmarkQueriesBesideScrapes(b *testing.B) {
	if testing.Short() {
		b.Skip("filling the store takes some minutes")
	}
	const accounts, days, hourlyDays, queries = 1000, 3652, 60, 20
	config := manyAccounts(b, accounts, "http://127.0.0.1:9", 30, 1)
	fillHistory(b, config, accounts, days, hourlyDays)
	x := start(b, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
	base := "http://" + x.listensOn(b)
	x.waitSnapshot(b, base+"/metrics")
	end := datacube.DateOf(clock()).Start()
	from := end.AddDate(0, 0, -days)
	texts := []string{
		rangeQuery("sum by (account) (sum_over_time(weixin_history_daily_callbacks[1d]))", from, end, 24*time.Hour),
		rangeQuery("sum(last_over_time(weixin_history_daily_failures[23h59m])) / sum(last_over_time(weixin_history_daily_callbacks[23h59m]))", from, end, 24*time.Hour),
		rangeQuery("topk(10, max_over_time(weixin_history_daily_max_time_cost_seconds[30d]))", from, end, 7*24*time.Hour),
		rangeQuery("sum_over_time(weixin_history_hourly_callbacks[1d])", from, end, 24*time.Hour),
	}
	for b.Loop() {
		var idle, busy []float64
		for range 20 {
			idle = append(idle, scrapeTime(b, base))
		}
		before := x.usage(b)
		done := make(chan struct{})
		var all sync.WaitGroup
		var mu sync.Mutex
		var slowest float64
		refused := 0
		for i := range queries {
			all.Go(func() {
				took, status, body := timedQuery(b, base+texts[i%len(texts)])
				mu.Lock()
				slowest = max(slowest, took)
				switch status {
				case http.StatusOK:
				case http.StatusServiceUnavailable: // on a slow machine it may have waited for too long
					refused++
				default:
					b.Errorf("%d %.300s", status, body)
				}
				mu.Unlock()
			})
		}
		go func() { all.Wait(); close(done) }()
		for running := true; running; {
			busy = append(busy, scrapeTime(b, base))
			select {
			case <-done:
				running = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		slices.Sort(idle)
		slices.Sort(busy)
		b.ReportMetric(1000*idle[len(idle)/2], "ms/idle-scrape")
		b.ReportMetric(1000*busy[len(busy)/2], "ms/busy-scrape")
		b.ReportMetric(1000*busy[len(busy)*99/100], "ms/busy-scrape-p99")
		b.ReportMetric(slowest, "s/slowest-query")
		b.ReportMetric(float64(refused), "refused")
		b.ReportMetric(before.peak, "MB-peak/idle")
		b.ReportMetric(x.usage(b).peak, "MB-peak/busy")
	}
	x.end(b)
}

func rangeQuery(expression string, from, to time.Time, step time.Duration) string {
	return "/api/v1/query_range?" + url.Values{"query": {expression}, "start": {unixSeconds(from)}, "end": {unixSeconds(to)}, "step": {unixStep(step)}, "timeout": {"2m"}}.Encode()
}

// timedQuery returns how long a query takes, in seconds, the status and the response.
func timedQuery(b *testing.B, target string) (float64, int, []byte) {
	b.Helper()
	began := clock()
	response, err := http.Get(target)
	if err != nil {
		b.Error(err)
		return 0, 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.Error(err)
	}
	return clock().Sub(began).Seconds(), response.StatusCode, body
}

func scrapeTime(b *testing.B, base string) float64 {
	b.Helper()
	began := clock()
	scrapeAll(b, base+"/metrics", "gzip")
	return clock().Sub(began).Seconds()
}

// historyBlocks exports the history and makes blocks of it.
func historyBlocks(b *testing.B, promtool, config string) string {
	b.Helper()
	output, data := filepath.Join(b.TempDir(), "history.om"), dataFolder(b)
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(b.Context(), suite.binary, "export", "--config.file="+config, "--format=openmetrics", "--output="+output),
		exec.CommandContext(b.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h", output, data),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%.1000s", cmd.Args, err, mask(string(out)))
		}
	}
	return data
}

// fillHistory creates the store of a configuration with so many days of each account, and the hours of the last of them.
func fillHistory(b *testing.B, config string, accounts, days, hourlyDays int) {
	b.Helper()
	s, err := sqlite.Open(b.Context(), filepath.Join(filepath.Dir(config), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	today := datacube.DateOf(clock())
	for i := range accounts {
		appID := fmt.Sprintf("wx%016d", i)
		var records []store.Record
		for date := today - datacube.Date(days); date < today; date++ {
			known := date.End().Add(9 * time.Hour)
			state := store.State{Status: store.Known, Asks: 1, AskedAt: known, KnownAt: known, Rechecked: true}
			var hours datacube.Hours
			var day datacube.Figures
			for h := range hours {
				n := int64(1000 + 7*(i%977) + 31*h + int(date)%13)
				hours[h] = datacube.Figures{Callbacks: n, Failures: n / 300, TimeCostMillis: 83 * n, MaxTimeCostMillis: 3000 + n%1900}
				day.Callbacks += n
			}
			records = append(records, store.Record{AppID: appID, API: datacube.Daily, Date: date, State: state, Daily: &day})
			if date >= today-datacube.Date(hourlyDays) {
				records = append(records, store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: state, Hourly: &hours})
			}
		}
		if _, err := s.Save(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
}
