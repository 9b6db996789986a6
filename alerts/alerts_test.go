package alerts_test

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/repotest"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// The alerts are checked here as far as no running program is needed; alerts/tests has the unit tests of
// promtool, e2e the rest.

func TestAlertsSayWhatIsNeeded(t *testing.T) {
	const runbooks = "https://weixin-exporter.example/docs/alerts.md#"
	guide := repotest.Text(t, "docs/alerts.md")
	severities := map[string]bool{"critical": true, "warning": true, "info": true}
	for name, alert := range repotest.Alerts(t) {
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
		if !regexp.MustCompile(`\baccount\b`).MatchString(alert.Expr) && !strings.Contains(alert.Expr, "weixin:") {
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
		checkGuide(t, guide, alert, thresholds(repotest.Rules(t), alert.Expr))
	}
}

// thresholds counts those of an expression and of the recording rules that it uses.
func thresholds(known map[string]repotest.Rule, expr string) int {
	count := strings.Count(expr, "# Threshold")
	for name := range repotest.Found(`\b(weixin:[a-z_:]+)`, expr) {
		count += thresholds(known, known[name].Expr)
	}
	return count
}

// checkGuide looks for the alert's section in the document, with its times, severity and advice on
// as many thresholds.
func checkGuide(t *testing.T, guide string, alert repotest.Rule, want int) {
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
	known := repotest.Rules(t)
	for name, want := range map[string]map[string]float64{
		"WeixinCallbacksFailed": {
			"failed callbacks in the day": datacube.ManyFailures, "failure ratio of the day": datacube.HighFailureRatio,
		},
		"weixin:interface_fail_ratio:bad_hours": {
			"failed callbacks in the hour": datacube.ManyFailures, "failure ratio of the hour": datacube.HighHourFailureRatio,
			"how many times the failure ratio of the whole day": datacube.HourTimesDay,
		},
		"WeixinCallbacksTimedOut": {
			"failed callbacks in the day": datacube.ManyFailures, "failure ratio of the day": datacube.TimeoutFailureRatio,
			"the longest callback, in seconds; Weixin gives up after 5": datacube.TimeoutSeconds,
		},
	} {
		got := map[string]float64{}
		for _, match := range regexp.MustCompile(`# Threshold: (.*)\n[^#]*?([0-9][0-9.]*)`).FindAllStringSubmatch(known[name].Expr, -1) {
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
	expr := repotest.Rules(t)["weixin:refresh_failing:person"].Expr
	lists := repotest.Found(`reason=~"([a-z_|]+)"`, expr)
	const passing = "busy|rate|store"
	if len(lists) != 2 || !lists[passing] {
		t.Fatalf("the rule has the reasons %v, want those that need a person and %s", lists, passing)
	}
	// The first passes at midnight, the second is not a failure, the third has its own alert.
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
	if lacking, strange := repotest.Missing(reasons, known), repotest.Missing(known, reasons); len(lacking)+len(strange) > 0 {
		t.Errorf("the rule lacks the reasons %q and has %q, which do not exist", lacking, strange)
	}
}

// The command at the top of the rules leads every alert to another document.
func TestAlertsLeadElsewhere(t *testing.T) {
	text := repotest.Text(t, repotest.RulesFile)
	command := regexp.MustCompile(`(?m)^# +sed -i '([^']+)' weixin\.rules\.yml$`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no command at the top")
	}
	out, err := exec.CommandContext(t.Context(), "sed", command[1], repotest.Path(t, repotest.RulesFile)).Output()
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Count(text, "runbook_url: https://weixin-exporter.example/docs/alerts.md#")
	after := strings.Count(string(out), "runbook_url: https://wiki.example/weixin#")
	if before != len(repotest.Alerts(t)) || after != before {
		t.Errorf("%d of %d links are led elsewhere, of %d alerts", after, before, len(repotest.Alerts(t)))
	}
}
