package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/weixintest"
)

func TestHandler(t *testing.T) {
	for name, c := range map[string]struct {
		query, timeout string
		status         int
		says           string
	}{
		"good":              {"account=shop", "10", 200, "\nprobe_success 1\n"},
		"no timeout":        {"account=shop", "", 200, "\nprobe_success 1\n"},
		"debug":             {"account=shop&debug=true", "", 200, "Logs for the probe of account \"shop\" at "},
		"unknown":           {"account=other", "", 404, "Account \"other\": there is no account of this name."},
		"not configured":    {"account=news", "", 404, "set callback with url and token or token_file in its configuration"},
		"none":              {"", "", 400, "as in ?account=shop"},
		"two":               {"account=shop&account=news", "", 400, "as in ?account=shop"},
		"a target":          {"target=http://127.0.0.1/&account=shop", "", 400, "Only the callbacks of configured accounts are probed"},
		"a broken query":    {"account=%zz", "", 400, "cannot be read"},
		"a broken timeout":  {"account=shop", "soon", 400, "must be a number of seconds above 0"},
		"too short timeout": {"account=shop", "0.5", 400, "raise scrape_timeout"},
		"not a number":      {"account=shop", "NaN", 400, "must be a number of seconds above 0"},
		"endless timeout":   {"account=shop", "Inf", 200, "\nprobe_success 1\n"},
	} {
		w := newWorld(t)
		w.apply()
		answer := w.get(c.query, c.timeout)
		if answer.Code != c.status || !strings.Contains(answer.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
		leaks(t, name, answer.Body.String(), w.secrets()...)
	}
}

func TestDebugOutput(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.server.SetFault(weixintest.CallbackFault{Status: 500})
	answer := w.get("account=shop&debug=true", "")
	for _, want := range []string{
		"verifying http://127.0.0.1:", "/callback with an echo of ", "within 5s\n", "connecting to 127.0.0.1:", "request sent", "HTTP status 500, a body of ",
		"failed (status): the server answered with HTTP status 500", "\nMetrics that would have been returned:\n", "\nprobe_failed_due_to_reason{reason=\"status\"} 1\n",
		"\nConfiguration of the callback now:\nurl: shown\n",
	} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("the debug output has no %q:\n%s", want, answer.Body)
		}
	}
	leaks(t, "debug output", answer.Body.String(), w.secrets()...)
}

func TestScrapeTimeout(t *testing.T) {
	w := newWorld(t)
	w.apply()
	w.server.SetFault(weixintest.CallbackFault{Delay: -1})
	answer := w.get("account=shop", "0.56")
	// What has passed before the request is sent is taken off.
	if !strings.Contains(answer.Body.String(), `probe_failed_due_to_reason{reason="timeout"} 1`) ||
		!regexp.MustCompile(`within [1-6]?\dms: `).MatchString(w.prober.History()[0].Text) {
		t.Errorf("%s\n%s", answer.Body, w.prober.History()[0].Text)
	}
}

func TestProbesAreBounded(t *testing.T) {
	w := newWorld(t)
	arrived := w.hangs()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			if _, err := w.prober.Probe(ctx, "shop", probe.Longest); !errors.Is(err, context.Canceled) {
				t.Errorf("a probe that was broken off: %v", err)
			}
		})
	}
	for range 4 {
		<-arrived
	}
	for _, when := range []string{"", " after a reload", " after two reloads"} {
		if answer := w.get("account=shop", "0.6"); answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "too many probes") {
			t.Errorf("the fifth at a time%s: %d %s", when, answer.Code, answer.Body)
		}
		w.apply()
	}
	cancel()
	running.Wait()
	if len(w.prober.History()) != 0 {
		t.Error("what was broken off is remembered")
	}
	w.apply()
	go func() { <-arrived }()
	if _, err := w.prober.Probe(t.Context(), "shop", 50*time.Millisecond); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	fault := func(n int) weixintest.CallbackFault {
		if n%50 == 0 {
			return weixintest.CallbackFault{Status: 500}
		}
		return weixintest.CallbackFault{}
	}
	w.apply()
	for n := range 220 {
		w.server.SetFault(fault(n + 1))
		if _, err := w.prober.Probe(t.Context(), "shop", probe.Longest); err != nil {
			t.Fatal(err)
		}
	}
	var kept []int64
	for _, r := range w.prober.History() {
		kept = append(kept, r.ID)
	}
	if len(kept) != 102 || kept[0] != 220 || kept[99] != 121 || kept[100] != 100 || kept[101] != 50 {
		t.Errorf("kept are %v", kept)
	}
	for id, says := range map[int64]string{50: "failed (status)", 220: "succeeded: the server answered with the echo", 1: "", 0: "", 221: ""} {
		log, ok := w.prober.Log(id)
		if ok != (says != "") || !strings.Contains(log, says) {
			t.Errorf("the log of %d is there: %v\n%s", id, ok, log)
		}
		leaks(t, "log", log, w.secrets()...)
	}
}

// A long history of failures does not grow without end.
func TestFailuresAreBounded(t *testing.T) {
	w := newWorld(t)
	w.server.SetFault(weixintest.CallbackFault{Status: 500})
	w.apply()
	for range 250 {
		if _, err := w.prober.Probe(t.Context(), "shop", probe.Longest); err != nil {
			t.Fatal(err)
		}
	}
	if kept := w.prober.History(); len(kept) != 200 || kept[199].ID != 51 {
		t.Errorf("%d are kept, the last being %d", len(kept), kept[len(kept)-1].ID)
	}
}

// What is known of an account goes with its callback.
func TestApplyConfigForgets(t *testing.T) {
	w := newWorld(t)
	w.probe()
	w.apply()
	if _, ok := w.prober.Latest("shop"); !ok || len(w.prober.Names()) != 1 {
		t.Error("a reload forgets")
	}
	w.prober.ApplyConfig([]probe.Account{{Name: "shop"}})
	if _, ok := w.prober.Latest("shop"); ok || len(w.prober.Names()) != 0 {
		t.Error("an account without a callback is remembered")
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	target := w.target
	w.prober.ApplyConfig([]probe.Account{{Name: "shop", Target: &target}, {Name: "news"}, {Name: "茶 & co", Target: &target}})
	get := func(at *url.URL, host string) (int, []map[string]any) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sd?probes=1", nil)
		r.Host = host
		answer := httptest.NewRecorder()
		w.prober.Discovery(at).ServeHTTP(answer, r)
		var groups []map[string]any
		_ = json.Unmarshal(answer.Body.Bytes(), &groups)
		return answer.Code, groups
	}
	group := func(host, name string, more map[string]any) map[string]any {
		labels := map[string]any{"__param_account": name, "account": name}
		maps.Copy(labels, more)
		return map[string]any{"targets": []any{host}, "labels": labels}
	}
	if code, groups := get(nil, "exporter:9988"); code != 200 || !cmp.Equal(groups, []map[string]any{group("exporter:9988", "shop", nil), group("exporter:9988", "茶 & co", nil)}) {
		t.Errorf("%d %v", code, groups)
	}
	at := map[string]any{"__scheme__": "https", "__metrics_path__": "/weixin/probe"}
	if code, groups := get(&url.URL{Scheme: "https", Host: "out.example", Path: "/weixin/probe"}, "in:1"); code != 200 ||
		!cmp.Equal(groups, []map[string]any{group("out.example", "shop", at), group("out.example", "茶 & co", at)}) {
		t.Errorf("%d %v", code, groups)
	}
	if code, _ := get(nil, ""); code != http.StatusBadRequest {
		t.Errorf("without a host: %d", code)
	}
	w.prober.ApplyConfig(nil)
	if code, groups := get(nil, "exporter:9988"); code != 200 || groups == nil || len(groups) != 0 {
		t.Errorf("without a callback: %d %v", code, groups)
	}
}

// largestWrite notes the largest part of a response that is written at once.
type largestWrite struct {
	*httptest.ResponseRecorder

	bytes int
}

func (l *largestWrite) Write(b []byte) (int, error) {
	l.bytes = max(l.bytes, len(b))
	return l.ResponseRecorder.Write(b)
}

// TestDiscoveryOfManyAccounts: the targets are written as they are made, so that clients that do not read take little memory.
func TestDiscoveryOfManyAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 10_000
	accounts := make([]probe.Account, n)
	for i := range accounts {
		accounts[i] = probe.Account{Name: fmt.Sprintf("account-%d", i), Target: &w.target}
	}
	w.prober.ApplyConfig(accounts)
	answer := &largestWrite{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sd?probes=1", nil)
	w.prober.Discovery(nil).ServeHTTP(answer, r)
	var groups []map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &groups); err != nil || len(groups) != n {
		t.Errorf("%d groups, %v", len(groups), err)
	}
	if answer.bytes > 64<<10 {
		t.Errorf("%d bytes were written at once", answer.bytes)
	}
}

// An account that is removed and added again has no more probes at a time than before.
func TestProbesOfARemovedAccountCount(t *testing.T) {
	const most = 4
	w := newWorld(t)
	arrived := w.hangs()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range most {
		running.Go(func() { _, _ = w.prober.Probe(ctx, "shop", probe.Longest) })
		<-arrived
	}
	for range 2 {
		w.prober.ApplyConfig([]probe.Account{{Name: "news"}})
	}
	w.apply()
	if _, err := w.prober.Probe(t.Context(), "shop", probe.Longest); !errors.Is(err, probe.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	cancel()
	running.Wait()
	done, end := context.WithCancel(t.Context())
	running.Go(func() { _, _ = w.prober.Probe(done, "shop", probe.Longest) })
	<-arrived
	end()
	running.Wait()
}

// A thousand probes of a thousand accounts run at once; one more is refused.
func TestAThousandAtOnce(t *testing.T) {
	const limit, contenders = 1000, 1100 // on a slow machine some are always between two probes
	w := newWorld(t)
	arrived := w.hangs()
	target := w.target
	var accounts []probe.Account
	for n := range contenders {
		accounts = append(accounts, probe.Account{Name: strconv.Itoa(n), Target: &target})
	}
	w.prober.ApplyConfig(accounts)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	busy := make(chan struct{}, 1)
	contend := func(n int) {
		running.Go(func() {
			for ctx.Err() == nil { // again where a slow machine takes longer than Weixin waits
				if _, err := w.prober.Probe(ctx, strconv.Itoa(n), probe.Longest); errors.Is(err, probe.ErrBusy) {
					select {
					case busy <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for n := range limit {
		contend(n)
	}
	for range limit {
		<-arrived
	}
	select {
	case <-busy:
		t.Errorf("a probe was refused, though there were %d at most", limit)
	default:
	}
	go func() {
		for ctx.Err() == nil {
			select {
			case <-arrived:
			case <-ctx.Done():
			}
		}
	}()
	for n := limit; n < contenders; n++ {
		contend(n)
	}
	<-busy
	cancel()
	running.Wait()
}
