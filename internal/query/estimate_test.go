package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/repotest"
	"weixin_exporter/internal/store"
)

// brokenSource fails as soon as a query is executed.
type brokenSource struct{ query.Source }

func (brokenSource) Changed(context.Context, store.Mark) ([]string, store.Mark, error) {
	return nil, 0, errDisk
}

// manyWorld has 10,000 accounts, the default of --query.max-samples, and a store that fails: only queries that are
// refused before they are executed end in another way.
func manyWorld() *world {
	w := &world{now: (firstDay + 30).Start().Add(12 * time.Hour)}
	for i := range 10_000 {
		w.accounts = append(w.accounts, query.Account{Name: fmt.Sprintf("shop-%05d", i), AppID: fmt.Sprintf("wx%016d", i)})
	}
	w.over(brokenSource{})
	w.limits = query.Limits{Timeout: time.Minute, MaxSamples: 50_000_000, MaxConcurrency: 20, LookbackDelta: 5 * time.Minute}
	return w
}

// range30d is the time of a range query of 720 steps.
func range30d(expression string) url.Values {
	return url.Values{"query": {expression}, "start": {seconds(firstDay.Start())}, "end": {seconds((firstDay + 30).Start())}, "step": {"1h"}}
}

// executed sends an expression to both endpoints and reports what is not executed.
func (c *client) executed(t *testing.T, expression string) {
	t.Helper()
	for _, path := range []string{"query", "query_range"} {
		if got := c.form(t, path, range30d(expression)); !strings.Contains(got.Error, errDisk.Error()) {
			t.Errorf("%s of %.300s: %d %s", path, expression, got.Code, got.Error)
		}
	}
}

// TestBoardsOfManyAccounts: the queries of the boards, rules and alerts are executed however many accounts there are.
func TestBoardsOfManyAccounts(t *testing.T) {
	api := manyWorld().api(t)
	expressions := map[string]bool{}
	for _, file := range repotest.Glob(t, "dashboards/*.json") {
		var board struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
		if err := json.Unmarshal([]byte(repotest.Text(t, file)), &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, q := range p.Targets {
				expressions[strings.ReplaceAll(q.Expr, "$__rate_interval", "5m")] = true
			}
		}
	}
	for _, rule := range repotest.Rules(t) {
		expressions[rule.Expr] = true
	}
	queried := regexp.MustCompile(`weixin_(interface|history)_|weixin_account_info`)
	executed := 0
	for expression := range expressions {
		if !queried.MatchString(expression) {
			continue // nothing is selected, so nothing is executed
		}
		executed++
		api.executed(t, regexp.MustCompile(`\$\{\w+:regex\}`).ReplaceAllString(expression, ".*"))
	}
	if executed < 50 {
		t.Errorf("%d expressions of %d are about what can be queried", executed, len(expressions))
	}
}

// TestQueriesOfManyAccounts are such as people write.
func TestQueriesOfManyAccounts(t *testing.T) {
	api := manyWorld().api(t)
	for _, expression := range []string{
		`count_values("day", weixin_interface_daily_data_timestamp_seconds)`,
		`count_values("day", max by (account) (weixin_interface_hourly_data_timestamp_seconds))`,
		`count_values("version", weixin_account_info)`,
		`label_replace(sum by (__name__) ({__name__=~"weixin_interface_hourly_.+"}), "f", "$1", "__name__", "weixin_interface_hourly_(.+)")`,
		`label_replace(sum by (account) (weixin_interface_hourly_failures) / sum by (account) (weixin_interface_hourly_callbacks), "region", "$1", "account", "(beijing|shanghai|guangzhou|shenzhen).*")`,
		`sum by (region) (label_replace(weixin_interface_hourly_callbacks, "region", "$1", "account", "([a-z]+)-.*"))`,
		`topk by (hour) (100, weixin_interface_hourly_callbacks)`,
		`topk(10, sum by (account) (weixin_interface_hourly_callbacks))`,
		`weixin_interface_hourly_callbacks * on (account) group_left (app_id) weixin_account_info`,
		`weixin_interface_hourly_callbacks * on (account) group_left (app_id) (weixin_account_info == 1)`,
		`weixin_account_info * on (account) group_right (app_id) weixin_interface_hourly_failures`,
		`weixin_interface_hourly_failures` + strings.Repeat(" * on (account) group_left () weixin_account_info", 12),
		`weixin_interface_hourly_failures / (weixin_interface_hourly_callbacks > 0)`,
		`weixin_interface_hourly_failures / on (account, hour) weixin_interface_hourly_callbacks > 0.1`,
		`weixin_interface_hourly_callbacks / on (account) group_left () (sum by (account) (weixin_interface_hourly_callbacks) > 100)`,
		`weixin_interface_hourly_callbacks / ignoring (hour) group_left () sum without (hour) (weixin_interface_hourly_callbacks)`,
		`weixin_interface_daily_failures / scalar(sum(weixin_interface_daily_callbacks)) or vector(0)`,
		`weixin_interface_hourly_callbacks{hour="03"} - on (account) weixin_interface_hourly_callbacks{hour="02"}`,
		`max_over_time(sum(weixin_history_hourly_callbacks)[7d:1h]) and on () hour() > 8`,
	} {
		api.executed(t, expression)
	}
}

// TestListsOfManyAccounts: Grafana lists the accounts that are chosen, in brackets.
func TestListsOfManyAccounts(t *testing.T) {
	w := manyWorld()
	var names []string
	for _, a := range w.accounts {
		names = append(names, a.Name)
	}
	chosen := `{account=~"(` + strings.Join(names, "|") + `)"}`
	w.api(t).executed(t, `sum(weixin_interface_daily_failures`+chosen+`) / sum(weixin_interface_daily_callbacks`+chosen+`)`+strings.Repeat(` + count(weixin_account_info`+chosen+`)`, 3))
}

// TestSeriesOfSteps: operators that may find other series at each step make room for samples of all steps in each of them. The
// engine counts the samples that these have.
func TestSeriesOfSteps(t *testing.T) {
	w := newWorld(t, "shop", "bot", "news", "club", "bank")
	w.fill(t, firstDay, 5)
	w.limits.MaxSamples = 500_000 // 8 MB
	api := w.api(t)
	long := strings.Repeat("a", 50_000)
	const hours = `weixin_history_hourly_callbacks`
	for expression, want := range map[string]string{
		`max_over_time(count_values("v", vector(time()))[4000s:1s])`:                                                                         "count_values may find up to 4001 values at all steps together",
		`max_over_time(count_values("v", time() + ` + hours + `)[40m:1s])`:                                                                   "count_values may find up to 12005 values",
		`count(max_over_time(count_values("` + long + `", vector(time()))[100s:1s]))`:                                                        "the labels that the query makes may take as much as",
		`label_replace(count_values("v", ` + hours + `), "x", "` + long + `", "", "")`:                                                       "",
		`label_replace(max_over_time(count_values("v", ` + hours + `)[1h:1m]), "x", "` + long + `", "", "")`:                                 "the labels that the query makes may take as much as",
		`label_replace(max_over_time(count_values("v", ` + hours + `)[1h:1m]), "x", "$1", "v", "` + strings.Repeat("(.?){100}", 35) + `.*")`: "too complex for so many series",
		`topk by (v) (1e9, max_over_time(count_values("v", vector(time()))[450s:1s]))`:                                                       "topk and bottomk have room for as much as 610203 samples",
		`count_values("v", ` + hours + `)`:                                                                                                   "",
		`count(max_over_time(count_values("v", ` + hours + `)[2h:1h]))`:                                                                      "",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := api.form(t, "query", url.Values{"query": {expression}, "time": {seconds(firstDay.End().Add(12 * time.Hour))}})
		runtime.ReadMemStats(&after)
		if want == "" && got.Code != http.StatusOK || want != "" && (got.Code/100 != 4 || !strings.Contains(got.Error, want)) {
			t.Errorf("%.100s: %d %.300s", expression, got.Code, got.Error)
		}
		if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 40 {
			t.Errorf("%.100s: %d MB were allocated", expression, made)
		}
	}
}

// TestPairsOfSeries: an operator keeps the labels of each pair that it finds at any step.
func TestPairsOfSeries(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("shop-%03d", i))
	}
	w := newWorld(t, names...)
	w.limits.MaxSamples = 500_000 // 8 MB
	api := w.api(t)
	long := strings.Repeat("a", 50_000)
	const info = `weixin_account_info`
	labeled := `label_replace(vector(1), "x", "` + long + `", "", "")`
	// first may be another account at each step.
	const first = `topk(1, weixin_account_info * on (account) group_left () label_replace(weixin_account_info, "x", "", "", ""))`
	for expression, want := range map[string]string{
		info + ` * on () group_left (x) ` + labeled:                       "the labels that the query makes may take as much as",
		info + ` * on () group_left () ` + labeled:                        "the labels that the query makes may take as much as",
		labeled + ` * on () group_right (x) ` + info:                      "the labels that the query makes may take as much as",
		info + ` * on () group_left (x) absent(none{x="` + long + `"})`:   "the labels that the query makes may take as much as",
		`label_replace(` + info + `, "x", "` + long[:4000] + `", "", "")`: "",
		`label_replace(` + info + `, "x", "` + long[:4000] + `", "", "")` + ` + ignoring () label_replace(` + info + `, "x", "` + long[:4000] + `", "", "")` + ` + ignoring () label_replace(` + info + `, "x", "` + long[:4000] + `", "", "")`: "",
		`label_replace(` + info + `, "x", "` + long + `", "", "")`:                                                                        "",
		`label_replace(` + info + `, "x", "` + long + `", "", "") + ignoring () label_replace(` + info + `, "x", "` + long + `", "", "")`: "the labels that the query makes may take as much as",
		info + ` * on () group_left (account) ` + first:                                                                                   "operators may find up to 10000 pairs of series",
		info + ` * on (account) group_left (app_id) ` + info:                                                                              "",
		info + ` * on () group_left () topk(1, ` + info + `)`:                                                                             "",
		info + ` * on () group_left () max(` + info + `)`:                                                                                 "",
	} {
		got := api.form(t, "query_range", url.Values{"query": {expression}, "start": {seconds(firstDay.Start())}, "end": {seconds(firstDay.End())}, "step": {"5m"}})
		if want == "" && got.Code != http.StatusOK || want != "" && (got.Code/100 != 4 || !strings.Contains(got.Error, want)) {
			t.Errorf("%.100s: %d %.300s", expression, got.Code, got.Error)
		}
	}
}
