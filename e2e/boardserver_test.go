package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// prometheuses returns the commands that evaluate the boards: the Prometheus of all tests, with classic and with
// native histograms, and a later version, which reports more about queries, if $PROMETHEUS3 names one.
func prometheuses(t *testing.T) map[string][]string {
	t.Helper()
	binary := program(t, "PROMETHEUS", "prometheus")
	commands := map[string][]string{"classic": {binary}, "native": {binary, "--enable-feature=native-histograms"}}
	if os.Getenv("PROMETHEUS3") != "" {
		commands["later"] = []string{program(t, "PROMETHEUS3", "prometheus3")}
	}
	return commands
}

// boardServers starts a Prometheus by each of the commands, with everything that boards can show, and the demonstration
// that all of them scrape and receive the history of.
func boardServers(t *testing.T, commands map[string][]string) (map[string]prometheus, *exporter) {
	t.Helper()
	blocks, targets, probes := dataFolder(t), filepath.Join(t.TempDir(), "targets.yml"), filepath.Join(t.TempDir(), "probes.json")
	earlier := runDemo(t)
	makeBlocks(t, t.TempDir(), blocks, scrapedYesterday(t, earlier))
	earlier.stop(t, syscall.SIGTERM)
	writeFile(t, targets, "[]")
	writeFile(t, probes, "[]")
	servers := map[string]prometheus{}
	var receivers []string
	for name, command := range commands {
		p := boardServer(t, command, blocks, targets, probes)
		servers[name] = p
		receivers = append(receivers, "--remote-write.url="+p.base.String()+"/api/v1/write")
	}
	x := runDemo(t, receivers...)
	writeFile(t, targets, fmt.Sprintf("[{targets: [%q]}]", x.base.Host))
	writeFile(t, probes, x.get(t, "/sd?probes=1").body)
	return servers, x
}

// boardServer starts a Prometheus with a copy of the blocks, which scrapes the targets in a file and the probes in another.
func boardServer(t *testing.T, command []string, blocks, targets, probes string) prometheus {
	t.Helper()
	data, config := dataFolder(t), filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.CopyFS(data, os.DirFS(blocks)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, fmt.Sprintf(`
global: {scrape_interval: %[1]v, scrape_timeout: %[1]v}
storage: {tsdb: {out_of_order_time_window: 35d}}
scrape_configs:
  - {job_name: demo, file_sd_configs: [{files: [%[2]q], refresh_interval: 1s}]}
  - {job_name: weixin-callbacks, metrics_path: /probe, file_sd_configs: [{files: [%[3]q], refresh_interval: 1s}]}
`, scrapeInterval, targets, probes))
	server := start(t, command[0], append(command[1:], "--config.file="+config, "--storage.tsdb.path="+data,
		"--storage.tsdb.retention.time=400d", "--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver")...)
	p := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: server.listensOn(t)})}
	p.waitReady(t)
	return p
}

// waitDemo waits until a Prometheus scrapes the demonstration and has its whole history.
func (p prometheus) waitDemo(t *testing.T) {
	t.Helper()
	known, _ := demoAccounts()
	for expression, want := range map[string]int{
		`up{job="demo"} == 1`: 1,
		// One for each account: the refused and the quiet one have callbacks, too.
		`count(probe_success{job="weixin-callbacks"})`:                           len(known) + 2,
		`sum(count_over_time(weixin_history_daily_max_time_cost_seconds[40d]))`:  len(known)*history + quietDays,
		`sum(count_over_time(weixin_history_hourly_max_time_cost_seconds[40d]))`: (len(known)*history + quietDays) * datacube.HoursPerDay,
	} {
		eventually(t, expression, func() error {
			if got := p.query(t, expression); len(got) != 1 || got[0].value != float64(want) {
				return fmt.Errorf("%v, want %d", got, want)
			}
			return nil
		})
	}
}

// scrapedYesterday returns what a Prometheus would have scraped around this time yesterday: the hours that an
// exporter shows, but for the day before and with three quarters of the figures.
func scrapedYesterday(t *testing.T, x *exporter) []string {
	t.Helper()
	var samples []string
	now := clock()
	for text := range strings.SplitSeq(x.get(t, "/metrics").body, "\n") {
		if !strings.HasPrefix(text, "weixin_interface_hourly_") {
			continue
		}
		end := strings.LastIndex(text, " ")
		value, err := strconv.ParseFloat(text[end+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(text, "weixin_interface_hourly_data_timestamp_seconds") {
			value -= (24 * time.Hour).Seconds()
		} else {
			value *= 0.75
		}
		for at := now.Add(-25 * time.Hour); at.Before(now.Add(-23 * time.Hour)); at = at.Add(time.Minute) {
			samples = append(samples, fmt.Sprintf("%s %v %d", text[:end], value, at.Unix()))
		}
	}
	return samples
}

// makeBlocks creates blocks of samples for a Prometheus that is not started yet.
func makeBlocks(t *testing.T, folder, data string, samples []string) {
	t.Helper()
	promtool := program(t, "PROMTOOL", "promtool")
	// The samples of a metric must be grouped.
	slices.SortStableFunc(samples, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "{")
		nameB, _, _ := strings.Cut(b, "{")
		return strings.Compare(nameA, nameB)
	})
	file := filepath.Join(folder, "samples.txt")
	writeFile(t, file, strings.Join(samples, "\n")+"\n# EOF\n")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, promtool, "tsdb", "create-blocks-from", "openmetrics", file, data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making blocks: %v\n%s", err, out)
	}
}
