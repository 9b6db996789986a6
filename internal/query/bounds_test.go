package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"weixin_exporter/internal/query"
	"weixin_exporter/weixin/datacube"
)

// form sends a form.
func (c *client) form(t *testing.T, path string, values url.Values) response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(t, r)
}

// TestExpressionsAreBounded sends expressions like one that took the parser 544 MB and 6.5 s.
func TestExpressionsAreBounded(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 2)
	api := w.api(t)
	const n = 50_000
	for name, c := range map[string]struct{ expression, err string }{
		"parentheses": {strings.Repeat("(", n) + "1" + strings.Repeat(")", n), "more than 2000 names"},
		"open":        {strings.Repeat("(", n), "more than 2000 names"},
		"minus":       {strings.Repeat("-", n) + "1", "more than 2000 names"},
		"sum":         {strings.Repeat("1+", n) + "1", "more than 2000 names"},
		"calls":       {strings.Repeat("abs(", n), "more than 2000 names"},
		"subqueries":  {"a" + strings.Repeat("[1m:]", n), "more than 2000 names"},
		"matchers":    {"{" + strings.Repeat(`a="",`, n) + `a="b"}`, "more than 2000 names"},
		"states":      {`{a=~"` + strings.Repeat("a{1000}", 300) + `"}`, "repeats too much"},
		"escaped":     {`{a=~"` + strings.Repeat(`a\x7b1000}`, 300) + `"}`, "repeats too much"},
		"products":    {`{a=~"` + strings.Repeat("(a{20,30}b{40}){20}", 20) + `"}`, "repeats too much"},
		"together":    {`{` + strings.Repeat(`a=~"(`+strings.Repeat(".?", 125)+`){50}",`, 70) + `a="b"}`, "repeat too much together"},
		"classes":     {`{a=~"` + strings.Repeat(`\\pL`, 3000) + `"}`, "repeats too much"},
		"brackets":    {`{a=~"` + strings.Repeat("(a|b)", 10_000) + `"}`, "a regular expression has 50000 bytes; at most 16384"},
		"wildcards":   {`{a=~"` + strings.Repeat("shop.*|", 10_000) + `"}`, "a regular expression has 70000 bytes; at most 16384"},
	} {
		for _, path := range []string{"query", "query_range", "format_query", "parse_query", "query_exemplars", "series", "labels"} {
			values := url.Values{"query": {c.expression}, "start": {"0"}, "end": {"0"}, "step": {"1"}}
			if path == "series" || path == "labels" {
				values = url.Values{"match[]": {c.expression}}
			}
			if got := api.form(t, path, values); got.Code != http.StatusBadRequest || got.ErrorType != "bad_data" || !strings.Contains(got.Error, c.err) {
				t.Errorf("%s: %s: %d %s: %.200s", name, path, got.Code, got.ErrorType, got.Error)
			}
		}
	}
	for _, values := range []url.Values{
		{"match[]": strings.Split(strings.Repeat("up,", 5000), ",")}, {"a": make([]string, 200_000)},
	} {
		if got := api.form(t, "series", values); got.Code != http.StatusBadRequest || !strings.Contains(got.Error, "more than 5000 parameters") {
			t.Errorf("many parameters: %d %.200s", got.Code, got.Error)
		}
	}
	if got := api.form(t, "series", url.Values{"match[]": strings.Split(strings.Repeat("up,", 2001), ",")}); got.Code != http.StatusBadRequest || !strings.Contains(got.Error, "more than 2000 names") {
		t.Errorf("many selectors: %d %.200s", got.Code, got.Error)
	}
}

// TestDeepExpressions: an expression of many levels is not formatted, which would copy gigabytes. Any that a person writes is.
func TestDeepExpressions(t *testing.T) {
	api := newWorld(t, "shop").api(t)
	for name, c := range map[string]struct {
		expression string
		want       int
	}{
		"sum":           {strings.Repeat("1+", 900) + "1", http.StatusBadRequest},
		"brackets":      {strings.Repeat("(", 900) + "1" + strings.Repeat(")", 900), http.StatusBadRequest},
		"calls":         {strings.Repeat("abs(", 300) + "a" + strings.Repeat(")", 300), http.StatusBadRequest},
		"long names":    {strings.Repeat(strings.Repeat("a", 100)+"+", 150) + "1", http.StatusBadRequest},
		"short sum":     {strings.Repeat("1+", 150) + "1", http.StatusOK},
		"long and flat": {`sum by (account) (rate(a{account=~"` + strings.Repeat("account-12345|", 10_000) + `"}[5m])) / 2`, http.StatusOK},
	} {
		got := api.form(t, "format_query", url.Values{"query": {c.expression}})
		if got.Code != c.want || c.want != http.StatusOK && !strings.Contains(got.Error, "levels of operators, functions and brackets") {
			t.Errorf("%s: %d %.200s", name, got.Code, got.Error)
		}
		if got := api.form(t, "parse_query", url.Values{"query": {c.expression}}); got.Code != http.StatusOK {
			t.Errorf("parse_query, %s: %d %.200s", name, got.Code, got.Error)
		}
	}
}

// TestMadeLabels: labels that grow with each call are refused before the query is executed, and those that people make are made.
func TestMadeLabels(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 2)
	w.limits.MaxSamples = 30_000
	api := w.api(t)
	const days = "weixin_history_daily_callbacks"
	nested := func(n int, replacement string) string {
		text := days
		for range n {
			text = "label_replace(" + text + `, "account", ("` + replacement + `"), "account", "(.*)")`
		}
		return text
	}
	many := `label_join(` + days + `, "x", "` + strings.Repeat("-", 500) + `"` + strings.Repeat(`, "account"`, 15) + `)`
	for name, c := range map[string]struct {
		expression, err string
		code            int
	}{
		"doubled":         {nested(30, "$1$1"), "label_replace may make labels of", http.StatusBadRequest},
		"from nothing":    {strings.Replace(nested(30, "a$1$1"), days, "vector(1)", 1), "label_replace may make labels of", http.StatusBadRequest},
		"joined":          {strings.Replace(many, "-", strings.Repeat("-", 5000), 1), "label_join may make labels of", http.StatusBadRequest},
		"in a subquery":   {"max_over_time(" + nested(30, "$1$1") + "[1d:1h])", "label_replace may make labels of", http.StatusBadRequest},
		"in an operation": {days + " + on (account) group_left () " + nested(30, "$1$1"), "label_replace may make labels of", http.StatusBadRequest},
		"too many":        {strings.Repeat(many+" or ", 39) + many, "more than --query.max-samples=30000", http.StatusUnprocessableEntity},
		"renamed":         {nested(50, "$1"), "", http.StatusOK},
		"joined thrice":   {nested(3, "$1-$1"), "", http.StatusOK},
		"one of many":     {many, "", http.StatusOK},
	} {
		for _, path := range []string{"query", "query_range"} {
			at := strconv.FormatInt(midnight(firstDay+1), 10)
			got := api.form(t, path, url.Values{"query": {c.expression}, "time": {at}, "start": {at}, "end": {at}, "step": {"60"}})
			if got.Code != c.code || !strings.Contains(got.Error, c.err) {
				t.Errorf("%s, %s: %d %.300s", name, path, got.Code, got.Error)
			}
		}
	}
}

// TestLabelsOfLongNames: how long the labels are that a query makes depends on the names that there are.
func TestLabelsOfLongNames(t *testing.T) {
	const expression = `label_join(weixin_history_daily_callbacks, "x", "", "account", "account", "account", "account")`
	for name, want := range map[string]int{"shop": http.StatusOK, strings.Repeat("长", 6000): http.StatusBadRequest} {
		w := newWorld(t, name)
		w.fill(t, firstDay, 2)
		if got := w.api(t).form(t, "query", url.Values{"query": {expression}}); got.Code != want {
			t.Errorf("a name of %d bytes: %d %.200s", len(name), got.Code, got.Error)
		}
	}
}

// TestLongExpressions sends what boards send for very many accounts.
func TestLongExpressions(t *testing.T) {
	w := newWorld(t, "shop", "bot-00007", "a.b")
	w.fill(t, firstDay, 2)
	api := w.api(t)
	var names []string
	for i := range 20_000 {
		names = append(names, fmt.Sprintf(`bot-%05d`, i))
	}
	all := strings.Join(append(names, `a\\.b`), "|")
	at := firstDay.End().Add(time.Hour).Format(time.RFC3339)
	for expression, want := range map[string]string{
		`count(weixin_history_daily_callbacks{account=~"` + all + `"})`:                                  `"2"`,
		`count(weixin_history_daily_callbacks{account=~"(` + all + `)"})`:                                `"2"`,
		`count(weixin_history_daily_callbacks{account=~"[a-z]{3,8}(-[0-9]{5})?"})`:                       `"2"`,
		strings.Repeat("vector(0)+", 300) + "1":                                                          `"1"`,
		`count(weixin_history_daily_callbacks{account!~"` + strings.Repeat("shop[0-9]|", 1000) + `xx"})`: `"3"`,
	} {
		got := api.form(t, "query", url.Values{"query": {expression}, "time": {at}, "lookback_delta": {"2d"}})
		if got.Code != http.StatusOK || !strings.Contains(string(got.Data), want) {
			t.Errorf("%.100s: %d %.200s %s", expression, got.Code, got.Error, got.Data)
		}
	}
}

// demanding is a regular expression that nearly reaches the limit, and needs all its states for each character.
var demanding = ".(" + strings.Repeat(".?", 125) + "){40}"

// TestMatchingEndsWithTheRequest: to match regular expressions with the names of thousands of accounts can take minutes.
func TestMatchingEndsWithTheRequest(t *testing.T) {
	w := newWorld(t, "shop-0000000000000000001")
	for name, ask := range map[string]func(*client, context.Context) (int, string){
		"query":  asking("query", "query", `{account=~"`+demanding+`"}`),
		"metric": asking("query", "query", `{__name__=~"`+demanding+`"}`),
		"series": asking("series", "match[]", `{account=~"`+demanding+`"}`),
		"values": asking("label/account/values", "match[]", `{account=~"`+demanding+`"}`),
		"read": func(c *client, ctx context.Context) (int, string) {
			message := encode(t, &prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), w.now, "account", demanding)}})
			recorder := httptest.NewRecorder()
			c.api.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodPost, query.Path+"read", bytes.NewReader(message)))
			return recorder.Code, recorder.Body.String()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w.storage = query.NewStorage(query.StorageOptions{Source: w.store, Now: w.clock, Accounts: func() []query.Account {
			cancel() // the client goes away before its series are looked for
			return w.accounts
		}})
		if code, body := ask(w.api(t), ctx); code == http.StatusOK || !strings.Contains(body, "looking for the series: context canceled") {
			t.Errorf("%s: %d %.300s", name, code, body)
		}
	}
}

// TestLongChoices has names with characters that Grafana escapes, and texts that are short, of which many take more than their bytes.
func TestLongChoices(t *testing.T) {
	w := newWorld(t, "shop", `o'clock (5)`)
	w.fill(t, firstDay, 2)
	api := w.api(t)
	at := seconds(firstDay.End().Add(time.Hour))
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf(`o\\'clock \\(%d\\)`, i))
	}
	ask := func(choice string) response {
		text := `query=count(weixin_history_daily_callbacks{account=~"` + choice + `"})&lookback_delta=2d&time=` + at
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+"query", strings.NewReader(text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return api.do(t, r)
	}
	if got := ask("(" + strings.Join(names, "|") + ")"); got.Code != http.StatusOK || !strings.Contains(string(got.Data), `"1"`) {
		t.Errorf("%d %s %s", got.Code, got.Error, got.Data)
	}
	for n, want := range map[int]int{20_000: http.StatusOK, 240_000: http.StatusBadRequest} {
		for name, choice := range map[string]string{"brackets": "(" + strings.Repeat("ab|cd|", n/2) + "e)", "escapes": strings.Repeat("ab|cd|", n/2) + `\\.`} {
			if got := ask(choice); got.Code != want || want != http.StatusOK && !strings.Contains(got.Error, "repeat too much together") {
				t.Errorf("%d %s: %d %s", n, name, got.Code, got.Error)
			}
		}
	}
	if got := ask("(" + strings.Repeat("(a|b)", 5000) + ")"); got.Code != http.StatusBadRequest || !strings.Contains(got.Error, "at most 16384") {
		t.Errorf("brackets in brackets: %d %s", got.Code, got.Error)
	}
}

// TestSmallTextsPassLargeOnes has a query with a long text that waits for another one.
func TestSmallTextsPassLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		w.limits.MaxConcurrency = 100
		api := w.api(t)
		answers := make(chan response, 3)
		// As is counted, one takes 38 MB.
		long := `weixin_interface_daily_callbacks{` + strings.Repeat(`none=~"(`+strings.Repeat(".?", 125)+`){60}",`, 25) + `account="shop"}`
		for i, expression := range []string{long, long, `weixin_interface_daily_callbacks{account=~"shop|bot"} or ` + strings.Repeat("vector(1) + ", 10) + "1"} {
			go func() { answers <- api.form(t, "query", url.Values{"query": {expression}}) }()
			synctest.Wait()
			if begun, want := len(source.begun), []int{1, 1, 2}[i]; begun != want {
				t.Errorf("after %d queries %d have begun, want %d", i+1, begun, want)
			}
		}
		close(source.release)
		for range 3 {
			if got := <-answers; got.Code != http.StatusOK {
				t.Errorf("%d %.300s", got.Code, got.Error)
			}
		}
	})
}

// heldContext is asked while something is matched, and then holds it.
type heldContext struct {
	context.Context

	asked   chan struct{}
	release chan struct{}
}

func (c *heldContext) Err() error {
	c.asked <- struct{}{}
	<-c.release
	return c.Context.Err()
}

// TestMatchingLeavesAProcessor: of the requests that match for long some wait, and others do not wait for them.
func TestMatchingLeavesAProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		close(source.release)
		w.accounts[0].Name = "shop-0000000000000000001"
		most := max(1, runtime.GOMAXPROCS(0)-1)
		held := &heldContext{t.Context(), make(chan struct{}, 1000), make(chan struct{})}
		done := make(chan struct{})
		for range most + 3 {
			go func() {
				w.selected(held, t, firstDay.Start(), w.now, labels.MustNewMatcher(labels.MatchRegexp, "account", demanding))
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		if len(held.asked) != most {
			t.Errorf("%d are matching, want %d", len(held.asked), most)
		}
		go func() {
			w.selected(t.Context(), t, firstDay.Start(), w.now, labels.MustNewMatcher(labels.MatchRegexp, "account", "bot.+"))
			done <- struct{}{}
		}()
		<-done
		close(held.release)
		for range most + 3 {
			<-done
		}
	})
}

// asking returns a function that asks with a parameter.
func asking(path, name, value string) func(*client, context.Context) (int, string) {
	return func(c *client, ctx context.Context) (int, string) {
		recorder := httptest.NewRecorder()
		c.api.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, query.Path+path+"?"+url.Values{name: {value}}.Encode(), nil))
		return recorder.Code, recorder.Body.String()
	}
}

// TestSelectionEndsWithTheRequest: a label that depends on the account is matched while series are selected.
func TestSelectionEndsWithTheRequest(t *testing.T) {
	w := newWorld(t, "shop")
	matcher := labels.MustNewMatcher(labels.MatchRegexp, "app_id", demanding)
	ctx, cancel := context.WithCancel(t.Context())
	set := w.selected(ctx, t, firstDay.Start(), w.now, named("weixin_account_info"), matcher)
	cancel()
	if set.Next() || !errors.Is(set.Err(), context.Canceled) {
		t.Errorf("error %v", set.Err())
	}
	for _, label := range []string{"account", "__name__"} { // matched before
		set := w.selected(ctx, t, firstDay.Start(), w.now, labels.MustNewMatcher(labels.MatchRegexp, label, demanding))
		if set.Next() || set.Err() == nil || set.Err().Error() != "looking for the series: context canceled" {
			t.Errorf("%s: error %v", label, set.Err())
		}
	}
}

// TestLabelsOfManySelectors: what several selectors find together is kept once.
func TestLabelsOfManySelectors(t *testing.T) {
	const selectors, accounts = 500, 2000
	var names []string
	for i := range accounts {
		names = append(names, fmt.Sprintf("shop-%05d", i))
	}
	api := newWorld(t, names...).api(t)
	values := strings.Repeat("&match[]=weixin_account_info", selectors)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, query.Path+"label/account/values?"+values[1:], nil)
	got := api.do(t, r)
	runtime.ReadMemStats(&after)
	var found []string
	if err := json.Unmarshal(got.Data, &found); err != nil || got.Code != http.StatusOK || len(found) != accounts || !slices.IsSorted(found) {
		t.Errorf("%d, %d values, %v", got.Code, len(found), err)
	}
	if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 20 {
		t.Errorf("%d MB were allocated", made)
	}
}

// countingSource counts how often it is asked for days.
type countingSource struct {
	query.Source

	asked int
}

func (s *countingSource) KnownDays(ctx context.Context, api datacube.API, appIDs []string, upTo datacube.Date, each func(string, datacube.Date, time.Time) bool) error {
	s.asked += len(appIDs)
	return s.Source.KnownDays(ctx, api, appIDs, upTo, each)
}

// TestSelectorsShareTheDays: the store is asked once for all selectors.
func TestSelectorsShareTheDays(t *testing.T) {
	w := newWorld(t, "shop", "bot")
	w.fill(t, firstDay, 2)
	source := &countingSource{Source: w.store}
	w.over(source)
	api := w.api(t)
	selectors := url.Values{"match[]": strings.Fields(strings.Repeat("weixin_history_daily_callbacks ", 50) + strings.Repeat("weixin_history_daily_failures ", 50))}
	for _, path := range []string{"series", "labels", "label/account/values"} {
		source.asked = 0
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, query.Path+path+"?"+selectors.Encode(), nil)
		if got := api.do(t, r); got.Code != http.StatusOK || len(got.Data) < 10 || source.asked != len(w.accounts) {
			t.Errorf("%s: %d %s, and the store was asked %d times", path, got.Code, got.Data, source.asked)
		}
	}
}

// TestReadsAreBounded sends messages that take far more memory than their bytes.
func TestReadsAreBounded(t *testing.T) {
	w := newWorld(t, "shop")
	api := w.api(t)
	for name, c := range map[string]struct {
		request *prompb.ReadRequest
		err     string
	}{
		"queries":  {&prompb.ReadRequest{Queries: make([]*prompb.Query, 3000)}, "more than 2000 queries and matchers"},
		"matchers": {&prompb.ReadRequest{Queries: []*prompb.Query{{Matchers: make([]*prompb.LabelMatcher, 3000)}}}, "more than 2000 queries and matchers"},
		"states":   {&prompb.ReadRequest{Queries: []*prompb.Query{matching(firstDay.Start(), w.now, "account", strings.Repeat("a{1000}", 300))}}, "matcher of account: a regular expression repeats too much"},
	} {
		for i, q := range c.request.Queries {
			if q == nil {
				c.request.Queries[i] = &prompb.Query{}
				continue
			}
			for i, m := range q.Matchers {
				if m == nil {
					q.Matchers[i] = &prompb.LabelMatcher{}
				}
			}
		}
		if got := api.post(t, encode(t, c.request)); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), c.err) {
			t.Errorf("%s: %d %.200s", name, got.Code, got.Body)
		}
	}
}

// TestBodiesAreBounded has clients that send nearly all of a body, more than there is room for.
func TestBodiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := slowWorld()
		api := w.api(t)
		const clients = 30 // of a megabyte each
		hold, let := io.Pipe()
		codes := make(chan int, clients)
		for range clients {
			go func() {
				body := io.MultiReader(bytes.NewReader(make([]byte, 1<<20-1000)), hold)
				recorder := httptest.NewRecorder()
				api.api.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, query.Path+"parse_query", body))
				codes <- recorder.Code
			}()
		}
		synctest.Wait()
		refused := len(codes)
		for range refused {
			if code := <-codes; code != http.StatusServiceUnavailable {
				t.Errorf("status %d", code)
			}
		}
		// Some gave up what they had in favor of others.
		if refused < clients-16 || refused == clients {
			t.Errorf("%d of %d were refused", refused, clients)
		}
		if got := api.get(t, "format_query", "query", "1"); got.Code != http.StatusOK {
			t.Errorf("without a body: %d %s", got.Code, got.Error)
		}
		_ = let.Close() // it never fails
		synctest.Wait()
		if got := api.form(t, "format_query", url.Values{"query": {"1"}}); got.Code != http.StatusOK {
			t.Errorf("afterwards: %d %s", got.Code, got.Error)
		}
	})
}

// TestRequestsAreBounded has many requests that wait for a store.
func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		const clients = 128
		source.begun = make(chan struct{}, clients)
		api := w.api(t)
		answers := make(chan response, clients)
		for range clients {
			go func() { answers <- api.get(t, "query", "query", "weixin_interface_daily_callbacks") }()
		}
		synctest.Wait()
		began := time.Now()
		if got := api.get(t, "format_query", "query", "1"); got.Code != http.StatusServiceUnavailable || time.Since(began) != 10*time.Second {
			t.Errorf("one more: %d after %v: %s", got.Code, time.Since(began), got.Error)
		}
		close(source.release)
		for range clients {
			if got := <-answers; got.Code != http.StatusOK {
				t.Errorf("%d %s", got.Code, got.Error)
			}
		}
		if got := api.get(t, "format_query", "query", "1"); got.Code != http.StatusOK {
			t.Errorf("afterwards: %d %s", got.Code, got.Error)
		}
	})
}
