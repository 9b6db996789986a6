package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// With the configuration in docs/large-platforms.md, a real Prometheus discovers the shards and scrapes each account
// once.
func TestPrometheusDiscoversShards(t *testing.T) {
	t.Parallel()
	program(t, "PROMETHEUS", "prometheus") // skips before anything is started
	const shards = 8
	var accounts []account
	for i := range 3 * shards {
		accounts = append(accounts, newAccount(fmt.Sprintf("account-%d", i), i, int64(i*100)))
	}
	w := newFixture(t, accounts...)
	x := serve(t, w.config)
	w.waitComplete(t, x.web, accounts...)

	guide, err := os.ReadFile("../docs/large-platforms.md")
	if err != nil {
		t.Fatal(err)
	}
	config := regexp.MustCompile("(?s)```yaml\n(scrape_configs:\n[^`]*http_sd_configs:[^`]*)```").FindStringSubmatch(string(guide))
	if config == nil || !strings.Contains(config[1], fmt.Sprintf("http://localhost:9988/sd?shards=%d", shards)) {
		t.Fatal("docs/large-platforms.md has no configuration with the shards")
	}
	p := startPrometheus(t, "global: {scrape_interval: 2s, scrape_timeout: 2s}\n"+strings.ReplaceAll(config[1], "localhost:9988", x.base.Host))
	eventually(t, "a scrape of all shards", func() error {
		if up := p.query(t, `up == 1`); len(up) != shards {
			return fmt.Errorf("up: %v", up)
		}
		return nil
	})
	seen := map[string]bool{}
	for _, s := range p.query(t, `max_over_time(up[5m])`) {
		seen[s.labels["shard"]] = true
	}
	for i := range shards {
		if shard := fmt.Sprintf("%d/%d", i+1, shards); !seen[shard] {
			t.Errorf("shard %s is not scraped", shard)
		}
	}
	shown := x.metrics(t)
	job := p.query(t, `last_over_time(go_goroutines[5m])`)
	if len(job) != 1 {
		t.Fatalf("go_goroutines has %d series, want that of the first shard", len(job))
	}
	checkScraped(t, p, job[0].labels["job"], shown)
	for _, s := range p.query(t, `{__name__=~"weixin_.+"}`) {
		if _, there := s.labels["shard"]; there {
			t.Fatalf("%v has the label of its shard", s.labels)
		}
	}
	if strange := p.query(t, `last_over_time(scrape_samples_scraped[5m]) == 0`); len(strange) > 0 {
		t.Errorf("shards without any account: %v", strange)
	}
}

func TestShards(t *testing.T) {
	t.Parallel()
	w := newFixture(t, someAccounts()...)
	x := serve(t, w.config, "--web.telemetry-path=/statistics")
	got := map[string]int{}
	for _, shard := range []string{"1/3", "2/3", "3/3"} {
		part := parse(t, x.get(t, "/statistics?shard="+shard))
		for _, name := range accountsIn(part) {
			got[name]++
		}
		if _, live := part["go_goroutines"]; live != (shard == "1/3") {
			t.Errorf("shard %s has go_goroutines: %v", shard, live)
		}
	}
	for _, a := range w.accounts {
		if got[strings.ReplaceAll(strings.ReplaceAll(a.name, `\`, `\\`), `"`, `\"`)] != 1 && got[a.name] != 1 {
			t.Errorf("%s is in several shards or in none: %v", a.name, got)
		}
	}
	for _, path := range []string{"/statistics?shard=4/3", "/sd", "/sd?shards=0"} {
		if p := x.ask(t, http.MethodGet, path); p.status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", path, p.status)
		}
	}
	// Scheme and path are left to the scrape job, since there may be a proxy in front of the exporter.
	if p := x.get(t, "/sd?shards=2"); !strings.Contains(p.body, x.base.Host) || !strings.Contains(p.body, `"__param_shard":"2/2"`) ||
		strings.Contains(p.body, "__metrics_path__") || strings.Contains(p.body, "__scheme__") {
		t.Errorf("the response of /sd is %s", p.body)
	}
}
