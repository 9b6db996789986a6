package exposition_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// numbered returns accounts that all have n callbacks.
func numbered(count int, n int64) *snapshot.Snapshot {
	s := &snapshot.Snapshot{Generation: uint64(count)}
	for i := range count {
		s.Accounts = append(s.Accounts, &snapshot.Account{
			Name: fmt.Sprintf("account-%04d", i), AppID: "wx1", Daily: &datacube.Day{Date: date, Figures: datacube.Figures{Callbacks: n}},
		})
	}
	return s
}

// shown returns the number of callbacks of account-0000, "" if there is none.
func (r response) shown() string {
	_, rest, _ := strings.Cut(r.plain, `weixin_interface_daily_callbacks{account="account-0000"} `)
	number, _, _ := strings.Cut(rest, "\n")
	return number
}

// shardOf returns the shard of 50 that account-0000 is in.
func (f *fixture) shardOf(s *snapshot.Snapshot) string {
	f.tb.Helper()
	other := newFixture(f.tb)
	other.latest.Publish(s)
	for i := range 50 {
		shard := fmt.Sprintf("%d/50", i+1)
		if other.get(other.handler, "/metrics?shard="+shard, "Accept-Encoding", "identity").shown() != "" {
			return shard
		}
	}
	f.tb.Fatal("account-0000 is in no shard")
	return ""
}

// During a refresh, the snapshot changes again and again.
func TestCachedBytesAreServedForAWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accounts int
		pause    time.Duration
	}{{1, 10 * time.Millisecond}, {100, time.Second}, {1100, 10 * time.Second}} {
		t.Run(strconv.Itoa(c.accounts), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, someLive()...)
			path := "/metrics"
			if c.accounts > 100 {
				// Rendering a shard is enough, and much quicker; the pause depends on all accounts.
				path += "?shard=" + f.shardOf(numbered(c.accounts, 1))
			}
			now := time.Unix(1773108000, 0)
			f.now = func() time.Time { return now }
			check := func(when, compressed, plain string) {
				t.Helper()
				for encoding, want := range map[string]string{"gzip": compressed, "identity": plain} {
					if got := f.get(f.handler, path, "Accept-Encoding", encoding).shown(); got != want {
						t.Errorf("%s, %s: %q is shown, want %q", when, encoding, got, want)
					}
				}
			}
			check("before the first snapshot", "", "")
			f.latest.Publish(numbered(c.accounts, 1))
			check("with the first snapshot", "1", "1")
			now = now.Add(24 * time.Hour)
			check("a day later", "1", "1")
			f.latest.Publish(numbered(c.accounts, 2))
			check("at the first change for a day", "2", "2")
			f.latest.Publish(numbered(c.accounts, 3))
			check("at the next one", "2", "3")
			now = now.Add(c.pause - 1)
			f.latest.Publish(numbered(c.accounts, 4))
			check("before the pause is over", "2", "4")
			now = now.Add(1)
			check("when it is over", "4", "4")
			f.latest.Publish(numbered(c.accounts+1, 5))
			check("with a further account", "5", "5")
			renamed := numbered(c.accounts+1, 6)
			renamed.Accounts[0].AppID = "wx2"
			renamed.Generation = 7
			renamed.Generation++
			f.latest.Publish(renamed)
			check("with another app id", "6", "6")
		})
	}
}

// hook is a collector without metrics that calls a function when it is collected.
type hook struct{ gathered func() }

func (hook) Describe(chan<- *prometheus.Desc) {}

func (h hook) Collect(chan<- prometheus.Metric) { h.gathered() }

// The cached bytes never become older, even if a scrape is delayed while others go on.
func TestCachedBytesNeverBecomeOlder(t *testing.T) {
	now := time.Unix(1773108000, 0)
	held := false
	var f *fixture
	f = newFixture(t, hook{func() {
		if held {
			return
		}
		held = true
		f.latest.Publish(numbered(1, 2))
		if got := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip").shown(); got != "2" {
			t.Errorf("%q is shown in the meantime, want 2", got)
		}
		now = now.Add(time.Hour)
	}})
	f.now = func() time.Time { return now }
	f.latest.Publish(numbered(1, 1))
	for range 2 {
		if got := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip").shown(); got != "2" {
			t.Errorf("%q is shown after 2 was", got)
		}
	}
	if !held {
		t.Error("nothing was gathered")
	}
}

// The live part is gathered for each scrape.
func TestLivePartIsNotCached(t *testing.T) {
	gauge := newGauge()
	f := newFixture(t, gauge)
	f.latest.Publish(accounts(2, 1))
	for n := range 3 {
		gauge.Set(float64(n))
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			f.same(t, "/metrics", "Accept", accept, "Accept-Encoding", "gzip")
		}
	}
}

// blockingClock is a clock that blocks the first rendering: it is called when a request arrives and when
// rendering begins.
type blockingClock struct {
	mu      sync.Mutex
	calls   int
	begun   chan struct{}
	proceed chan struct{}
}

func (h *blockingClock) now() time.Time {
	h.mu.Lock()
	h.calls++
	second := h.calls == 2
	h.mu.Unlock()
	if second {
		close(h.begun)
		<-h.proceed
	}
	return time.Unix(1773108000, 0)
}

// many sends concurrent requests for compressed metrics, and returns a channel of the responses.
func (f *fixture) many(ctx context.Context, n int) chan response {
	responses := make(chan response, n)
	for range n {
		go func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
			r.Header.Set("Accept-Encoding", "gzip")
			responses <- f.serve(f.handler, r)
		}()
	}
	return responses
}

func TestTheFirstBytesAreRenderedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, someLive()...)
		clock := &blockingClock{begun: make(chan struct{}), proceed: make(chan struct{})}
		f.now = clock.now
		f.latest.Publish(numbered(50, 1))
		first := f.many(t.Context(), 1)
		<-clock.begun
		others := f.many(t.Context(), 7)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := f.many(ctx, 1)
		synctest.Wait()
		if len(first)+len(others)+len(gone) > 0 {
			t.Fatal("a request did not wait for the bytes")
		}
		cancel(errors.New("the client went away"))
		if a := <-gone; a.status != http.StatusServiceUnavailable || !strings.Contains(a.plain, "the client went away") {
			t.Errorf("%d %q for a client that is gone", a.status, a.plain)
		}
		close(clock.proceed)
		want := <-first
		for range 7 {
			if got := <-others; got.status != http.StatusOK || got.plain != want.plain || got.shown() != "1" {
				t.Errorf("status %d, and the responses differ", got.status)
			}
		}
		if renderings := clock.calls - 9; renderings != 1 { // there were nine requests
			t.Errorf("rendered %d times", renderings)
		}
	})
}

func TestPreviousBytesAreServedDuringRendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, someLive()...)
		f.latest.Publish(numbered(3, 1))
		f.get(f.handler, "/metrics", "Accept-Encoding", "gzip")
		later := time.Unix(1773108000, 0).Add(time.Hour)
		var calls atomic.Int64
		begun, proceed := make(chan struct{}), make(chan struct{})
		f.now = func() time.Time {
			if calls.Add(1) == 2 { // the first call is for the arrival of the request
				close(begun)
				<-proceed
			}
			return later
		}
		f.latest.Publish(numbered(3, 2))
		first := f.many(t.Context(), 1)
		<-begun
		if a := <-f.many(t.Context(), 1); a.shown() != "1" {
			t.Errorf("%q is shown during rendering, want the previous bytes", a.shown())
		}
		f.latest.Publish(numbered(4, 3)) // by a reload
		reloaded := f.many(t.Context(), 1)
		synctest.Wait()
		if len(reloaded) > 0 {
			t.Error("accounts of the previous configuration are shown")
		}
		close(proceed)
		if a := <-first; a.shown() != "2" {
			t.Errorf("%q is shown to the client it was rendered for", a.shown())
		}
		if a := <-reloaded; a.shown() != "3" {
			t.Errorf("%q is shown after the reload", a.shown())
		}
	})
}

// There is no allocation for each account. The race detector makes sync.Pool lose buffers at random.
func TestAllocations(t *testing.T) {
	const many, tolerance = 400, 399
	few := map[string]float64{}
	for _, n := range []int{1, many} {
		f := newFixture(t, programs()...)
		f.latest.Publish(numbered(n, 1))
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			for _, encoding := range []string{"gzip", "identity"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
				r.Header.Set("Accept", accept)
				r.Header.Set("Accept-Encoding", encoding)
				taken := testing.AllocsPerRun(3, func() { f.handler.ServeHTTP(discarding{}, r) })
				key := accept + ", " + encoding
				if n == 1 {
					few[key] = taken
				} else if taken > few[key]+tolerance {
					t.Errorf("%s: %v allocations with %d accounts, %v with one", key, taken, n, few[key])
				}
			}
		}
	}
}

// discarding is a ResponseWriter that discards everything.
type discarding struct{}

func (discarding) Header() http.Header         { return http.Header{} }
func (discarding) Write(p []byte) (int, error) { return len(p), nil }
func (discarding) WriteHeader(int)             {}
