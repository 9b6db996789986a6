package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// The benchmarks of this file run the binary with many accounts and report its CPU time, user and system, and its
// peak resident memory.

// BenchmarkStart starts with a full store, so that no call is due, until the first complete scrape, and then sends
// eight concurrent scrapes, with and without compression.
func BenchmarkStart(b *testing.B) {
	for _, accounts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if testing.Short() && accounts > 1000 {
				b.Skip("filling the store takes two minutes")
			}
			config := manyAccounts(b, accounts, "http://127.0.0.1:9", history, 4)
			fillStore(b, config, accounts, history)
			var toFirst, ready, scraped usage
			var bytes int64
			for b.Loop() {
				x := start(b, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
				metrics := "http://" + x.listensOn(b) + "/metrics"
				x.waitSnapshot(b, metrics)
				ready = ready.add(x.usage(b))
				bytes = scrapeAll(b, metrics, "gzip")
				toFirst = toFirst.add(x.usage(b))
				for _, encoding := range []string{"gzip", "identity"} {
					var clients sync.WaitGroup
					for range 8 {
						clients.Go(func() { scrapeAll(b, metrics, encoding) })
					}
					clients.Wait()
				}
				scraped = scraped.add(x.usage(b))
				x.end(b)
			}
			b.ReportMetric(ready.seconds/float64(b.N), "cpu-s/ready")
			b.ReportMetric(toFirst.seconds/float64(b.N), "cpu-s/first-scrape")
			b.ReportMetric(ready.peak, "MB-peak/ready")
			b.ReportMetric(scraped.peak, "MB-peak/scraping")
			b.ReportMetric(float64(bytes), "B/scrape")
		})
	}
}

// BenchmarkRound requests yesterday for all accounts from a Weixin that takes 50 ms for each response: a token call
// and two others for each account. The store is empty.
func BenchmarkRound(b *testing.B) {
	const latency = 50 * time.Millisecond
	for _, c := range []struct{ accounts, workers int }{{500, 16}, {1000, 64}, {5000, 64}} {
		b.Run(fmt.Sprintf("accounts=%d/workers=%d", c.accounts, c.workers), func(b *testing.B) {
			if testing.Short() && c.accounts > 1000 {
				b.Skip("takes a quarter of a minute")
			}
			var rate, peak, seconds, connections float64
			for b.Loop() {
				slow := newSlowWeixin(3*c.accounts, latency)
				server := httptest.NewServer(slow)
				config := manyAccounts(b, c.accounts, server.URL, 1, c.workers)
				fillStore(b, config, 0, history)
				x := start(b, suite.binary, "--web.listen-address=127.0.0.1:0", "--config.file="+config)
				x.listensOn(b)
				select {
				case <-slow.answered:
				case <-x.ended:
					b.Fatal(mask(x.stderr.String()))
				}
				rate += slow.perSecond()
				used := x.usage(b)
				peak, seconds = max(peak, used.peak), seconds+used.seconds
				connections = max(connections, float64(slow.connections.Load()))
				x.end(b)
				server.Close()
			}
			b.ReportMetric(rate/float64(b.N), "calls/s")
			b.ReportMetric(100*rate/float64(b.N)*latency.Seconds()/float64(c.workers), "%ofideal")
			b.ReportMetric(peak, "MB-peak")
			b.ReportMetric(connections, "connections")
			b.ReportMetric(1000*seconds/float64(b.N)/float64(3*c.accounts), "cpu-ms/call")
		})
	}
}

// BenchmarkClients has 50 clients that request the metrics of 10,000 accounts for a minute, in all formats and
// encodings, in shards of different counts, by family, and pages; every fifth reads slowly or not at all. It fails
// if a client that reads gets no response, and reports the peak memory of the program.
func BenchmarkClients(b *testing.B) {
	if testing.Short() {
		b.Skip("filling the store takes three minutes")
	}
	const accounts, clients, duration = 10_000, 50, time.Minute
	config := manyAccounts(b, accounts, "http://127.0.0.1:9", history, 4)
	fillStore(b, config, accounts, history)
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	var peak float64
	var served atomic.Int64
	for b.Loop() {
		x := start(b, suite.binary, "--config.file="+config, "--web.listen-address=127.0.0.1:0")
		base := "http://" + x.listensOn(b)
		x.waitSnapshot(b, base+"/metrics")
		ctx, cancel := context.WithTimeout(b.Context(), duration)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for ctx.Err() == nil {
					if i%5 == 4 {
						sluggish(ctx, transport, base, i)
						continue
					}
					if err := wellBehaved(ctx, transport, base, i); err != nil && ctx.Err() == nil {
						b.Errorf("client %d: %v", i, err)
						return
					}
					served.Add(1)
				}
			})
		}
		all.Wait()
		cancel()
		peak = max(peak, x.usage(b).peak)
		x.end(b)
	}
	b.ReportMetric(peak, "MB-peak")
	b.ReportMetric(float64(served.Load())/duration.Seconds()/float64(b.N), "responses/s")
}

// mixed returns a request that differs between clients.
func mixed(ctx context.Context, base string, client int) (*http.Request, error) {
	paths := []string{"/metrics", "/metrics?shard=%d/8", "/metrics", "/metrics?shard=1/3", "/metrics?name[]=weixin_interface_hourly_callbacks", "/config", "/metrics"}
	path := paths[client%len(paths)]
	if strings.Contains(path, "%d") {
		path = fmt.Sprintf(path, client/len(paths)%8+1)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", []string{asOpenMetrics, "text/plain;version=0.0.4", asProtobuf}[client%3])
	request.Header.Set("Accept-Encoding", []string{"gzip", "gzip", "gzip", "identity"}[client%4])
	return request, nil
}

// wellBehaved sends a request and reads the response as quickly as it can.
func wellBehaved(ctx context.Context, transport http.RoundTripper, base string, client int) error {
	request, err := mixed(ctx, base, client)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d, %d bytes: %w", request.URL.Path, response.StatusCode, n, err)
	}
	return nil
}

// sluggish sends a request and reads very slowly until it is aborted.
func sluggish(ctx context.Context, transport http.RoundTripper, base string, client int) {
	request, err := mixed(ctx, base, client)
	if err != nil {
		return
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	for {
		if _, err := io.CopyN(io.Discard, response.Body, 1<<10); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// manyAccounts writes a configuration and returns its path.
func manyAccounts(tb testing.TB, accounts int, url string, days, workers int) string {
	tb.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "weixin:\n  base_url: %s\n  requests_per_second: 100000\n  concurrency: %d\n", url, workers)
	fmt.Fprintf(&text, "refresh:\n  ready_at: \"00:00\"\n  history: %dd\nstore:\n  path: store.db\naccounts:\n", days)
	for i := range accounts {
		fmt.Fprintf(&text, "  - {name: account-%05d, app_id: wx%016d, app_secret: %s%032d}\n", i, i, secretMarker, i)
	}
	path := filepath.Join(tb.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// fillStore creates the store of a configuration with some days of the accounts, the latest included.
func fillStore(tb testing.TB, config string, accounts, days int) {
	tb.Helper()
	today := datacube.DateOf(clock())
	fillDays(tb, config, accounts, today-datacube.Date(days), today) // including today, in case midnight passes
}

// fillDays creates the store of a configuration with days of the accounts, in the order in which they arrive: day by day.
func fillDays(tb testing.TB, config string, accounts int, first, last datacube.Date) {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), filepath.Join(filepath.Dir(config), "store.db"), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	for date := first; date <= last; date++ {
		asked := date.Start()
		state := store.State{Status: store.Known, Asks: 1, AskedAt: asked, KnownAt: asked, Rechecked: true}
		var records []store.Record
		for i := range accounts {
			var hours datacube.Hours
			var day datacube.Figures
			for h := range hours {
				n := int64(1000 + 7*(i%977) + 31*h + int(date)%13)
				hours[h] = datacube.Figures{Callbacks: n, Failures: n / 300, TimeCostMillis: 83 * n, MaxTimeCostMillis: 3000 + n%1900}
				day.Callbacks += n
			}
			appID := fmt.Sprintf("wx%016d", i)
			records = append(records,
				store.Record{AppID: appID, API: datacube.Daily, Date: date, State: state, Daily: &day},
				store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: state, Hourly: &hours})
		}
		if _, err := s.Save(tb.Context(), records); err != nil {
			tb.Fatal(err)
		}
	}
}

// scrapeAll requests OpenMetrics and returns the size of the response.
func scrapeAll(b *testing.B, url, encoding string) int64 {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Accept", asOpenMetrics)
	request.Header.Set("Accept-Encoding", encoding)
	response, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.Errorf("a scrape ended after %d bytes with status %d: %v", n, response.StatusCode, err)
	}
	return n
}

// waitSnapshot waits for the first snapshot.
func (p *process) waitSnapshot(tb testing.TB, metrics string) {
	tb.Helper()
	ready := strings.TrimSuffix(metrics, "/metrics") + "/-/ready"
	eventually(tb, "the exporter to be ready", func() error {
		response, err := http.Get(ready)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// end stops the process during a benchmark.
func (p *process) end(b *testing.B) {
	b.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	<-p.ended
}

// usage is the resource usage of a process.
type usage struct {
	seconds float64 // CPU time
	peak    float64 // peak resident memory in MB
}

func (u usage) add(other usage) usage {
	return usage{u.seconds + other.seconds, max(u.peak, other.peak)}
}

// usage reads the resource usage of the process from the kernel.
func (p *process) usage(tb testing.TB) usage {
	tb.Helper()
	folder := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	stat, err := os.ReadFile(folder + "stat")
	status, statusErr := os.ReadFile(folder + "status")
	if err := errors.Join(err, statusErr); err != nil {
		tb.Fatal(err)
	}
	// After the name in parentheses, which may hold anything, utime and stime are the fields
	// 12 and 13, in hundredths of a second (proc_pid_stat(5)).
	_, numbers, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(numbers)
	user, userErr := strconv.ParseFloat(fields[11], 64)
	system, systemErr := strconv.ParseFloat(fields[12], 64)
	highest := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if err := errors.Join(userErr, systemErr); err != nil || highest == nil {
		tb.Fatalf("the resource usage cannot be read: %v\n%s", err, status)
	}
	kilobytes, err := strconv.ParseFloat(string(highest[1]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return usage{seconds: (user + system) / 100, peak: kilobytes * 1024 / 1e6}
}

// slowWeixin responds to each call with the same text after some time. It does less than weixintest, so that it
// leaves the CPU to the program.
type slowWeixin struct {
	latency  time.Duration
	calls    int64         // the expected number
	answered chan struct{} // closed after that number of calls

	begun, seen, connections atomic.Int64
	known                    sync.Map // connections, by address
	ended                    atomic.Int64
	rows                     string
}

func newSlowWeixin(calls int, latency time.Duration) *slowWeixin {
	var rows []string
	for hour := range datacube.HoursPerDay {
		rows = append(rows, fmt.Sprintf(`{"ref_date":"DATE","ref_hour":%d,"callback_count":1234,"fail_count":5,"total_time_cost":98765,"max_time_cost":4321}`, 100*hour))
	}
	return &slowWeixin{latency: latency, calls: int64(calls), answered: make(chan struct{}), rows: strings.Join(rows, ",")}
}

func (s *slowWeixin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.begun.CompareAndSwap(0, clock().UnixNano())
	if _, old := s.known.LoadOrStore(r.RemoteAddr, true); !old {
		s.connections.Add(1)
	}
	body, _ := io.ReadAll(r.Body)
	<-time.After(s.latency)
	text := `{"access_token":"` + tokenMarker + `slow","expires_in":7200}`
	if found := regexp.MustCompile(`"begin_date":"([^"]*)"`).FindSubmatch(body); found != nil {
		text = `{"list":[` + strings.ReplaceAll(s.rows, "DATE", string(found[1])) + `]}`
		if strings.HasSuffix(r.URL.Path, "/getinterfacesummary") {
			text = `{"list":[{"ref_date":"` + string(found[1]) + `","callback_count":29616,"fail_count":120,"total_time_cost":2370360,"max_time_cost":4321}]}`
		}
	}
	_, _ = io.WriteString(w, text)
	if s.seen.Add(1) == s.calls {
		s.ended.Store(clock().UnixNano())
		close(s.answered)
	}
}

// perSecond returns the rate from the first call to the last.
func (s *slowWeixin) perSecond() float64 {
	return float64(s.calls) / time.Duration(s.ended.Load()-s.begun.Load()).Seconds()
}
