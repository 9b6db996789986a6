package exposition_test

import (
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// The benchmarks compare three handlers: the one of this package, promhttp over one registry with
// the same metrics, and one that writes the same bytes from memory, which is the limit. All are
// asked over the loopback interface.

// formats are what a scraper accepts, by name.
func formats() map[string]string {
	return map[string]string{"text": asText, "openmetrics": asOpenMetrics, "protobuf": asProtobuf}
}

// scraper asks one handler in one way.
type scraper struct {
	client *http.Client
	url    string
	accept string
	coding string
}

func newScraper(b *testing.B, h http.Handler, accept, coding string) scraper {
	b.Helper()
	server := httptest.NewServer(h)
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	b.Cleanup(server.Close)
	b.Cleanup(transport.CloseIdleConnections)
	return scraper{&http.Client{Transport: transport}, server.URL, accept, coding}
}

// scrape returns the number of bytes.
func (s scraper) scrape(b *testing.B) int64 {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.url+"/metrics", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Accept", s.accept)
	r.Header.Set("Accept-Encoding", s.coding)
	answer, err := s.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || n == 0 {
		b.Fatalf("%s, %d bytes: %v", answer.Status, n, err)
	}
	return n
}

// measure runs scrapes and reports the size of an answer and the most memory that the process had.
func (s scraper) measure(b *testing.B, before func()) {
	b.Helper()
	before()
	bytes := s.scrape(b) // a first one, for what is made once
	watchPeak()
	for b.Loop() {
		before()
		s.scrape(b)
	}
	b.ReportMetric(float64(bytes), "B/scrape")
	reportPeak(b)
}

// watchPeak begins to watch the process's peak of resident memory, where Linux tells it.
func watchPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func reportPeak(b *testing.B) {
	b.Helper()
	status, _ := os.ReadFile("/proc/self/status")
	if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); found != nil {
		kilobytes, _ := strconv.ParseFloat(string(found[1]), 64)
		b.ReportMetric(kilobytes/1024, "peak-MiB")
	}
}

func nothing() {}

// fromMemory returns a handler that writes what another one answers, as it is.
func (w *world) fromMemory(accept, coding string) http.Handler {
	a := w.get(w.handler, "/metrics", "Accept", accept, "Accept-Encoding", coding)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			w.Header().Set(name, a.header.Get(name))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		_, _ = w.Write(a.body)
	})
}

// benchmark is what is measured: a number of accounts, a format and an encoding.
type benchmark struct {
	*world
	name           string
	accept, coding string
}

func benchmarks(b *testing.B) iter.Seq[benchmark] {
	b.Helper()
	return func(yield func(benchmark) bool) {
		for _, n := range []int{1, 100, 1000, 10_000} {
			w := newWorld(b, programs()...)
			w.board.Publish(accounts(n, 1))
			for _, format := range []string{"openmetrics", "text", "protobuf"} {
				for _, coding := range []string{"gzip", "identity"} {
					name := fmt.Sprintf("accounts=%d/format=%s/encoding=%s", n, format, coding)
					if !yield(benchmark{w, name, formats()[format], coding}) {
						return
					}
				}
			}
		}
	}
}

// by returns a handler by its name in a benchmark.
func (w *world) by(name, accept, coding string) http.Handler {
	switch name {
	case "exposition":
		return w.handler
	case "promhttp":
		return w.ordinary
	default:
		return w.fromMemory(accept, coding)
	}
}

// BenchmarkScrape: nothing has changed since the last scrape.
func BenchmarkScrape(b *testing.B) {
	for c := range benchmarks(b) {
		for _, by := range []string{"exposition", "memory", "promhttp"} {
			b.Run(c.name+"/by="+by, func(b *testing.B) {
				newScraper(b, c.by(by, c.accept, c.coding), c.accept, c.coding).measure(b, nothing)
			})
		}
	}
}

// BenchmarkFirstScrape: all accounts have changed since the last scrape.
func BenchmarkFirstScrape(b *testing.B) {
	for c := range benchmarks(b) {
		changed := [][]*snapshot.Account{c.board.Load().Accounts, accounts(len(c.board.Load().Accounts), 2).Accounts}
		now, changes := c.now(), 0
		c.now = func() time.Time { return now }
		change := func() {
			changes++
			now = now.Add(time.Minute)
			c.board.Publish(&snapshot.Snapshot{Accounts: changed[changes%2]})
		}
		for _, by := range []string{"exposition", "promhttp"} {
			b.Run(c.name+"/by="+by, func(b *testing.B) {
				newScraper(b, c.by(by, c.accept, c.coding), c.accept, c.coding).measure(b, change)
			})
		}
	}
}

// BenchmarkEightClients: an operation is one scrape of the eight that run at once.
func BenchmarkEightClients(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		w := newWorld(b, programs()...)
		w.board.Publish(accounts(n, 1))
		for _, coding := range []string{"gzip", "identity"} {
			for _, by := range []string{"exposition", "memory", "promhttp"} {
				b.Run(fmt.Sprintf("accounts=%d/encoding=%s/by=%s", n, coding, by), func(b *testing.B) {
					s := newScraper(b, w.by(by, asOpenMetrics, coding), asOpenMetrics, coding)
					s.scrape(b)
					b.ReportAllocs()
					watchPeak()
					b.SetParallelism(max(8/runtime.GOMAXPROCS(0), 1))
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							s.scrape(b)
						}
					})
					reportPeak(b)
				})
			}
		}
	}
}

// BenchmarkScrapeDuringRebuild: somebody else's scrape has all accounts rendered anew, again and
// again.
func BenchmarkScrapeDuringRebuild(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d/format=openmetrics/encoding=gzip", n), func(b *testing.B) {
			w := newWorld(b, programs()...)
			s := accounts(n, 1)
			w.board.Publish(s)
			var at atomic.Int64
			w.now = func() time.Time { return time.Unix(at.Load(), 0) }
			asked := newScraper(b, w.handler, asOpenMetrics, "gzip")
			asked.scrape(b)
			stop, stopped := make(chan struct{}), make(chan struct{})
			var rebuilds atomic.Int64
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
					}
					at.Add(60)
					w.board.Publish(&snapshot.Snapshot{Accounts: s.Accounts})
					w.get(w.handler, "/metrics", "Accept", asOpenMetrics, "Accept-Encoding", "gzip")
					rebuilds.Add(1)
				}
			}()
			for b.Loop() {
				asked.scrape(b)
			}
			b.StopTimer()
			close(stop)
			<-stopped
			if rebuilds.Load() == 0 {
				b.Error("nothing was rebuilt")
			}
		})
	}
}

// BenchmarkWalk reads every sample of a snapshot, and does nothing with it.
func BenchmarkWalk(b *testing.B) {
	all := families.All()
	for _, n := range []int{1, 100, 1000, 10_000} {
		s := accounts(n, 1)
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			samples := 0
			for b.Loop() {
				samples = 0
				for i := range all {
					f := &all[i]
					for _, a := range s.Accounts {
						for j := range f.Values {
							if _, ok := f.Read(a, j); ok {
								samples++
							}
						}
					}
				}
			}
			b.ReportMetric(float64(samples), "samples")
		})
	}
}
