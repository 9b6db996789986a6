package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkPrometheus lets a real Prometheus ($PROMETHEUS3) scrape 10,000 accounts, whole and in eight shards, as
// OpenMetrics and as protobuf, which it requests because of scrape_native_histograms. It reports Prometheus' own
// scrape_duration_seconds, in which parsing is most, and what a scrape of all accounts costs the exporter.
func BenchmarkPrometheus(b *testing.B) {
	binary := os.Getenv("PROMETHEUS3")
	if testing.Short() || binary == "" {
		b.Skip("fills a store for two minutes, and needs a Prometheus that $PROMETHEUS3 names")
	}
	const accounts, scrapes = 10_000, 3
	config := manyAccounts(b, accounts, "http://127.0.0.1:9", history, 4)
	fillStore(b, config, accounts, history)
	for _, shards := range []int{1, 8} {
		for _, format := range []struct{ name, setting string }{
			{"openmetrics", "scrape_protocols: [OpenMetricsText1.0.0]"},
			{"protobuf", "scrape_native_histograms: true"},
		} {
			b.Run(fmt.Sprintf("shards=%d/format=%s", shards, format.name), func(b *testing.B) {
				var cpu, peak, duration, samples float64
				for b.Loop() {
					x := start(b, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
					address := x.listensOn(b)
					x.waitSnapshot(b, "http://"+address+"/metrics")
					before := x.usage(b)
					p := startScraping(b, binary, address, shards, format.setting)
					// The first scrape renders everything.
					p.wait(b, fmt.Sprintf("min(count_over_time(scrape_duration_seconds[1h])) > %d", scrapes))
					after := x.usage(b)
					all := p.value(b, "sum(count_over_time(scrape_duration_seconds[1h]))") / float64(shards)
					cpu += (after.seconds - before.seconds) / all
					peak = max(peak, after.peak)
					duration += p.value(b, "max(quantile_over_time(0.5, scrape_duration_seconds[1h]))")
					samples = p.value(b, "sum(scrape_samples_scraped)")
					p.end(b)
					x.end(b)
				}
				b.ReportMetric(1000*duration/float64(b.N), "ms/scrape") // the median of the slowest target
				b.ReportMetric(1000*cpu/float64(b.N), "exporter-cpu-ms")
				b.ReportMetric(peak, "exporter-MB-peak")
				b.ReportMetric(samples, "samples")
			})
		}
	}
}

// scraping is a Prometheus that scrapes the exporter.
type scraping struct {
	*process
	url string
}

func startScraping(b *testing.B, binary, address string, shards int, setting string) scraping {
	b.Helper()
	folder := b.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	var text strings.Builder
	fmt.Fprintf(&text, "scrape_configs:\n  - job_name: weixin\n    scrape_interval: 15s\n    scrape_timeout: 15s\n    %s\n    static_configs:\n", setting)
	for i := range shards {
		fmt.Fprintf(&text, "      - {targets: [%q], labels: {shard: %q, __param_shard: %[2]q}}\n", address, fmt.Sprintf("%d/%d", i+1, shards))
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	p := start(b, binary, "--config.file="+file, "--storage.tsdb.path="+dataFolder(b), "--web.listen-address=127.0.0.1:0")
	return scraping{p, "http://" + p.listensOn(b)}
}

// wait waits until an expression has a result.
func (s scraping) wait(b *testing.B, expression string) {
	b.Helper()
	eventually(b, expression, func() error {
		found, err := s.instant(expression)
		if err == nil && len(found) == 0 {
			err = errors.New("no result yet")
		}
		return err
	})
}

// value returns the only result of an expression.
func (s scraping) value(b *testing.B, expression string) float64 {
	b.Helper()
	found, err := s.instant(expression)
	if err != nil || len(found) != 1 {
		b.Fatalf("%s: %v, %v", expression, found, err)
	}
	return found[0]
}

func (s scraping) instant(expression string) ([]float64, error) {
	response, err := http.Get(s.url + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var result struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return nil, fmt.Errorf("%s: %w", response.Status, err)
	}
	values := make([]float64, len(result.Data.Result))
	for i, r := range result.Data.Result {
		if values[i], err = strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err != nil {
			return nil, err
		}
	}
	return values, nil
}
