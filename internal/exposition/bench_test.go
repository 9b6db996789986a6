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

// The benchmarks compare three handlers: that of this package, promhttp over one registry with
// the same metrics, and one that writes the same bytes from memory, which is the lower limit. All are
// requested over the loopback interface.

// formats returns the Accept headers of the formats, by name.
func formats() map[string]string {
	return map[string]string{"text": asText, "openmetrics": asOpenMetrics, "protobuf": asProtobuf}
}

// scraper requests the metrics of one handler in one format and encoding.
type scraper struct {
	client *http.Client
	url    string // of the metrics
	accept string
	coding string
}

func newScraper(b *testing.B, h http.Handler, accept, coding string) scraper {
	b.Helper()
	server := httptest.NewServer(h)
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	b.Cleanup(server.Close)
	b.Cleanup(transport.CloseIdleConnections)
	return scraper{&http.Client{Transport: transport}, server.URL + "/metrics", accept, coding}
}

// scrape returns the size of the response in bytes.
func (s scraper) scrape(b *testing.B) int64 {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.url, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Accept", s.accept)
	r.Header.Set("Accept-Encoding", s.coding)
	got, err := s.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer got.Body.Close()
	n, err := io.Copy(io.Discard, got.Body)
	if err != nil || got.StatusCode != http.StatusOK || n == 0 {
		b.Fatalf("%s, %d bytes: %v", got.Status, n, err)
	}
	return n
}

// measure runs scrapes and reports the size of a response and the peak memory of the process.
func (s scraper) measure(b *testing.B, before func()) {
	b.Helper()
	before()
	bytes := s.scrape(b) // the first one, which fills the cache
	watchPeak()
	for b.Loop() {
		before()
		s.scrape(b)
	}
	b.ReportMetric(float64(bytes), "B/scrape")
	reportPeak(b)
}

// watchPeak resets the peak resident memory of the process, on Linux.
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

// fromMemory returns a handler that writes the response of the fixture's handler from memory.
func (f *fixture) fromMemory(accept, coding string) http.Handler {
	a := f.get(f.handler, "/metrics", "Accept", accept, "Accept-Encoding", coding)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			w.Header().Set(name, a.header.Get(name))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		_, _ = w.Write(a.body)
	})
}

// benchmark is a number of accounts, a format and an encoding.
type benchmark struct {
	*fixture
	name           string
	accept, coding string
}

func benchmarks(b *testing.B) iter.Seq[benchmark] {
	b.Helper()
	return func(yield func(benchmark) bool) {
		for _, n := range []int{1, 100, 1000, 10_000} {
			f := newFixture(b, programs()...)
			f.latest.Publish(accounts(n, 1))
			for _, format := range []string{"openmetrics", "text", "protobuf"} {
				for _, coding := range []string{"gzip", "identity"} {
					name := fmt.Sprintf("accounts=%d/format=%s/encoding=%s", n, format, coding)
					if !yield(benchmark{f, name, formats()[format], coding}) {
						return
					}
				}
			}
		}
	}
}

// by returns a handler by its name in the benchmarks.
func (f *fixture) by(name, accept, coding string) http.Handler {
	switch name {
	case "exposition":
		return f.handler
	case "promhttp":
		return f.promhttp
	default:
		return f.fromMemory(accept, coding)
	}
}

// BenchmarkScrape measures scrapes without changes since the last one.
func BenchmarkScrape(b *testing.B) {
	for c := range benchmarks(b) {
		for _, by := range []string{"exposition", "memory", "promhttp"} {
			b.Run(c.name+"/by="+by, func(b *testing.B) {
				newScraper(b, c.by(by, c.accept, c.coding), c.accept, c.coding).measure(b, nothing)
			})
		}
	}
}

// BenchmarkFirstScrape measures scrapes after a change of all accounts.
func BenchmarkFirstScrape(b *testing.B) {
	for c := range benchmarks(b) {
		changed := [][]*snapshot.Account{c.latest.Load().Accounts, accounts(len(c.latest.Load().Accounts), 2).Accounts}
		now, changes := c.now(), 0
		c.now = func() time.Time { return now }
		change := func() {
			changes++
			now = now.Add(time.Minute)
			c.latest.Publish(&snapshot.Snapshot{Accounts: changed[changes%2]})
		}
		for _, by := range []string{"exposition", "promhttp"} {
			b.Run(c.name+"/by="+by, func(b *testing.B) {
				newScraper(b, c.by(by, c.accept, c.coding), c.accept, c.coding).measure(b, change)
			})
		}
	}
}

// BenchmarkShard compares a shard of 1,000 of 100,000 accounts with an exporter that has 1,000 accounts, when nothing
// has changed and when all accounts have.
func BenchmarkShard(b *testing.B) {
	for _, c := range []struct {
		accounts int
		shard    string
	}{{1000, "1/1"}, {100_000, "1/100"}} {
		f := newFixture(b, programs()...)
		versions := [][]*snapshot.Account{accounts(c.accounts, 1).Accounts, accounts(c.accounts, 2).Accounts}
		now, changes := f.now(), 0
		f.now = func() time.Time { return now }
		change := func() {
			changes++
			now = now.Add(time.Minute)
			f.latest.Publish(&snapshot.Snapshot{Accounts: versions[changes%2], Generation: 1})
		}
		change()
		for name, before := range map[string]func(){"unchanged": nothing, "changed": change} {
			b.Run(fmt.Sprintf("accounts=%d/%s", c.accounts, name), func(b *testing.B) {
				s := newScraper(b, f.handler, asOpenMetrics, "gzip")
				s.url += "?shard=" + c.shard
				s.measure(b, before)
			})
		}
	}
}

// BenchmarkEightClients measures eight concurrent scrapes. An operation is one of them.
func BenchmarkEightClients(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		f := newFixture(b, programs()...)
		f.latest.Publish(accounts(n, 1))
		for _, coding := range []string{"gzip", "identity"} {
			for _, by := range []string{"exposition", "memory", "promhttp"} {
				b.Run(fmt.Sprintf("accounts=%d/encoding=%s/by=%s", n, coding, by), func(b *testing.B) {
					s := newScraper(b, f.by(by, asOpenMetrics, coding), asOpenMetrics, coding)
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

// BenchmarkScrapeDuringRebuild measures scrapes while those of another client render all accounts again and
// again.
func BenchmarkScrapeDuringRebuild(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d/format=openmetrics/encoding=gzip", n), func(b *testing.B) {
			f := newFixture(b, programs()...)
			s := accounts(n, 1)
			f.latest.Publish(s)
			var at atomic.Int64
			f.now = func() time.Time { return time.Unix(at.Load(), 0) }
			measured := newScraper(b, f.handler, asOpenMetrics, "gzip")
			measured.scrape(b)
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
					f.latest.Publish(&snapshot.Snapshot{Accounts: s.Accounts})
					f.get(f.handler, "/metrics", "Accept", asOpenMetrics, "Accept-Encoding", "gzip")
					rebuilds.Add(1)
				}
			}()
			for b.Loop() {
				measured.scrape(b)
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

// BenchmarkWalk only reads every sample of a snapshot.
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
