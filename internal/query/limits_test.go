package query_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func TestTooDearQueriesAreRefused(t *testing.T) {
	w := newWorld(t, "shop", "bot", "news")
	w.fill(t, firstDay, 20)
	w.limits.MaxSamples = 1360
	api := w.api(t)
	end := strconv.FormatInt(midnight(firstDay+19), 10)
	for _, c := range []struct{ path, expression, step, err string }{
		{"query", "weixin_history_hourly_callbacks[20d]", "", "too many samples into memory in query execution: more than --query.max-samples=1360"},
		{"query_range", "weixin_history_hourly_callbacks", "1h", "more than --query.max-samples=1360"},
		{"query", "sum({__name__=~'weixin_.+'})", "", "the query selects up to 408 series, more than the 56 that --query.max-samples leaves room for"},
		{"query", "max_over_time(vector(1)[20d:1m])", "", "the subqueries have up to 28801 steps, more than the 170 that --query.max-samples leaves room for"},
		// The engine asks for terabytes, of which the process would end.
		{"query", "max_over_time(vector(1)[10y:1ms])", "", "the subqueries have up to 315360000001 steps"},
		{"query", "max_over_time(weixin_history_hourly_callbacks[10y:1ms])", "", "the subqueries have up to 315360000001 steps"},
		{"query", "max_over_time(max_over_time(vector(1)[290y:1ms])[290y:1s])", "", "the subqueries have up to 9232517476856 steps"},
		{"query", "max_over_time(vector(1)[1h:1m]) + max_over_time(vector(1)[2h:1m])", "", "the subqueries have up to 182 steps"},
		{"query_range", "max_over_time(vector(1)[1m:1m])", "1h", "the subqueries have up to 27362 steps"},
	} {
		got := api.get(t, c.path, "query", c.expression, "time", end, "end", end, "start", strconv.FormatInt(midnight(firstDay), 10), "step", c.step)
		if got.Code != http.StatusUnprocessableEntity || got.ErrorType != "execution" || !strings.Contains(got.Error, c.err) {
			t.Errorf("%s: %d %s: %s", c.expression, got.Code, got.ErrorType, got.Error)
		}
	}
	if got := api.get(t, "series", "match[]", "{__name__=~'weixin_.+'}"); got.Code != http.StatusUnprocessableEntity {
		t.Errorf("series: %d %s", got.Code, got.Data)
	}
	// What is within the limit is answered, and what was refused has left no trace.
	for range 5 {
		if got := api.get(t, "query", "query", "sum(sum_over_time(weixin_history_hourly_callbacks[20d]))", "time", end); got.Code != http.StatusOK {
			t.Errorf("%d %s", got.Code, got.Error)
		}
	}
}

// slowSource lets no query begin before it is told to.
type slowSource struct {
	begun   chan struct{}
	release chan struct{}
}

func (s *slowSource) Changed(ctx context.Context, _ store.Mark) ([]string, store.Mark, error) {
	s.begun <- struct{}{}
	select {
	case <-s.release:
		return nil, 1, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

func (*slowSource) ReadFigures(context.Context, func(*store.FigureReader) error) error { return nil }

func (*slowSource) KnownDays(context.Context, datacube.API, []string, datacube.Date, func(string, datacube.Date, time.Time) bool) error {
	return nil
}

func slowWorld() (*world, *slowSource) {
	source := &slowSource{begun: make(chan struct{}, 100), release: make(chan struct{})}
	w := &world{now: firstDay.Start(), accounts: []query.Account{{Name: "shop", AppID: "wx-shop"}}}
	w.storage = query.NewStorage(query.StorageOptions{Source: source, Accounts: func() []query.Account { return w.accounts }, Now: w.clock})
	w.limits = query.Limits{Timeout: time.Minute, MaxSamples: 1_000_000, MaxConcurrency: 1, LookbackDelta: 5 * time.Minute}
	return w, source
}

// TestQueriesWaitForEachOther runs more than are allowed at a time.
func TestQueriesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		api := w.api(t)
		answers := make(chan response, 3)
		ask := func(timeout string) {
			answers <- api.get(t, "query", "query", "weixin_interface_daily_callbacks", "timeout", timeout)
		}
		go ask("50s")
		synctest.Wait()
		go ask("10s")
		if got := <-answers; got.Code != http.StatusServiceUnavailable || got.ErrorType != "timeout" || !strings.Contains(got.Error, "while it waited for other queries") {
			t.Errorf("the second: %d %s: %s", got.Code, got.ErrorType, got.Error)
		}
		if len(source.begun) != 1 {
			t.Errorf("%d queries have begun", len(source.begun))
		}
		go ask("30s")
		synctest.Wait()
		close(source.release)
		for range 2 {
			if got := <-answers; got.Code != http.StatusOK {
				t.Errorf("%d %s", got.Code, got.Error)
			}
		}
	})
}

// TestSmallQueriesPassLargeOnes has more large queries than may be executed at a time.
func TestSmallQueriesPassLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		w.limits.MaxConcurrency = 100
		api := w.api(t)
		answers := make(chan response, 100)
		ask := func(expression string) {
			answers <- api.get(t, "query", "query", expression, "timeout", "50s")
		}
		most := max(1, runtime.GOMAXPROCS(0)-1)
		for range most + 3 {
			go ask("sum_over_time(weixin_interface_daily_callbacks[400d])")
		}
		synctest.Wait()
		if len(source.begun) != most {
			t.Errorf("%d large queries have begun, want %d", len(source.begun), most)
		}
		go ask("weixin_interface_daily_callbacks")
		synctest.Wait()
		if len(source.begun) != most+1 {
			t.Errorf("a small query waits for large ones")
		}
		close(source.release)
		for range most + 4 {
			if got := <-answers; got.Code != http.StatusOK {
				t.Errorf("%d %s", got.Code, got.Error)
			}
		}
	})
}

// TestQueriesWithoutSeriesShareTheLimit: numbers have a sample at each step, and subqueries many steps.
func TestQueriesWithoutSeriesShareTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, source := slowWorld()
		w.limits.MaxConcurrency = 100
		api := w.api(t)
		const queries = 3
		answers := make(chan response, queries)
		for range queries {
			// A step is counted once, and the two numbers twice each: half of the samples that there may be, and the series, for which the
			// source is asked.
			go func() {
				answers <- api.get(t, "query", "query", "sum_over_time((vector(1) + vector(1))[100000s:1s]) + on () weixin_interface_daily_callbacks", "timeout", "50s")
			}()
		}
		synctest.Wait()
		if len(source.begun) != 1 {
			t.Errorf("%d queries have begun, want one", len(source.begun))
		}
		close(source.release)
		for range queries {
			if got := <-answers; got.Code != http.StatusOK {
				t.Errorf("%d %s", got.Code, got.Error)
			}
		}
	})
}

// TestWhatAggregationsKeep: topk makes room for all that it may keep in each group, and count_values makes a series of each value.
func TestWhatAggregationsKeep(t *testing.T) {
	const accounts = 200
	var names []string
	for i := range accounts {
		names = append(names, fmt.Sprintf("shop-%03d", i))
	}
	w := newWorld(t, names...)
	w.fill(t, firstDay, 2)
	w.limits.MaxSamples = 100_000
	api := w.api(t)
	at := strconv.FormatInt(firstDay.End().Add(12*time.Hour).Unix(), 10)
	for expression, want := range map[string]string{
		"topk by (account) (1000, weixin_interface_daily_callbacks)":                           "topk and bottomk have room for as much as 120000 samples",
		"bottomk without () ((1e9), weixin_interface_daily_callbacks)":                         "topk and bottomk have room for as much as 120000 samples",
		"topk by (account) (scalar(vector(1)), weixin_interface_daily_callbacks)":              "topk and bottomk have room for as much as 120000 samples",
		"topk by (v) (-1, count_values('v', weixin_interface_daily_callbacks))":                "",
		"topk by (v) (300, count_values('v', weixin_interface_daily_callbacks))":               "topk and bottomk have room for as much as 120000 samples",
		"topk by (account) (3, weixin_interface_daily_callbacks)":                              "",
		"topk(1000, weixin_interface_daily_callbacks)":                                         "",
		"count(count_values('v', weixin_interface_daily_callbacks))":                           "",
		"max_over_time(count(count_values('v', weixin_interface_daily_callbacks))[1h:1m])":     "count_values may find up to 12200 values",
		"count_values('v', weixin_interface_daily_callbacks or weixin_history_daily_failures)": "",
	} {
		got := api.get(t, "query", "query", expression, "time", at)
		if want == "" && got.Code != http.StatusOK || want != "" && (got.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Error, want)) {
			t.Errorf("%s: %d %s", expression, got.Code, got.Error)
		}
	}
}

// TestMatchingOfLabelReplace is bounded, as it does not end with the request.
func TestMatchingOfLabelReplace(t *testing.T) {
	const accounts = 200
	var names []string
	for i := range accounts {
		names = append(names, fmt.Sprintf("shop-%03d", i))
	}
	api := newWorld(t, names...).api(t)
	replaced := func(times int, pattern string) string {
		return strings.Repeat("label_replace(", times) + "weixin_account_info" + strings.Repeat(`, "x", "$1", "account", "`+pattern+`")`, times)
	}
	for expression, want := range map[string]int{
		replaced(10, demanding):                  http.StatusBadRequest,
		replaced(10, "([a-z]{1,20})-[0-9]{1,9}"): http.StatusOK,
	} {
		got := api.get(t, "query", "query", expression)
		if got.Code != want || want != http.StatusOK && !strings.Contains(got.Error, "too complex for so many series") {
			t.Errorf("%.60s: %d %s", expression, got.Code, got.Error)
		}
	}
}

// TestRangesOfAllTimes are further apart than a duration can say, which would hide how many steps there are.
func TestRangesOfAllTimes(t *testing.T) {
	api := newWorld(t, "shop").api(t)
	got := api.get(t, "query_range", "query", "1", "start", "0", "end", "9000000000000000", "step", "9000000000")
	if got.Code != http.StatusBadRequest || !strings.Contains(got.Error, "exceeded maximum resolution of 11,000 points") {
		t.Errorf("%d %s", got.Code, got.Error)
	}
}

// TestSmallSteps: the engine counts milliseconds, and would divide by none.
func TestSmallSteps(t *testing.T) {
	w, _ := slowWorld()
	api := w.api(t)
	for _, c := range []struct {
		expression, end, step, err string
	}{
		{"1", "0", "0.0001", `invalid parameter "step": a step must have a millisecond or more`},
		{"1", "12", "0.0019", "exceeded maximum resolution of 11,000 points"},
		{"max_over_time(vector(1)[1s:0.0001])", "0", "1", "the steps of a subquery must have a millisecond or more"},
		{"1", "0.002", "0.001", ""},
	} {
		got := api.get(t, "query_range", "query", c.expression, "start", "0", "end", c.end, "step", c.step)
		if c.err == "" && got.Code != http.StatusOK || c.err != "" && (got.Code != http.StatusBadRequest || !strings.Contains(got.Error, c.err)) {
			t.Errorf("%s with a step of %s: %d %s", c.expression, c.step, got.Code, got.Error)
		}
	}
}

// TestTimeouts are those of the client and of the flag.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := slowWorld()
		api := w.api(t)
		for timeout, want := range map[string]time.Duration{"7s": 7 * time.Second, "": time.Minute, "1h": time.Minute} {
			began := time.Now()
			got := api.get(t, "query", "query", "weixin_interface_daily_callbacks", "timeout", timeout)
			if took := time.Since(began); got.Code != http.StatusServiceUnavailable || got.ErrorType != "timeout" || took != want {
				t.Errorf("timeout %q: %d %s after %v: %s", timeout, got.Code, got.ErrorType, took, got.Error)
			}
		}
	})
}
