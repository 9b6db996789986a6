package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/summary"
)

// emptyPanels are the queries that have no series in the demonstration, and why.
func emptyPanels() map[string]string {
	return map[string]string{
		"weixin-overview/Calls left today/A": "the demonstration does not ask for the quota",
	}
}

// allAccounts is what the variable stands for where all accounts are chosen.
const allAccounts = ".*"

// scrapeInterval is that of the Prometheus of runPrometheus and of fullPrometheus.
const scrapeInterval = 2 * time.Second

// Every query of every board, against a real Prometheus that scrapes the demonstration, has what it
// scraped a day ago, and holds the history at its own time.
func TestBoards(t *testing.T) {
	t.Parallel()
	boards := readBoards(t)
	for name, binary := range prometheuses(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fullPrometheus(t, binary)
			empty := emptyPanels()
			for _, b := range boards {
				for _, panel := range b.Panels {
					for _, q := range panel.Targets {
						key := b.UID + "/" + panel.Title + "/" + q.RefID
						checkTarget(t, p, b, panel, q, key, empty[key])
						delete(empty, key)
					}
				}
			}
			for key := range empty {
				t.Errorf("%s is said to be empty, and does not exist", key)
			}
		})
	}
}

// checkTarget evaluates a query as Grafana would: for all accounts, for one, and for one whose name is
// awkward.
func checkTarget(t *testing.T, p prometheus, b board, in panel, q target, key, whyEmpty string) {
	t.Helper()
	eventually(t, key, func() error {
		n, err := p.show(t, b, in, q, allAccounts)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", key, err)
		case whyEmpty == "" && n == 0:
			return errors.New("no series")
		case whyEmpty != "" && n > 0:
			t.Errorf("%s has %d series, though %s", key, n, whyEmpty)
		}
		return nil
	})
	if !strings.Contains(q.Expr, "$account") && !strings.Contains(q.Expr, "${account") {
		return
	}
	n, err := p.show(t, b, in, q, "("+regexOf("support-bot")+"|"+regexOf("not-verified")+")")
	if err != nil || n == 0 && whyEmpty == "" {
		t.Errorf("%s, two accounts: %d series, %v", key, n, err)
	}
	if _, err := p.show(t, b, in, q, regexOf(`客服 "机器人" \ №2 (a.b|c/d) '`)); err != nil {
		t.Errorf("%s, an account with an awkward name: %v", key, err)
	}
}

// show evaluates a query over the time that the board shows and returns the number of series.
func (p prometheus) show(t *testing.T, b board, in panel, q target, accounts string) (int, error) {
	t.Helper()
	now := clock()
	s := span{from: now.Add(-5 * time.Minute), to: now, scrape: scrapeInterval}
	if strings.HasSuffix(b.UID, "-history") {
		s.from = now.AddDate(0, 0, -84)
	}
	step := s.step(t, in, q)
	form := url.Values{"query": {s.expression(q, step, accounts)}}
	path := "/api/v1/query"
	switch {
	case q.Instant && !q.Range:
		form.Set("time", unixSeconds(s.to))
	case q.Range && !q.Instant:
		path = "/api/v1/query_range"
		form.Set("start", unixSeconds(aligned(s.from, step)))
		form.Set("end", unixSeconds(aligned(s.to, step)))
		form.Set("step", strconv.Itoa(int(step.Seconds())))
	default:
		return 0, errors.New("neither an instant query nor one over a range")
	}
	var answer struct {
		Status, Error   string
		Warnings, Infos []string
		Data            struct {
			Result []json.RawMessage
		}
	}
	reply := p.ask(t, "GET", path+"?"+form.Encode())
	if err := json.Unmarshal([]byte(reply.body), &answer); err != nil {
		return 0, fmt.Errorf("%w: %s", err, reply.body)
	}
	if remarks := append(answer.Warnings, answer.Infos...); answer.Status != "success" || len(remarks) > 0 {
		return 0, fmt.Errorf("%s %q %s", answer.Error, remarks, form.Get("query"))
	}
	return len(answer.Data.Result), nil
}

func unixSeconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// prometheuses returns the binaries to test with: the one of all tests and, where it is to be had, a later
// one, which has more to remark on queries.
func prometheuses(t *testing.T) map[string]string {
	t.Helper()
	binaries := map[string]string{"prometheus": program(t, "PROMETHEUS", "prometheus")}
	if os.Getenv("PROMETHEUS3") != "" {
		binaries["prometheus3"] = program(t, "PROMETHEUS3", "prometheus3")
	}
	return binaries
}

// fullPrometheus starts a Prometheus with all that boards can show.
func fullPrometheus(t *testing.T, binary string) prometheus {
	t.Helper()
	folder := t.TempDir()
	data := filepath.Join(folder, "data")
	first := runDemo(t)
	makeBlocks(t, folder, data, scrapedYesterday(t, first))
	makeBlocks(t, folder, data, madeHistory())
	targets := filepath.Join(folder, "targets.json")
	writeFile(t, targets, "[]")
	config := filepath.Join(folder, "prometheus.yml")
	writeFile(t, config, fmt.Sprintf(`
global: {scrape_interval: %[1]v, scrape_timeout: %[1]v}
storage: {tsdb: {out_of_order_time_window: 35d}}
scrape_configs: [{job_name: demo, file_sd_configs: [{files: [%[2]q], refresh_interval: 1s}]}]
`, scrapeInterval, targets))
	started := start(t, binary, "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address=127.0.0.1:0",
		"--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=400d")
	p := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: started.listensOn(t)})}
	p.waitReady(t)
	writeFile(t, targets, fmt.Sprintf(`[{"targets": [%q]}]`, first.base.Host))
	eventually(t, "a scrape", func() error {
		if up := p.query(t, `up{job="demo"} == 1`); len(up) != 1 {
			return fmt.Errorf("up: %v", up)
		}
		return nil
	})
	return p
}

// scrapedYesterday returns what a Prometheus would have scraped a day ago, for an hour around that time: the
// gauges of an exporter, of the day before the one that it shows.
func scrapedYesterday(t *testing.T, x *exporter) string {
	t.Helper()
	var b strings.Builder
	now := clock()
	for line := range strings.SplitSeq(x.get(t, "/metrics").body, "\n") {
		if !strings.HasPrefix(line, "weixin_interface_hourly_") {
			continue
		}
		key, text, _ := strings.Cut(line, "} ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(key, "weixin_interface_hourly_data_timestamp_seconds") {
			value -= (24 * time.Hour).Seconds()
		}
		for at := now.Add(-25 * time.Hour); at.Before(now.Add(-23 * time.Hour)); at = at.Add(time.Minute) {
			fmt.Fprintf(&b, "%s} %v %d\n", key, value, at.Unix())
		}
	}
	return b.String()
}

// madeHistory returns a month of history.
func madeHistory() string {
	var b strings.Builder
	known, _ := demoAccounts()
	today := summary.DateOf(clock())
	for _, period := range apis() {
		for _, what := range []string{"callbacks", "failures", "time_cost_seconds", "max_time_cost_seconds"} {
			for _, account := range known {
				for date := today - history; date < today; date++ {
					if period == summary.Daily.String() {
						fmt.Fprintf(&b, "weixin_history_daily_%s{account=%q} %d %d\n", what, account, int(date)%7+2, date.End().Unix())
						continue
					}
					for hour := range summary.HoursPerDay {
						fmt.Fprintf(&b, "weixin_history_hourly_%s{account=%q} %d %d\n", what, account, hour+1, date.Start().Add(time.Duration(hour+1)*time.Hour).Unix())
					}
				}
			}
		}
	}
	return b.String()
}

// makeBlocks puts samples into the folder of a Prometheus that is yet to be started.
func makeBlocks(t *testing.T, folder, data, samples string) {
	t.Helper()
	promtool := program(t, "PROMTOOL", "promtool")
	lines := strings.Split(strings.TrimSpace(samples), "\n")
	slices.SortStableFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "{")
		nameB, _, _ := strings.Cut(b, "{")
		return strings.Compare(nameA, nameB)
	})
	file := filepath.Join(folder, "samples.txt")
	writeFile(t, file, strings.Join(lines, "\n")+"\n# EOF\n")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h", file, data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making blocks: %v\n%s", err, out)
	}
}
