package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// load is an exporter with 10,000 accounts, and what was requested of it.
type load struct {
	web

	mu   sync.Mutex
	took []time.Duration // the scrapes

	queries, failed atomic.Int64
}

// TestLoad has three clients that scrape 10,000 accounts each second in one format each, every tenth time without
// compression, for LOAD_MINUTES. Meanwhile a round asks for yesterday of all accounts, remote write sends the days before,
// and each second a query is sent. Each scrape succeeds. The test prints how long scrapes took, and the memory.
func TestLoad(t *testing.T) {
	minutes, err := strconv.ParseFloat(os.Getenv("LOAD_MINUTES"), 64)
	if err != nil || minutes <= 0 {
		t.Skip("takes minutes of all processors; set LOAD_MINUTES=10")
	}
	const accounts, workers, days = 10_000, 16, 3
	duration := time.Duration(minutes * float64(time.Minute))
	// A token and two answers for each account, so that the round takes all the time.
	slow := newSlowWeixin(3*accounts, duration*workers/(3*accounts))
	sim := httptest.NewServer(slow)
	defer sim.Close()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	config := manyAccounts(t, accounts, sim.URL, days, workers)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, string(text)+fmt.Sprintf("remote_write:\n  - {url: %q, protobuf_message: prometheus.WriteRequest}\n", receiver.URL))
	today := datacube.DateOf(clock())
	fillDays(t, config, accounts, today-days, today-2)

	x := start(t, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
	l := &load{web: newWeb(t, &url.URL{Scheme: "http", Host: x.listensOn(t)})}
	x.waitSnapshot(t, l.base.String()+"/metrics")
	before := systemLoad(t)
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var all sync.WaitGroup
	for _, accept := range []string{asOpenMetrics, asText, asProtobuf} {
		all.Go(func() { l.scrapes(ctx, t, accept) })
	}
	all.Go(func() { l.asks(ctx, t) })
	all.Wait()

	sent := 0.0
	for key, value := range parse(t, l.ask(t, http.MethodGet, "/metrics?name[]=weixin_remote_write_samples_total", "Accept", asText)) {
		if strings.HasPrefix(key, "weixin_remote_write_samples_total{") {
			sent += value
		}
	}
	if slow.seen.Load() == 0 || sent == 0 || l.queries.Load() == 0 || len(l.took) == 0 {
		t.Errorf("no load: %d scrapes, %d calls, %v samples sent, %d queries", len(l.took), slow.seen.Load(), sent, l.queries.Load())
	}
	slices.Sort(l.took)
	at := func(percent int) time.Duration { return l.took[min(len(l.took)-1, len(l.took)*percent/100)] }
	t.Logf("%d scrapes in %v: 50 %% took up to %v, 99 %% %v, the longest %v; %d of %d calls of the round, %.0f samples sent, %d queries answered and %d refused; %.0f MB; load of the machine %s before and %s after",
		len(l.took), duration, at(50), at(99), at(100), slow.seen.Load(), slow.calls, sent, l.queries.Load(), l.failed.Load(), x.usage(t).peak, before, systemLoad(t))
	x.stop(t, syscall.SIGTERM)
}

// scrapes sends a scrape each second, or at once if the last scrape took longer, until the context ends.
func (l *load) scrapes(ctx context.Context, t *testing.T, accept string) {
	t.Helper()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		encoding := "gzip"
		if i%10 == 9 {
			encoding = "identity"
		}
		began := clock()
		// A scrape that began in time may end later.
		status, n, err := l.get(t.Context(), "/metrics", "Accept", accept, "Accept-Encoding", encoding) //nolint:contextcheck // see above
		if err != nil || status != http.StatusOK || n < 500_000 {
			t.Errorf("a scrape (%s, %s): status %d, %d bytes: %v", accept, encoding, status, n, err)
		}
		l.mu.Lock()
		l.took = append(l.took, clock().Sub(began))
		l.mu.Unlock()
		select {
		case <-every.C:
		case <-ctx.Done():
		}
	}
}

// asks sends queries of an account and of all accounts.
func (l *load) asks(ctx context.Context, t *testing.T) {
	t.Helper()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		query := fmt.Sprintf("sum_over_time(weixin_history_hourly_callbacks{account=\"account-%05d\"}[3d])", i)
		if i%10 == 9 {
			query = "topk(10, weixin_history_daily_callbacks)"
		}
		status, _, err := l.get(t.Context(), "/api/v1/query?query="+url.QueryEscape(query)) //nolint:contextcheck // as a scrape
		switch {
		case err != nil || status == http.StatusBadRequest:
			t.Errorf("%s: status %d: %v", query, status, err)
		case status == http.StatusOK:
			l.queries.Add(1)
		default: // beyond its time, on a slow machine
			l.failed.Add(1)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
		}
	}
}

// get sends a request and reads the response. headers are names and values in turn.
func (l *load) get(ctx context.Context, path string, headers ...string) (int, int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base.String()+path, http.NoBody)
	if err != nil {
		return 0, 0, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := l.client.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	return response.StatusCode, n, err
}

// systemLoad returns the load of the machine in the last minute.
func systemLoad(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
