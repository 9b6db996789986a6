package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/weixin/datacube"
)

// The exporter answers the queries of all boards, rules and alerts, and many others, exactly as a Prometheus 3 that has the
// same samples.
func TestQueriesAsInPrometheus(t *testing.T) {
	t.Parallel()
	if os.Getenv("PROMETHEUS3") == "" {
		t.Skip("this test needs a Prometheus 3; name it with $PROMETHEUS3")
	}
	binary := program(t, "PROMETHEUS3", "prometheus3")
	program(t, "PROMTOOL", "promtool") // before anything is started
	w := newQueryWorld(t)
	x := serve(t, w.config)
	x.waitReady(t)
	p := w.reference(t, binary)
	w.compareBoards(t, x.web, p)
	w.compareRules(t, x.web, p)
	w.compareOthers(t, x.web, p)
	w.compareErrors(t, x.web, p)
}

// compare sends a query to both and returns how many elements the result has.
func compare(t *testing.T, x web, p prometheus, path string, parameters url.Values) int {
	t.Helper()
	target := "/api/v1/" + path + "?" + parameters.Encode()
	wanted, given := p.ask(t, http.MethodGet, target), x.ask(t, http.MethodGet, target)
	if given.status == wanted.status && given.body == wanted.body { // most are the same, which takes long to read
		return strings.Count(given.body, `{"metric":`)
	}
	want, got := readQuery(t, target, wanted), readQuery(t, target, given)
	if diff := cmp.Diff(want, got); diff != "" {
		if len(diff) > 3000 {
			diff = diff[:3000] + "…"
		}
		t.Errorf("%s %v (-Prometheus +exporter):\n%s", path, parameters, diff)
	}
	return len(got.Elements)
}

// compareAt compares a query at a moment, compareRange one over a time.
func compareAt(t *testing.T, x web, p prometheus, expression string, at time.Time) int {
	t.Helper()
	return compare(t, x, p, "query", url.Values{"query": {expression}, "time": {unixSeconds(at)}})
}

func compareRange(t *testing.T, x web, p prometheus, expression string, from, to time.Time, step time.Duration) int {
	t.Helper()
	return compare(t, x, p, "query_range", url.Values{"query": {expression}, "start": {unixSeconds(from)}, "end": {unixSeconds(to)}, "step": {unixStep(step)}})
}

func unixSeconds(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)
}

func unixStep(step time.Duration) string { return strconv.FormatFloat(step.Seconds(), 'f', -1, 64) }

func (w *queryWorld) compareBoards(t *testing.T, x web, p prometheus) {
	t.Helper()
	queries, found := 0, map[string]int{}
	for name, b := range readBoards(t) {
		for _, in := range b.Panels {
			for _, q := range in.Targets {
				for _, accounts := range []string{everything, regexOf(w.names[2]), regexOf(w.names[3])} {
					s := span{w.now.Add(-time.Hour), w.now}
					if name == "weixin-history" {
						s = span{w.now.AddDate(0, 0, -84), w.now}
					}
					step := s.step(t, in, q)
					expression := q.expression(step, accounts)
					queries++
					if q.Instant {
						found[name] += compareAt(t, x, p, expression, s.to)
					} else {
						found[name] += compareRange(t, x, p, expression, aligned(s.from, step), aligned(s.to, step), step)
					}
				}
			}
		}
		for _, a := range b.Annotations.List {
			if a.Expr != "" {
				compareAt(t, x, p, (target{Expr: a.Expr}).expression(time.Minute, everything), w.now)
			}
		}
	}
	t.Logf("%d queries of boards; elements of their results: %v", queries, found)
	for name, least := range map[string]int{"weixin-history": 200, "weixin-account": 100, "weixin-overview": 50} {
		if found[name] < least {
			t.Errorf("the queries of %s found %d elements", name, found[name])
		}
	}
}

func (w *queryWorld) compareRules(t *testing.T, x web, p prometheus) {
	t.Helper()
	text, err := os.ReadFile("../alerts/weixin.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	rules, found := 0, 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			found += compareAt(t, x, p, r.Expr, w.now)
			found += compareRange(t, x, p, r.Expr, w.now.Add(-50*time.Minute), w.now, time.Minute)
		}
	}
	if rules < 15 || found < 20 {
		t.Errorf("%d rules found %d elements", rules, found)
	}
}

// otherQueries are queries of the history and of the gauges.
func otherQueries() (history, gauges []string) { //nolint:nonamedreturns // two of a kind need names
	const h, d = "weixin_history_hourly_callbacks", "weixin_history_daily_callbacks"
	for _, f := range []string{
		"avg", "count", "last", "max", "min", "present", "stddev", "stdvar", "sum",
	} {
		history = append(history, fmt.Sprintf("%s_over_time(%s[1d])", f, h), fmt.Sprintf("%s_over_time(%s[7d] offset 3d)", f, d))
	}
	for _, f := range []string{"changes", "delta", "deriv", "idelta", "increase", "irate", "rate", "resets"} {
		history = append(history, fmt.Sprintf("%s(%s[5h])", f, h), fmt.Sprintf("%s(%s[4d])", f, d))
	}
	for _, f := range []string{"abs", "ceil", "exp", "floor", "ln", "log2", "log10", "round", "sgn", "sqrt", "sort", "sort_desc", "timestamp", "day_of_week", "hour", "absent", "scalar"} {
		history = append(history, fmt.Sprintf("%s(last_over_time(%s[3h]))", f, h))
	}
	for _, a := range []string{"avg", "count", "group", "max", "min", "stddev", "stdvar", "sum"} {
		history = append(history, fmt.Sprintf("%s by (account) (last_over_time(%s[2h]))", a, h), fmt.Sprintf(`%s without (account) (%s_over_time({__name__=~"weixin_history_daily_(callbacks|failures)"}[2d]))`, a, "max"))
	}
	history = append(history,
		h, d, "sum("+h+")", "count("+d+")", h+" offset 1h", h+" offset -1h", "last_over_time("+h+"[90m] offset 30m)",
		`{__name__="weixin_history_daily_failures"}`, `{__name__=~"weixin_history_.+_failures",account!="shop"}`, `{account="bot",__name__!~"weixin_(account|interface).*"}`,
		d+`{account=~"b.*|shop"}`, d+`{account!~"b.*"}`, d+`{account=~"名.+"}`, d+`{account=""}`, d+`{job="x"}`, d+`{job=~".*"}`, d+`{account=~""}`,
		"topk(2, "+d+")", "bottomk(1, last_over_time("+h+"[1d]))", "quantile(0.9, "+d+")", "quantile_over_time(0.25, "+h+"[3d])", "limitk(2, "+d+")",
		`count_values("value", sgn(last_over_time(`+h+`[1d])))`, "predict_linear("+h+"[2d], 3600)", "double_exponential_smoothing("+h+"[1d], 0.5, 0.5)", "clamp("+d+", 100, 50000)",
		h+" > 50000", h+" > bool 50000", h+" - on (account) group_left () "+d, d+" / weixin_history_daily_time_cost_seconds",
		d+" and on (account) weixin_history_daily_failures > 10", d+" or "+h, d+" unless weixin_history_daily_failures > 500", d+" % 7", d+" ^ 0.5", "-"+d, d+" atan2 "+d,
		"sum(weixin_history_daily_failures) / ignoring (account) sum("+d+")", "sum by (account) ("+h+") == on (account) max by (account) ("+h+")",
		"max_over_time(sum("+h+")[1d:1h])", "avg_over_time(rate("+h+"[6h])[2d:3h] offset 1d)", "sum_over_time(("+d+" > 1000)[10d:1d])", "min_over_time(last_over_time("+d+"[1d])[5d:12h])",
		"sum_over_time("+h+"[1d] @ end())", d+" @ start()", "max_over_time("+h+"[1d] @ 1700000000)", "rate("+h+"[2h:10m])",
		"absent_over_time("+h+`{account="shop"}[5h])`, "absent("+h+`{account="unknown"})`, "vector(time())", "time() - timestamp(last_over_time("+h+"[3h]))",
		`label_replace(`+d+`, "x", "$1-$2", "account", "(.)(.*)")`, `label_join(`+d+`, "x", "/", "account", "__name__")`, "histogram_quantile(0.5, "+d+")",
		"sum_over_time("+h+"[1d]) - on (account) sum_over_time("+d+"[23h59m])", "1 + 2 * 3", `"text"`, "minute()", "pi()", "sort_by_label("+d+`, "account")`,
	)
	const g, day = "weixin_interface_hourly_callbacks", "weixin_interface_daily_callbacks"
	gauges = []string{
		g, day, "weixin_account_info", "weixin_interface_daily_average_time_cost_seconds", "weixin_interface_hourly_average_time_cost_seconds",
		"count by (account) (weixin_interface_hourly_average_time_cost_seconds)", "sum by (hour) (" + g + ")", g + ` {hour=~"0.|1[13]"}`, g + `{hour!="07",account="shop"}`,
		day + " offset 1d", day + " offset 1w", day + " - " + day + " offset 1d", "changes(weixin_interface_daily_data_timestamp_seconds[1h])", "count_over_time(" + day + "[1h])",
		"avg_over_time(" + day + "[45m])", "max_over_time(" + g + "[10m:1m])", "timestamp(weixin_interface_daily_average_time_cost_seconds)", "present_over_time(weixin_interface_hourly_average_time_cost_seconds[7m])",
		day + " * on (account) group_left (app_id) weixin_account_info", "time() - weixin_interface_daily_data_timestamp_seconds", `{__name__=~"weixin_interface_daily_.+",account="bot"}`,
		"sum by (account) (" + g + ") / on (account) " + day, "topk by (account) (3, " + g + ")", "absent(weixin_interface_daily_average_time_cost_seconds{account=\"shop\"})", "count({account=~\".+\",__name__=~\"weixin_interface_.+\"})",
		"last_over_time(weixin_interface_hourly_average_time_cost_seconds[3m])", "delta(" + day + "[20m])", "label_replace(" + g + `, "h", "$1", "hour", "0?(.+)")`,
	}
	return history, gauges
}

func (w *queryWorld) compareOthers(t *testing.T, x web, p prometheus) {
	t.Helper()
	history, gauges := otherQueries()
	midnight := datacube.DateOf(w.now).Start()
	found := 0
	for _, q := range history {
		found += compareAt(t, x, p, q, midnight)
		found += compareAt(t, x, p, q, midnight.Add(-50*time.Hour-1234*time.Millisecond))
		if strings.HasPrefix(q, `"`) {
			continue // a string is not for a range
		}
		found += compareRange(t, x, p, q, midnight.AddDate(0, 0, -40), midnight, 24*time.Hour)
		found += compareRange(t, x, p, q, midnight.AddDate(0, 0, -20).Add(17*time.Minute), midnight.AddDate(0, 0, -15), 20*time.Minute)
	}
	for _, q := range gauges {
		found += compareAt(t, x, p, q, w.now)
		found += compareRange(t, x, p, q, w.now.Add(-15*time.Minute), w.now, 7*time.Second)
	}
	t.Logf("%d and %d queries, %d elements", len(history), len(gauges), found)
	if len(history)+len(gauges) < 150 || found < 2000 {
		t.Errorf("%d and %d queries found %d elements", len(history), len(gauges), found)
	}
	for _, path := range []string{"query", "query_range"} {
		compare(t, x, p, path, url.Values{
			"query": {"weixin_history_hourly_callbacks"}, "time": {unixSeconds(midnight.Add(30 * time.Minute))}, "lookback_delta": {"45m"}, "limit": {"2"},
			"start": {unixSeconds(midnight.Add(-10 * time.Hour))}, "end": {unixSeconds(midnight)}, "step": {"15m"},
		})
	}
}

func (w *queryWorld) compareErrors(t *testing.T, x web, p prometheus) {
	t.Helper()
	for _, parameters := range []url.Values{
		{}, {"query": {"up("}}, {"query": {"rate(up)"}}, {"query": {"up"}, "time": {"noon"}}, {"query": {"up"}, "limit": {"-3"}}, {"query": {"up"}, "timeout": {"0"}},
		{"query": {`label_replace(vector(1), "a", "b", "c", "(")`}}, {"query": {"up"}, "lookback_delta": {"long"}},
		{"query": {"weixin_history_daily_callbacks * on () weixin_history_daily_failures"}, "time": {unixSeconds(datacube.DateOf(w.now).Start())}},
	} {
		want, got := p.ask(t, "GET", "/api/v1/query?"+parameters.Encode()), x.ask(t, "GET", "/api/v1/query?"+parameters.Encode())
		if got.status != want.status || got.body != want.body {
			t.Errorf("query %v: %d %s, Prometheus: %d %s", parameters, got.status, got.body, want.status, want.body)
		}
	}
	for _, parameters := range []url.Values{
		{"query": {"up"}}, {"query": {"up"}, "start": {"5"}, "end": {"4"}, "step": {"1"}}, {"query": {"up"}, "start": {"1"}, "end": {"4"}, "step": {"0"}},
		{"query": {"up"}, "start": {"1"}, "end": {"4000000"}, "step": {"1"}}, {"query": {"up[1m]"}, "start": {"1"}, "end": {"4"}, "step": {"1"}}, {"query": {"up"}, "start": {"1"}, "end": {"4"}},
	} {
		want, got := p.ask(t, "GET", "/api/v1/query_range?"+parameters.Encode()), x.ask(t, "GET", "/api/v1/query_range?"+parameters.Encode())
		if got.status != want.status || got.body != want.body {
			t.Errorf("query_range %v: %d %s, Prometheus: %d %s", parameters, got.status, got.body, want.status, want.body)
		}
	}
	for _, path := range []string{
		"series", "series?match[]=%7Ba=~%22.*%22%7D", "labels?start=x", "labels?limit=-1", "label/account/values?match[]=%7B", "metadata?limit=x", "query_exemplars?query=up&start=5&end=1",
		"format_query?query=sum(a)by(b)", "format_query?query=(", "parse_query?query=sum(rate(a%7Bb!=%22c%22%7D[5m]))by(d)/2", "parse_query?query=-max_over_time(a[1h:5m]@end())", "parse_query?query=)", "label/account/values?match[]=weixin_history_daily_callbacks",
		"query_exemplars?query=up", "rules", "alerts", "series?match[]=weixin_history_daily_callbacks",
	} {
		want, got := p.ask(t, "GET", "/api/v1/"+path), x.ask(t, "GET", "/api/v1/"+path)
		if got.status != want.status || got.body != want.body {
			t.Errorf("%s: %d %s, Prometheus: %d %s", path, got.status, got.body, want.status, want.body)
		}
	}
}
