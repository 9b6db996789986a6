package exposition_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counted is a live metric that says how often it was gathered. Each gathering waits until it is let go on.
type counted struct {
	desc      *prometheus.Desc
	gathering *atomic.Int64
	goOn      chan struct{}
}

func newCounted() counted {
	return counted{prometheus.NewDesc("gatherings", "Counts gatherings.", nil, nil), &atomic.Int64{}, make(chan struct{})}
}

func (c counted) Describe(descs chan<- *prometheus.Desc) { descs <- c.desc }
func (c counted) Collect(metrics chan<- prometheus.Metric) {
	n := c.gathering.Add(1)
	<-c.goOn
	metrics <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n))
}

// working is how many gatherings run at a time.
const working = 4

// Scrapes that wait take no place of those that work, however many they are, and share what is gathered after they have arrived.
func TestScrapesThatWaitShareAGathering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live := newCounted()
		f := newFixture(t, live)
		f.latest.Publish(numbered(3, 1))
		f.limit(t, 2)
		var all sync.WaitGroup
		var failed atomic.Int64
		var seen [working + 3]atomic.Int64
		scrapes := func(n int) {
			for range n {
				all.Go(func() {
					a := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip")
					_, after, _ := strings.Cut(a.plain, "\ngatherings ")
					number, _, _ := strings.Cut(after, "\n")
					if i, err := strconv.Atoi(number); a.status == http.StatusOK && err == nil && i < len(seen) {
						seen[i].Add(1)
						return
					}
					failed.Add(1)
				})
			}
			synctest.Wait()
		}
		for range working {
			scrapes(1)
		}
		scrapes(500)
		live.goOn <- struct{}{}
		synctest.Wait()
		scrapes(300)
		close(live.goOn)
		all.Wait()
		if failed.Load() > 0 || seen[working+1].Load() != 500 || seen[working+2].Load() != 300 {
			t.Errorf("%d scrapes failed; 500 have waited for the first, and have %d answers of the next gathering; %d have that of 300",
				failed.Load(), seen[working+1].Load(), seen[working+2].Load())
		}
		if n := live.gathering.Load(); n != working+2 {
			t.Errorf("gathered %d times, want %d", n, working+2)
		}
	})
}

// A client that gives up while others wait for what it was to gather does not take it from them.
func TestScrapesOfOthersThatGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live := newCounted()
		f := newFixture(t, live)
		f.latest.Publish(numbered(3, 1))
		f.limit(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var gone []<-chan struct{}
		for range working + 2 { // the last but one is to gather next, and the last waits for that
			client := newStalled()
			close(client.read)
			gone = append(gone, client.scrape(ctx, f.handler, "gzip"))
			synctest.Wait()
		}
		var status int
		var stays sync.WaitGroup
		stays.Go(func() { status = f.get(f.handler, "/metrics", "Accept-Encoding", "gzip").status })
		synctest.Wait()
		cancel()
		<-gone[working+1]
		close(live.goOn)
		stays.Wait()
		if status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		for _, over := range gone {
			<-over
		}
	})
}

// Gatherings that hang are not waited for without end.
func TestGatheringsThatHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live := newCounted()
		f := newFixture(t, live)
		f.latest.Publish(numbered(3, 1))
		var hanging sync.WaitGroup
		for range working {
			hanging.Go(func() { f.get(f.handler, "/metrics", "Accept-Encoding", "gzip") })
			synctest.Wait()
		}
		began := time.Now()
		if a := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusServiceUnavailable || time.Since(began) != 10*time.Second {
			t.Errorf("status %d after %v", a.status, time.Since(began))
		}
		close(live.goOn)
		hanging.Wait()
		if a := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusOK {
			t.Errorf("status %d afterwards", a.status)
		}
	})
}

// Scrapes that are rendered while they are sent, each with a gathering of its own, take no more of them at a time, and do not wait
// without end either.
func TestGatheringsOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		live := newCounted()
		f := newFixture(t, live)
		f.latest.Publish(numbered(3, 1))
		paths := []string{"/metrics", "/metrics?name[]=gatherings"}
		statuses := make(chan int, 2*working)
		for i := range 2 * working {
			go func() { statuses <- f.get(f.handler, paths[i%2]).status }()
			synctest.Wait()
		}
		if n := live.gathering.Load(); n != working {
			t.Errorf("gathers %d times at a time, want %d", n, working)
			close(live.goOn)
			return
		}
		for range working {
			if status := <-statuses; status != http.StatusServiceUnavailable {
				t.Errorf("status %d of a scrape that has waited for ten seconds", status)
			}
		}
		waiting := make(chan int, 1)
		go func() { waiting <- f.get(f.handler, "/metrics").status }()
		synctest.Wait()
		close(live.goOn)
		for range working {
			if status := <-statuses; status != http.StatusOK {
				t.Errorf("status %d of a scrape that gathers", status)
			}
		}
		if status := <-waiting; status != http.StatusOK {
			t.Errorf("status %d of a scrape that has waited less", status)
		}
	})
}
