package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// The alerts are checked here as far as no running program is needed; e2e has the rest.

const rulesFile = "alerts/weixin.rules.yml"

// A rule is a recording rule or an alert of a rules file.
type rule struct {
	Record        string
	Alert         string
	Expr          string
	For           string
	KeepFiringFor string `yaml:"keep_firing_for"`
	Labels        map[string]string
	Annotations   map[string]string
}

// readYAML reads a file strictly: a key that the type lacks is an error.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	loader, err := yaml.NewLoader(strings.NewReader(document(t, path)), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// rules returns the rules of a file, by what they record or how the alert is named.
func rules(t *testing.T) map[string]rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	readYAML(t, rulesFile, &file)
	byName := map[string]rule{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			name := r.Record + r.Alert
			if _, twice := byName[name]; twice {
				t.Errorf("%s has %s twice", rulesFile, name)
			}
			byName[name] = r
		}
	}
	return byName
}

// alerts returns those of the rules that are alerts.
func alerts(t *testing.T) map[string]rule {
	t.Helper()
	found := rules(t)
	maps.DeleteFunc(found, func(_ string, r rule) bool { return r.Alert == "" })
	if len(found) == 0 {
		t.Fatalf("%s has no alerts", rulesFile)
	}
	return found
}

// alertTests are the files of promtool's unit tests.
func alertTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("alerts/tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no unit tests of the alerts: %v", err)
	}
	return files
}

// tool returns the path of a program that a test needs. Without it the test is skipped, or fails
// where the end-to-end tests must not skip either.
func tool(t *testing.T, variable, name string) string {
	t.Helper()
	path, err := exec.LookPath(os.Getenv(variable))
	if err != nil {
		path, err = exec.LookPath(name)
	}
	switch {
	case err != nil && os.Getenv("E2E_REQUIRED") != "":
		t.Fatalf("this test needs %s: install it, or name it with $%s: %v", name, variable, err)
	case err != nil:
		t.Skipf("this test needs %s; install it, or name it with $%s: %v", name, variable, err)
	}
	return path
}

func TestAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "PROMTOOL", "promtool")
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", rulesFile).CombinedOutput()
	if want := fmt.Sprintf("SUCCESS: %d rules found", len(rules(t))); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %s:\n%s", err, want, out)
	}
	for _, file := range alertTests(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "SUCCESS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// Each alert has a unit test in which it fires, and one in which it does not.
func TestAlertsHaveUnitTests(t *testing.T) {
	firing, silent := map[string]bool{}, map[string]bool{}
	for _, file := range alertTests(t) {
		var suite struct {
			Tests []struct {
				Alerts []struct {
					Name string `yaml:"alertname"`
					Want []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(document(t, file)), &suite); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range suite.Tests {
			for _, alert := range test.Alerts {
				if len(alert.Want) > 0 {
					firing[alert.Name] = true
				} else {
					silent[alert.Name] = true
				}
			}
		}
	}
	for name := range alerts(t) {
		if !firing[name] || !silent[name] {
			t.Errorf("%s is tested firing: %v, not firing: %v", name, firing[name], silent[name])
		}
	}
}

func TestAlertsSayWhatIsNeeded(t *testing.T) {
	const runbooks = "https://weixin-exporter.example/docs/alerts.md#"
	guide := document(t, "docs/alerts.md")
	severities := map[string]bool{"warning": true, "info": true}
	for name, alert := range alerts(t) {
		if severity := alert.Labels["severity"]; !severities[severity] || len(alert.Labels) != 1 {
			t.Errorf("%s has the labels %v, want a severity alone, which is one of %v", name, alert.Labels, severities)
		}
		if keys := slices.Sorted(maps.Keys(alert.Annotations)); !slices.Equal(keys, []string{"description", "runbook_url", "summary"}) {
			t.Errorf("%s has the annotations %q", name, keys)
		}
		if url := alert.Annotations["runbook_url"]; url != runbooks+strings.ToLower(name) {
			t.Errorf("%s points to %s", name, url)
		}
		if alert.For == "" {
			t.Errorf("%s fires at the first scrape", name)
		}
		text := strings.Join(strings.Fields(alert.Annotations["summary"]+" "+alert.Annotations["description"]), " ")
		whom := "{{ $labels.account }}"
		if !strings.Contains(alert.Expr, "account") && !strings.Contains(alert.Expr, "weixin:") {
			whom = "weixin" // the exporter, all its accounts
		}
		if !strings.Contains(alert.Annotations["summary"], whom) {
			t.Errorf("the summary of %s does not name %s: %s", name, whom, alert.Annotations["summary"])
		}
		if strings.Contains(alert.Expr, "account") && !strings.Contains(text, "a day late") {
			t.Errorf("%s does not say that figures are a day late: %s", name, text)
		}
		if strings.Contains(alert.Expr, "interface_") && !strings.Contains(alert.Annotations["summary"], "humanizeTimestamp") {
			t.Errorf("the summary of %s does not name the day: %s", name, alert.Annotations["summary"])
		}
		checkGuide(t, guide, alert, thresholds(rules(t), alert.Expr))
	}
}

// thresholds counts those of an expression and of the recording rules that it uses.
func thresholds(known map[string]rule, expr string) int {
	count := strings.Count(expr, "# Threshold")
	for name := range found(`\b(weixin:[a-z_:]+)`, expr) {
		count += thresholds(known, known[name].Expr)
	}
	return count
}

// checkGuide looks for the alert's section in the document, with its times, severity and advice on
// as many thresholds.
func checkGuide(t *testing.T, guide string, alert rule, want int) {
	t.Helper()
	_, section, ok := strings.Cut(guide, "\n## "+alert.Alert+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !ok {
		t.Errorf("docs/alerts.md has no heading %s", alert.Alert)
	}
	for _, part := range []string{
		"**Meaning.**", "**What to do.**", "**Changing.**", "| threshold | why |",
		"**Severity** `" + alert.Labels["severity"] + "`. **For** " + alert.For,
	} {
		if !strings.Contains(section, part) {
			t.Errorf("docs/alerts.md does not say %q of %s", part, alert.Alert)
		}
	}
	if n := strings.Count(section, "\n| "); want > 0 && n < want+1 {
		t.Errorf("docs/alerts.md explains %d thresholds of %s, which has %d", n-1, alert.Alert, want)
	}
}

// The alerts on figures judge by the numbers of the package summary, as the page does.
func TestAlertsJudgeAsThePage(t *testing.T) {
	known := rules(t)
	for name, want := range map[string]map[string]float64{
		"WeixinCallbacksFailed": {
			"failed callbacks in the day": datacube.ManyFailures, "failure ratio of the day": datacube.HighFailureRatio,
		},
		"weixin:interface_fail_ratio:bad_hours": {
			"failed callbacks in the hour": datacube.ManyFailures, "failure ratio of the hour": datacube.HighHourFailureRatio,
		},
		"WeixinCallbacksTimedOut": {
			"failed callbacks in the day": datacube.ManyFailures, "failure ratio of the day": datacube.TimeoutFailureRatio,
			"the longest callback, in seconds; Weixin gives up after 5": datacube.TimeoutSeconds,
		},
	} {
		got := map[string]float64{}
		for _, match := range regexp.MustCompile(`# Threshold: (.*)\n[^#]*?>= ([0-9.]+)`).FindAllStringSubmatch(known[name].Expr, -1) {
			number, err := strconv.ParseFloat(match[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			got[match[1]] = number
		}
		for what, number := range want {
			if got[what] != number {
				t.Errorf("%s: %s is %v, want %v", name, what, got[what], number)
			}
		}
	}
}

// Every reason for which a refresh fails is one that needs a person or one that passes, and both rules agree.
func TestAlertsKnowAllReasons(t *testing.T) {
	expr := rules(t)["weixin:refresh_failing:person"].Expr
	lists := found(`reason=~"([a-z_|]+)"`, expr)
	const passing = "busy|rate|store"
	if len(lists) != 2 || !lists[passing] {
		t.Fatalf("the rule has the reasons %v, want those that need a person and %s", lists, passing)
	}
	// They pass at midnight, are none, and have an alert of their own.
	known := map[string]bool{"quota": true, "not_ready": true, "invalid_rows": true}
	for list := range lists {
		for reason := range strings.SplitSeq(list, "|") {
			known[reason] = true
		}
	}
	reasons := map[string]bool{}
	for reason := range snapshot.Reasons {
		reasons[reason.String()] = true
	}
	if lacking, strange := missing(reasons, known), missing(known, reasons); len(lacking)+len(strange) > 0 {
		t.Errorf("the rule lacks the reasons %q and has %q, which do not exist", lacking, strange)
	}
}

// The command at the top of the rules leads every alert to another document.
func TestAlertsLeadElsewhere(t *testing.T) {
	text := document(t, rulesFile)
	command := regexp.MustCompile(`(?m)^# +sed -i '([^']+)' weixin\.rules\.yml$`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no command at the top")
	}
	out, err := exec.CommandContext(t.Context(), "sed", command[1], rulesFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Count(text, "runbook_url: https://weixin-exporter.example/docs/alerts.md#")
	after := strings.Count(string(out), "runbook_url: https://wiki.example/weixin#")
	if before != len(alerts(t)) || after != before {
		t.Errorf("%d of %d links are led elsewhere, of %d alerts", after, before, len(alerts(t)))
	}
}
