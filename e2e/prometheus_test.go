package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// contractMetrics returns the names of metrics that users rely on.
func contractMetrics() []string {
	var names []string
	for _, period := range []string{"hourly", "daily"} {
		for _, figure := range []string{
			"callbacks", "failures", "time_cost_seconds", "max_time_cost_seconds", "average_time_cost_seconds", "data_timestamp_seconds",
		} {
			names = append(names, "weixin_interface_"+period+"_"+figure)
		}
	}
	return append(names,
		"weixin_account_info",
		"weixin_refresh_success",
		"weixin_refresh_last_success_timestamp_seconds",
		"weixin_refresh_failures_total",
		"weixin_accounts",
		"weixin_store_failures_total",
		"weixin_refresh_revisions_total",
		"weixin_api_requests_total",
		"weixin_store_known_dates",
		"weixin_exporter_build_info",
		"weixin_exporter_config_last_reload_successful",
		"weixin_exporter_config_last_reload_success_timestamp_seconds",
		"go_goroutines",
		"process_cpu_seconds_total",
	)
}

// prometheus is a running Prometheus.
type prometheus struct{ web }

// dataFolder returns a folder for the data of a Prometheus, or for blocks. Both programs allocate files of 128 and 512 MB and
// write little of them, which takes a file system in memory, where TMPDIR may be, as long as if all were written.
func dataFolder(tb testing.TB) string {
	tb.Helper()
	folder, err := os.MkdirTemp("/var/tmp", "weixin_exporter-") //nolint:usetesting // not in TMPDIR
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			tb.Error(err)
		}
	})
	return filepath.Join(folder, "data")
}

// startPrometheus starts a Prometheus with the given configuration.
func startPrometheus(t *testing.T, config string, args ...string) prometheus {
	t.Helper()
	binary := program(t, "PROMETHEUS", "prometheus")
	folder := t.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	writeFile(t, file, config)
	p := start(t, binary, append(args, "--config.file="+file, "--storage.tsdb.path="+dataFolder(t),
		"--web.listen-address=127.0.0.1:0", "--storage.tsdb.min-block-duration=2h")...)
	made := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
	made.waitReady(t)
	return made
}

// runPrometheus starts a Prometheus that scrapes the given exporters, by job.
func runPrometheus(t *testing.T, targets map[string]*exporter, args ...string) prometheus {
	t.Helper()
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n")
	for _, job := range slices.Sorted(maps.Keys(targets)) {
		fmt.Fprintf(&config, "  - job_name: %s\n    static_configs: [{targets: [%q]}]\n", job, targets[job].base.Host)
	}
	made := startPrometheus(t, config.String(), args...)
	for job := range targets {
		eventually(t, "a scrape of "+job, func() error {
			if up := made.query(t, fmt.Sprintf(`up{job=%q}`, job)); len(up) != 1 || up[0].value != 1 {
				return fmt.Errorf("up: %v", up)
			}
			return nil
		})
	}
	return made
}

// sample is an element of an instant vector.
type sample struct {
	labels map[string]string
	value  float64
}

// query evaluates an expression whose result is an instant vector.
func (p prometheus) query(t *testing.T, expression string) []sample {
	t.Helper()
	var response struct {
		Status, Error string
		Warnings      []string
		Data          struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	text := p.get(t, "/api/v1/query?query="+url.QueryEscape(expression)).body
	if err := json.Unmarshal([]byte(text), &response); err != nil || response.Status != "success" || len(response.Warnings) > 0 || response.Data.ResultType != "vector" {
		t.Fatalf("query %s: %v: %s", expression, err, mask(text))
	}
	samples := make([]sample, 0, len(response.Data.Result))
	for _, r := range response.Data.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatalf("query %s: %v", expression, err)
		}
		samples = append(samples, sample{r.Metric, value})
	}
	return samples
}

// A real Prometheus scrapes a configured exporter and the demonstration: once in OpenMetrics, and once in protobuf
// with native histograms.
func TestPrometheusScrapes(t *testing.T) {
	t.Parallel()
	program(t, "PROMETHEUS", "prometheus") // skips before anything is started
	w := newFixture(t, someAccounts()...)
	served := serve(t, w.config)
	w.waitComplete(t, served.web, w.accounts...)
	jobs := map[string]*exporter{"serve": served, "demo": runDemo(t)}
	for _, c := range []struct {
		name      string
		args      []string
		histogram string // the expression for its number of observations
	}{
		{"text", nil, "weixin_api_request_duration_seconds_count"},
		{"protobuf", []string{"--enable-feature=native-histograms"}, "histogram_count(weixin_api_request_duration_seconds)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := runPrometheus(t, jobs, c.args...)
			for job, x := range jobs {
				checkScraped(t, p, job, x.metrics(t))
			}
			var observed []sample
			eventually(t, c.histogram, func() error {
				if observed = p.query(t, c.histogram); len(observed) != 2*3 {
					return fmt.Errorf("%d series, want three for each job", len(observed))
				}
				return nil
			})
			for _, s := range observed {
				if s.value < 1 {
					t.Errorf("%s %v is %v", c.histogram, s.labels, s.value)
				}
			}
			checkNames(t, p, w)
		})
	}
}

// checkScraped compares the series of an exporter in Prometheus with those the exporter shows.
func checkScraped(t *testing.T, p prometheus, job string, shown samples) {
	t.Helper()
	for _, name := range contractMetrics() {
		want := 0
		for key := range shown {
			if key == name || strings.HasPrefix(key, name+"{") {
				want++
			}
		}
		// A later scrape may have timed out on a busy machine.
		got := p.query(t, fmt.Sprintf(`last_over_time(%s{job=%q}[5m])`, name, job))
		if want == 0 || len(got) != want {
			t.Errorf("%s of %s: %d series in Prometheus, %d at the exporter", name, job, len(got), want)
		}
		if !strings.HasPrefix(name, "weixin_interface_") {
			continue
		}
		for _, s := range got {
			labels := []string{"account", s.labels["account"]}
			if hour := s.labels["hour"]; hour != "" {
				labels = append(labels, "hour", hour)
			}
			if value, ok := shown[series(name, labels...)]; !ok || value != s.value {
				t.Errorf("%s %v of %s: %v in Prometheus, %v (exists: %v) at the exporter", name, s.labels, job, s.value, value, ok)
			}
		}
	}
}

// checkNames queries accounts by name, including those whose names need escaping.
func checkNames(t *testing.T, p prometheus, w *fixture) {
	t.Helper()
	for _, a := range w.accounts {
		got := p.query(t, fmt.Sprintf(`sum without (hour) (last_over_time(weixin_interface_hourly_callbacks{job="serve",account=%q}[5m]))`, a.name))
		daily := p.query(t, fmt.Sprintf(`last_over_time(weixin_interface_daily_callbacks{job="serve",account=%q}[5m])`, a.name))
		if len(got) != 1 || len(daily) != 1 || got[0].value != daily[0].value || got[0].labels["account"] != a.name {
			t.Errorf("%s: the sum of the hours is %v, the day is %v", a.name, got, daily)
		}
	}
}
