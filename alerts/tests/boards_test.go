package tests_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"

	"weixin_exporter/internal/repotest"
)

// sample is one that promtool's test of a query expects.
type sample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// Panels that show what an alert fires for count what it counts.
func TestBoardsCountAsTheAlerts(t *testing.T) {
	t.Parallel()
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type expectation struct {
		Expr     string   `yaml:"expr"`
		EvalTime string   `yaml:"eval_time"`
		Want     []sample `yaml:"exp_samples"`
	}
	const failing, givenUp = "Accounts failing", "Samples given up by remote write"
	suite := map[string]any{"tests": []any{map[string]any{
		"interval": "1m",
		"input_series": []series{
			{`weixin_refresh_success{job="weixin",instance="a",account="never asked",api="daily"}`, "0x60"},
			{`weixin_refresh_last_success_timestamp_seconds{job="weixin",instance="a",account="never asked",api="daily"}`, "0x60"},
			{`weixin_refresh_success{job="weixin",instance="a",account="refused",api="daily"}`, "0x60"},
			{`weixin_refresh_last_success_timestamp_seconds{job="weixin",instance="a",account="refused",api="daily"}`, "0x60"},
			{`weixin_refresh_failures_total{job="weixin",instance="a",account="refused",api="daily",reason="token"}`, "1x60"},
			{`weixin_refresh_success{job="weixin",instance="a",account="no longer",api="hourly"}`, "0x60"},
			{`weixin_refresh_last_success_timestamp_seconds{job="weixin",instance="a",account="no longer",api="hourly"}`, "9x60"},
			{`weixin_refresh_success{job="weixin",instance="a",account="well",api="daily"}`, "1x60"},
			{`weixin_refresh_last_success_timestamp_seconds{job="weixin",instance="a",account="well",api="daily"}`, "9x60"},
			// Refused in the first request of an exporter that was started at minute 4; and long ago, before it was scraped.
			{`process_start_time_seconds{job="weixin",instance="new"}`, "_x5 240x200"},
			{`weixin_remote_write_samples_failed_total{job="weixin",instance="new",endpoint="a",reason="too_old"}`, "_x5 3000x200"},
			{`process_start_time_seconds{job="weixin",instance="old"}`, "-86400x200"},
			{`weixin_remote_write_samples_failed_total{job="weixin",instance="old",endpoint="a",reason="rejected"}`, "7x200"},
		},
		"promql_expr_test": []expectation{
			{queryOf(t, failing), "30m", []sample{{"{}", 2}}},
			{queryOf(t, failing), "90m", []sample{{"{}", 0}}}, // there are none
			{queryOf(t, givenUp), "30m", []sample{{`{reason="too_old"}`, 3000}, {`{reason="rejected"}`, 0}}},
			{queryOf(t, givenUp), "90m", []sample{{`{reason="too_old"}`, 0}, {`{reason="rejected"}`, 0}}},
		},
	}}}
	file := filepath.Join(t.TempDir(), "boards.yml")
	write(t, file, encoded(t, suite))
	if out, err := promtool(t, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// queryOf returns the only query of a panel of the overview, for all accounts and exporters.
func queryOf(t *testing.T, title string) string {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(repotest.Text(t, "dashboards/weixin-overview.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if p.Title == title && len(p.Targets) == 1 {
			return regexp.MustCompile(`\$\{[a-z]+:regex\}`).ReplaceAllString(p.Targets[0].Expr, ".*")
		}
	}
	t.Fatalf("the overview has no panel %q with one query", title)
	return ""
}
