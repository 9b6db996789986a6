package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// rulesFile is the file that is shipped.
const rulesFile = "../alerts/weixin.rules.yml"

// notInDemo returns the metrics of rules that the demonstration lacks, and why.
func notInDemo() map[string]string {
	const (
		quota  = "needs weixin.quota, which the demonstration leaves off"
		remote = "needs a remote write endpoint"
		shared = "needs a store that exporters share"
	)
	return map[string]string{
		"weixin_api_quota_limit":                             quota,
		"weixin_api_quota_remaining":                         quota,
		"weixin_remote_write_samples_failed_total":           remote,
		"weixin_remote_write_pending_samples":                remote,
		"weixin_remote_write_last_success_timestamp_seconds": remote,
		"weixin_store_connections":                           shared,
		"weixin_store_exporters":                             shared,
		"weixin_store_max_connections":                       shared,
		"weixin_store_slots":                                 shared,
	}
}

// activeAlert is an alert in a Prometheus.
type activeAlert struct {
	Labels, Annotations map[string]string
	State               string
}

// name returns the alert's name and the labels that identify its subject.
func (a activeAlert) name() string {
	return strings.Join(slices.DeleteFunc([]string{
		a.Labels["alertname"], a.Labels["account"], a.Labels["reason"], a.Labels["api"],
	}, func(part string) bool { return part == "" }), " ")
}

// loadedRule is a rule as Prometheus reports it.
type loadedRule struct {
	Name, Query, Health, LastError string
	LastEvaluation                 time.Time
}

// api sends a request to the API of Prometheus. Warnings and infos fail the test.
func (p prometheus) api(t *testing.T, path string, into any) {
	t.Helper()
	response := struct {
		Status          string
		Warnings, Infos []string
		Data            any
	}{Data: into}
	text := p.get(t, path).body
	if err := json.Unmarshal([]byte(text), &response); err != nil || response.Status != "success" || len(response.Warnings)+len(response.Infos) > 0 {
		t.Fatalf("%s: %v: %s", path, err, mask(text))
	}
}

// firing returns the firing alerts, by name.
func (p prometheus) firing(t *testing.T) map[string]activeAlert {
	t.Helper()
	var data struct{ Alerts []activeAlert }
	p.api(t, "/api/v1/alerts", &data)
	firing := map[string]activeAlert{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing[a.name()] = a
		}
	}
	return firing
}

// rules waits until all rules were evaluated, and returns them.
func (p prometheus) rules(t *testing.T) []loadedRule {
	t.Helper()
	var data struct {
		Groups []struct{ Rules []loadedRule }
	}
	var all []loadedRule
	eventually(t, "an evaluation of every rule", func() error {
		data.Groups, all = nil, nil
		p.api(t, "/api/v1/rules", &data)
		for _, group := range data.Groups {
			all = append(all, group.Rules...)
		}
		for _, r := range all {
			if r.LastEvaluation.IsZero() || r.Health == "unknown" {
				return fmt.Errorf("%s was not evaluated", r.Name)
			}
		}
		if len(all) == 0 {
			return errors.New("no rules")
		}
		return nil
	})
	return all
}

// runRules starts a Prometheus that scrapes the exporter and has the shipped rules, except that "for" is 0: some of
// them take 36 hours.
func runRules(t *testing.T, binary string, x *exporter) prometheus {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "rules.yml"), regexp.MustCompile(`(?m)^( +for:) .*$`).ReplaceAllString(string(text), "$1 0s"))
	file := filepath.Join(folder, "prometheus.yml")
	writeFile(t, file, fmt.Sprintf(`
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: weixin
    static_configs: [{targets: [%[1]q]}]
  - job_name: weixin-callbacks
    metrics_path: /probe
    http_sd_configs: [{url: "http://%[1]s/sd?probes=1"}]
`, x.base.Host))
	p := start(t, binary, "--config.file="+file,
		"--storage.tsdb.path="+dataFolder(t), "--web.listen-address=127.0.0.1:0")
	made := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
	made.waitReady(t)
	return made
}

// waitFiring waits until exactly these alerts fire, apart from those of the excluded accounts.
func (p prometheus) waitFiring(t *testing.T, excluded map[string]bool, want ...string) map[string]activeAlert {
	t.Helper()
	var got map[string]activeAlert
	eventually(t, "the alerts", func() error {
		got = p.firing(t)
		names := make([]string, 0, len(got))
		for name, alert := range got {
			if !excluded[alert.Labels["account"]] {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			return fmt.Errorf("%q fire, want %q", names, want)
		}
		return nil
	})
	return got
}

// A real Prometheus with the rules scrapes the demonstration: the account with an incident and the one that is not
// authorized have their alerts, and the quiet ones have none. If $PROMETHEUS3 names a later version, which reports more
// about queries, the same holds for it.
func TestAlertsOnTheDemonstration(t *testing.T) {
	t.Parallel()
	binaries := []string{program(t, "PROMETHEUS", "prometheus")}
	if os.Getenv("PROMETHEUS3") != "" {
		binaries = append(binaries, program(t, "PROMETHEUS3", "prometheus3"))
	}
	x := runDemo(t)
	var servers []prometheus
	for _, binary := range binaries {
		servers = append(servers, runRules(t, binary, x))
	}
	shown := x.metrics(t)
	excluded := incidentsByChance(shown)
	known, refused := demoAccounts()
	var now, unknown []string // about the callback servers
	for _, name := range append(slices.Clone(known), refused, demoQuiet) {
		if excluded[name] {
			continue
		}
		unknown = append(unknown, "WeixinCallbackNotProbed "+name)
		if name == "news" {
			now = append(now, "WeixinCallbackDown "+name)
		}
	}
	slices.Sort(unknown)
	ofTheIncident := []string{
		"WeixinCallbacksFailed support-bot",
		"WeixinCallbacksTimedOut support-bot",
		"WeixinHourFailed support-bot",
		"WeixinRefreshNeedsAPerson not-verified permission",
	}
	for _, p := range servers {
		checkTexts(t, p.waitFiring(t, excluded, append(now, ofTheIncident...)...), shown)
		checkRules(t, p, shown)
	}

	// Without the exporter its own alert fires as well, and nothing is known of the callback servers; those of the
	// incident stay.
	x.stop(t, syscall.SIGTERM)
	for _, p := range servers {
		p.waitFiring(t, excluded, slices.Concat(now, unknown, ofTheIncident[:2], []string{"WeixinExporterDown"}, ofTheIncident[2:])...)
	}
}

// checkTexts fails for alerts whose texts have errors, or do not name the account or the day of the incident.
func checkTexts(t *testing.T, firing map[string]activeAlert, shown samples) {
	t.Helper()
	seconds := shown[series("weixin_interface_daily_data_timestamp_seconds", "account", "support-bot")]
	day := datacube.DateOf(time.Unix(int64(seconds), 0)).String()
	for name, alert := range firing {
		text := alert.Annotations["summary"] + " " + alert.Annotations["description"]
		if strings.Contains(text, "<error") || strings.Contains(text, "<no value>") || strings.Contains(text, "{{") {
			t.Errorf("the text of %s is %s", name, text)
		}
		if !strings.Contains(text, alert.Labels["account"]) || strings.HasSuffix(name, "support-bot") && !strings.Contains(text, day) {
			t.Errorf("%s does not name the account, or not the day %s: %s", name, day, text)
		}
	}
}

// incidentsByChance returns the other accounts that had an incident on the day that is shown: the simulator generates
// one for every account now and then.
func incidentsByChance(shown samples) map[string]bool {
	accounts := map[string]bool{}
	known, _ := demoAccounts()
	for _, name := range known {
		longest := shown[series("weixin_interface_daily_max_time_cost_seconds", "account", name)]
		accounts[name] = longest > 4.9 && name != "support-bot"
	}
	return accounts
}

// checkRules fails for rules that have an error or use metrics that do not exist.
func checkRules(t *testing.T, p prometheus, shown samples) {
	t.Helper()
	exists := map[string]bool{"up": true} // Prometheus adds it
	for key := range shown {
		name, _, _ := strings.Cut(key, "{")
		exists[name] = true
	}
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	absent := notInDemo()
	for name := range absent {
		if exists[name] || !strings.Contains(string(text), name) {
			t.Errorf("%s is listed as missing in the demonstration, but it exists, or no rule uses it", name)
		}
	}
	// The texts contain queries as well.
	for _, name := range regexp.MustCompile(`\b(weixin_[a-z_]+|process_[a-z_]+|up)\b[{ )\[]`).FindAllStringSubmatch(string(text), -1) {
		if name := name[1]; !exists[name] && absent[name] == "" && name != "weixin_exporter" {
			t.Errorf("the rules use %s, which does not exist", name)
		}
	}
	for _, r := range p.rules(t) {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("%s: health %s: %s", r.Name, r.Health, r.LastError)
		}
		p.api(t, "/api/v1/query?query="+url.QueryEscape(r.Query), &struct{}{})
	}
}
