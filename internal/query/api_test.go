package query_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/query"
	"weixin_exporter/weixin/datacube"
)

// midnight is the end of a date, in Unix seconds.
func midnight(date datacube.Date) int64 { return date.End().Unix() }

func TestAnswers(t *testing.T) {
	w := newWorld(t, "shop", "<bot> & “co”")
	w.fill(t, firstDay, 3)
	api := w.api(t)
	at := strconv.FormatInt(midnight(firstDay+1), 10)
	for _, c := range []struct {
		path       string
		parameters []string
		want       string
	}{
		{"query", []string{"query", "sum_over_time(weixin_history_hourly_callbacks{account='shop'}[1d])", "time", at},
			fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{"account":"shop"},"value":[%s,"%d"]}]}`, at, 24*107+23*12)},
		{"query", []string{"query", "weixin_history_daily_failures", "time", at, "limit", "1"},
			fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{"__name__":"weixin_history_daily_failures","account":"\u003cbot\u003e \u0026 “co”"},"value":[%s,"2656"]}]}`, at)},
		{"query", []string{"query", "weixin_history_daily_time_cost_seconds{account='shop'}[3d]", "time", at},
			fmt.Sprintf(`{"resultType":"matrix","result":[{"metric":{"__name__":"weixin_history_daily_time_cost_seconds","account":"shop"},"values":[[%d,"16.968"],[%s,"259.368"]]}]}`, midnight(firstDay), at)},
		{"query_range", []string{"query", "sum(weixin_history_daily_callbacks)", "start", strconv.FormatInt(midnight(firstDay-1), 10), "end", strconv.FormatInt(midnight(firstDay+9), 10), "step", "1d"},
			fmt.Sprintf(`{"resultType":"matrix","result":[{"metric":{},"values":[[%d,"24336"],[%d,"29136"],[%d,"33936"]]}]}`, midnight(firstDay), midnight(firstDay+1), midnight(firstDay+2))},
		{"query", []string{"query", "weixin_history_daily_callbacks", "time", strconv.FormatInt(midnight(firstDay+1)+299, 10)}, ""},
		{"query", []string{"query", "weixin_history_daily_callbacks", "time", strconv.FormatInt(midnight(firstDay+1)+301, 10)}, `{"resultType":"vector","result":[]}`},
		{"query", []string{"query", "weixin_history_daily_callbacks{account='shop'}", "time", strconv.FormatInt(midnight(firstDay+1)+301, 10), "lookback_delta", "10m"}, ""},
		{"query", []string{"query", "1e21 * -1.5", "time", "1.5"}, `{"resultType":"scalar","result":[1.500,"-1.5e+21"]}`},
		{"query", []string{"query", "0/0", "time", "2026-03-03T00:00:00.25+08:00"}, `{"resultType":"scalar","result":[1772467200.250,"NaN"]}`},
		{"query", []string{"query", `"two\nlines"`, "time", "-1.001"}, `{"resultType":"string","result":[-1.001,"two\nlines"]}`},
		{"series", []string{"match[]", `weixin_interface_hourly_callbacks{hour="07"}`, "match[]", `{__name__=~".+daily_callbacks",account="shop"}`},
			`[{"__name__":"weixin_history_daily_callbacks","account":"shop"},{"__name__":"weixin_interface_daily_callbacks","account":"shop"},{"__name__":"weixin_interface_hourly_callbacks","account":"\u003cbot\u003e \u0026 “co”","hour":"07"},{"__name__":"weixin_interface_hourly_callbacks","account":"shop","hour":"07"}]`},
		{"series", []string{"match[]", "weixin_history_daily_callbacks", "end", strconv.FormatInt(midnight(firstDay-20), 10)}, `[]`},
		{"labels", nil, `["__name__","account","app_id","hour"]`},
		{"labels", []string{"match[]", "weixin_history_daily_callbacks"}, `["__name__","account"]`},
		{"label/account/values", []string{"match[]", "weixin_account_info"}, `["\u003cbot\u003e \u0026 “co”","shop"]`},
		{"label/hour/values", []string{"match[]", `weixin_interface_hourly_callbacks{hour=~"0[12]"}`}, `["01","02"]`},
		{"label/job/values", nil, `[]`},
		{"label/__name__/values", []string{"limit", "1"}, `["weixin_account_info"]`},
		{"query_exemplars", []string{"query", "up"}, `[]`},
		{"rules", nil, `{"groups":[]}`},
		{"alerts", nil, `{"alerts":[]}`},
		{"format_query", []string{"query", "sum( a )by(b)"}, `"sum by (b) (a)"`},
		{"status/buildinfo", nil, `{"application":"weixin_exporter","version":"1.2.3","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}`},
	} {
		got := api.get(t, c.path, c.parameters...)
		if got.Code != http.StatusOK || got.Status != "success" {
			t.Errorf("%s %q: %d %s", c.path, c.parameters, got.Code, got.Error)
		}
		if c.want != "" && string(got.Data) != c.want {
			t.Errorf("%s %q:\n%s, want\n%s", c.path, c.parameters, got.Data, c.want)
		}
		if c.want == "" && strings.Contains(string(got.Data), "[]") {
			t.Errorf("%s %q: nothing was found", c.path, c.parameters)
		}
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 2)
	api := w.api(t)
	for _, c := range []struct {
		path       string
		parameters []string
		code       int
		class, err string
	}{
		{"query", nil, 400, "bad_data", `invalid parameter "query": unknown position: parse error: no expression found in input`},
		{"query", []string{"query", "up("}, 400, "bad_data", `parse error: unclosed left parenthesis`},
		{"query", []string{"query", "up", "time", "noon"}, 400, "bad_data", `invalid parameter "time": invalid time value for 'time': cannot parse "noon" to a valid timestamp`},
		{"query", []string{"query", "up", "limit", "-1"}, 400, "bad_data", `invalid parameter "limit": limit must be non-negative`},
		{"query", []string{"query", "up", "timeout", "soon"}, 400, "bad_data", `invalid parameter "timeout": cannot parse "soon" to a valid duration`},
		{"query", []string{"query", "up", "timeout", "-1s"}, 400, "bad_data", `invalid parameter "timeout"`},
		{"query", []string{"query", "up", "lookback_delta", "x"}, 400, "bad_data", `cannot parse "x" to a valid duration`},
		{"query", []string{"query", "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")"}, 422, "execution", `invalid regular expression in label_replace(): (`},
		{"query_range", []string{"query", "up", "end", "2", "step", "1"}, 400, "bad_data", `invalid parameter "start": cannot parse "" to a valid timestamp`},
		{"query_range", []string{"query", "up", "start", "3", "end", "2", "step", "1"}, 400, "bad_data", `invalid parameter "end": end timestamp must not be before start time`},
		{"query_range", []string{"query", "up", "start", "1", "end", "2"}, 400, "bad_data", `invalid parameter "step": cannot parse "" to a valid duration`},
		{"query_range", []string{"query", "up", "start", "1", "end", "2", "step", "0"}, 400, "bad_data", `invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer`},
		{"query_range", []string{"query", "up", "start", "1", "end", "2", "step", "NaN"}, 400, "bad_data", `overflows int64`},
		{"query_range", []string{"query", "up", "start", "0", "end", "11001", "step", "1"}, 400, "bad_data", `exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)`},
		{"query_range", []string{"query", "up[5m]", "start", "1", "end", "2", "step", "1"}, 400, "bad_data", `invalid expression type "range vector" for range query, must be Scalar or instant Vector`},
		{"series", nil, 400, "bad_data", `no match[] parameter provided`},
		{"series", []string{"match[]", `{account=~".*"}`}, 400, "bad_data", `match[] must contain at least one non-empty matcher`},
		{"labels", []string{"match[]", `{`}, 400, "bad_data", `parse error`},
		{"labels", []string{"start", "x"}, 400, "bad_data", `invalid time value for 'start'`},
		{"label/%ff/values", nil, 400, "bad_data", `invalid label name`},
		{"metadata", []string{"limit", "few"}, 400, "bad_data", `limit must be a number`},
		{"query_exemplars", []string{"query", "up", "start", "5", "end", "1"}, 400, "bad_data", `end timestamp must not be before start timestamp`},
		{"parse_query", []string{"query", ")"}, 400, "bad_data", `invalid parameter "query"`},
		{"targets", nil, 404, "not_found", "/api/v1/targets does not exist"},
	} {
		got := api.get(t, c.path, c.parameters...)
		if got.Code != c.code || got.Status != "error" || got.ErrorType != c.class || !strings.Contains(got.Error, c.err) {
			t.Errorf("%s %q: %d %s: %s", c.path, c.parameters, got.Code, got.ErrorType, got.Error)
		}
	}
}

// TestMethods sends POST requests, and requests with methods that are not allowed.
func TestMethods(t *testing.T) {
	w := newWorld(t, "shop")
	api := w.api(t)
	for _, path := range []string{"query", "format_query", "parse_query", "query_exemplars"} {
		form := url.Values{"query": {"1 + 1"}}.Encode()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := api.do(t, r); got.Code != http.StatusOK {
			t.Errorf("POST %s: %d %s", path, got.Code, got.Error)
		}
	}
	for path, allow := range map[string]string{"query": "GET, POST", "rules": "GET", "read": "POST"} {
		recorder := httptest.NewRecorder()
		api.api.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPut, query.Path+path, nil))
		if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow: %q", path, recorder.Code, recorder.Header().Get("Allow"))
		}
	}
	large := httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+"query", strings.NewReader("query=1%2B"+strings.Repeat("1", 1<<20)))
	large.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := api.do(t, large); got.Code != http.StatusBadRequest || !strings.Contains(got.Error, "too large") {
		t.Errorf("a large body: %d %s", got.Code, got.Error)
	}
}

// TestWarningsAndInfos sends queries that PromQL annotates.
func TestWarningsAndInfos(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 3)
	api := w.api(t)
	at := strconv.FormatInt(midnight(firstDay+2), 10)
	if got := api.get(t, "query", "query", "rate(weixin_history_hourly_callbacks[1d])", "time", at); len(got.Infos) == 0 || !strings.Contains(got.Infos[0], "metric might not be a counter") {
		t.Errorf("infos: %q", got.Infos)
	}
	if got := api.get(t, "query", "query", "quantile(7, weixin_history_daily_callbacks)", "time", at); len(got.Warnings) == 0 || !strings.Contains(got.Warnings[0], "quantile value should be between 0 and 1") {
		t.Errorf("warnings: %q", got.Warnings)
	}
	for _, path := range []string{"series", "label/account/values", "labels"} {
		got := api.get(t, path, "limit", "1", "match[]", "weixin_history_daily_callbacks")
		if diff := cmp.Diff([]string{"results truncated due to limit"}, got.Warnings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := api.get(t, "query", "query", "vector(1)", "stats", "all"); !strings.Contains(string(got.Data), `"stats":{"timings"`) {
		t.Errorf("stats: %s", got.Data)
	}
}

// TestMetadata compares the metadata with the series that there are.
func TestMetadata(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 1)
	api := w.api(t)
	var metadata map[string][]struct{ Type, Help, Unit string }
	if err := json.Unmarshal(api.get(t, "metadata").Data, &metadata); err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := json.Unmarshal(api.get(t, "label/__name__/values").Data, &names); err != nil {
		t.Fatal(err)
	}
	if len(names) != len(metadata) || len(names) != 8+2*6+1 {
		t.Errorf("%d names, metadata of %d", len(names), len(metadata))
	}
	for _, name := range names {
		m := metadata[name]
		if len(m) != 1 || m[0].Type != "gauge" || m[0].Help == "" || (m[0].Unit == "seconds") != strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s: %v", name, m)
		}
	}
	if err := json.Unmarshal(api.get(t, "metadata", "limit", "3").Data, &metadata); err != nil {
		t.Error(err)
	}
}

// TestParseQuery requests the tree of an expression with a node of each kind.
func TestParseQuery(t *testing.T) {
	api := newWorld(t).api(t)
	const expression = `-(topk by (a) (2, rate(x{b!~"c"}[5m] offset 1h)) + on (a) group_left (z) max_over_time(y[1h:5m] @ end())) > bool 1.5 and label_replace(n, "a", "b", "c", "d")`
	got := api.get(t, "parse_query", "query", expression)
	for _, part := range []string{
		`"type":"unaryExpr"`, `"type":"parenExpr"`, `"type":"aggregation"`, `"grouping":["a"]`, `"type":"numberLiteral","val":"1.5"`, `"type":"call"`,
		`"name":"rate"`, `"type":"matrixSelector"`, `"range":300000`, `"offset":3600000`, `{"name":"b","type":"!~","value":"c"}`, `"card":"many-to-one"`,
		`"include":["z"]`, `"type":"subquery"`, `"step":300000`, `"startOrEnd":"end"`, `"bool":true`, `"type":"stringLiteral"`, `"type":"vectorSelector"`,
	} {
		if !strings.Contains(string(got.Data), part) {
			t.Errorf("%s is not in %s", part, got.Data)
		}
	}
}

// TestCompression requests a response in gzip.
func TestCompression(t *testing.T) {
	w := newWorld(t, "shop")
	w.fill(t, firstDay, 3)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, query.Path+"query?query=time()&time=5", nil)
	r.Header.Set("Accept-Encoding", "gzip, br")
	recorder := httptest.NewRecorder()
	w.api(t).api.ServeHTTP(recorder, r)
	plain, err := gzip.NewReader(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got response
	if err := json.NewDecoder(plain).Decode(&got); err != nil || recorder.Header().Get("Content-Encoding") != "gzip" || string(got.Data) != `{"resultType":"scalar","result":[5,"5"]}` {
		t.Errorf("%v, %v: %s", err, recorder.Header(), got.Data)
	}
}

// TestNamesThatAreNotUTF8 shows such an account nevertheless.
func TestNamesThatAreNotUTF8(t *testing.T) {
	w := newWorld(t, "sh\xffop")
	got := w.api(t).get(t, "query", "query", "weixin_account_info", "time", seconds(w.now))
	if !strings.Contains(string(got.Data), `"account":"sh�op"`) {
		t.Errorf("%s", got.Data)
	}
}

// TestAccountsAsConfigured renames an account, which keeps its history, and removes another one.
func TestAccountsAsConfigured(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 3)
	api := w.api(t)
	w.accounts = []query.Account{{Name: "store", AppID: "wx-shop"}}
	got := api.get(t, "label/account/values", "match[]", "weixin_history_daily_callbacks")
	if string(got.Data) != `["store"]` {
		t.Errorf("%s", got.Data)
	}
	w.now = w.now.Add(time.Hour)
	got = api.get(t, "query", "query", "sum_over_time(weixin_history_daily_callbacks[30d])", "time", strconv.FormatInt(midnight(firstDay+5), 10))
	if !strings.Contains(string(got.Data), fmt.Sprintf(`"%d"`, 24*(7+107+207))) {
		t.Errorf("%s", got.Data)
	}
}
