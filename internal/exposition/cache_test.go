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

// numbered returns accounts all of whose figures are n.
func numbered(count int, n int64) *snapshot.Snapshot {
	s := &snapshot.Snapshot{}
	for i := range count {
		s.Accounts = append(s.Accounts, &snapshot.Account{
			Name: fmt.Sprintf("account-%04d", i), AppID: "wx1", Daily: &datacube.Day{Date: date, Figures: datacube.Figures{Callbacks: n}},
		})
	}
	return s
}

// shown returns the number that an answer has of account-0000, "" for none.
func (a answer) shown() string {
	_, rest, _ := strings.Cut(a.plain, `weixin_interface_daily_callbacks{account="account-0000"} `)
	number, _, _ := strings.Cut(rest, "\n")
	return number
}

// While an exporter refreshes, the snapshot changes all the time.
func TestKeptBytesAreShownForAWhile(t *testing.T) {
	for _, c := range []struct {
		accounts int
		pause    time.Duration
	}{{1, 10 * time.Millisecond}, {100, time.Second}, {1100, 10 * time.Second}} {
		t.Run(strconv.Itoa(c.accounts), func(t *testing.T) {
			w := newWorld(t, someLive()...)
			now := time.Unix(1773108000, 0)
			w.now = func() time.Time { return now }
			check := func(when, compressed, plain string) {
				t.Helper()
				for encoding, want := range map[string]string{"gzip": compressed, "identity": plain} {
					if got := w.get(w.handler, "/metrics", "Accept-Encoding", encoding).shown(); got != want {
						t.Errorf("%s, %s: %q is shown, want %q", when, encoding, got, want)
					}
				}
			}
			check("before the first snapshot", "", "")
			w.board.Publish(numbered(c.accounts, 1))
			check("with the first snapshot", "1", "1")
			now = now.Add(24 * time.Hour)
			check("a day later", "1", "1")
			w.board.Publish(numbered(c.accounts, 2))
			check("at the first change for a day", "2", "2")
			w.board.Publish(numbered(c.accounts, 3))
			check("at the next one", "2", "3")
			now = now.Add(c.pause - 1)
			w.board.Publish(numbered(c.accounts, 4))
			check("before the pause is over", "2", "4")
			now = now.Add(1)
			check("when it is over", "4", "4")
			w.board.Publish(numbered(c.accounts+1, 5))
			check("with another account", "5", "5")
			renamed := numbered(c.accounts+1, 6)
			renamed.Accounts[0].AppID = "wx2"
			w.board.Publish(renamed)
			check("with another app id", "6", "6")
		})
	}
}

// hook is a collector that has no metric and calls a function while it is gathered.
type hook struct{ gathered func() }

func (hook) Describe(chan<- *prometheus.Desc) {}

func (h hook) Collect(chan<- prometheus.Metric) { h.gathered() }

// TestKeptBytesNeverBecomeOlder, even if a scrape is held up while others go on.
func TestKeptBytesNeverBecomeOlder(t *testing.T) {
	now := time.Unix(1773108000, 0)
	held := false
	var w *world
	w = newWorld(t, hook{func() {
		if held {
			return
		}
		held = true
		w.board.Publish(numbered(1, 2))
		if got := w.get(w.handler, "/metrics", "Accept-Encoding", "gzip").shown(); got != "2" {
			t.Errorf("%q is shown meanwhile, want 2", got)
		}
		now = now.Add(time.Hour)
	}})
	w.now = func() time.Time { return now }
	w.board.Publish(numbered(1, 1))
	for range 2 {
		if got := w.get(w.handler, "/metrics", "Accept-Encoding", "gzip").shown(); got != "2" {
			t.Errorf("%q is shown after 2 was", got)
		}
	}
	if !held {
		t.Error("nothing was gathered")
	}
}

// TestLivePartIsNeverKept: what is gathered is of the moment.
func TestLivePartIsNeverKept(t *testing.T) {
	gauge := newGauge()
	w := newWorld(t, gauge)
	w.board.Publish(accounts(2, 1))
	for n := range 3 {
		gauge.Set(float64(n))
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			w.same(t, "/metrics", "Accept", accept, "Accept-Encoding", "gzip")
		}
	}
}

// halting is a clock that stops the first rendering: it is asked for the time when a request
// arrives and when a rendering begins.
type halting struct {
	mu      sync.Mutex
	calls   int
	begun   chan struct{}
	proceed chan struct{}
}

func (h *halting) now() time.Time {
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

// many asks for compressed metrics at the same time, and returns where the answers will be.
func (w *world) many(ctx context.Context, n int) chan answer {
	answers := make(chan answer, n)
	for range n {
		go func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
			r.Header.Set("Accept-Encoding", "gzip")
			answers <- w.serve(w.handler, r)
		}()
	}
	return answers
}

func TestTheFirstBytesAreRenderedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, someLive()...)
		clock := &halting{begun: make(chan struct{}), proceed: make(chan struct{})}
		w.now = clock.now
		w.board.Publish(numbered(50, 1))
		first := w.many(t.Context(), 1)
		<-clock.begun
		others := w.many(t.Context(), 7)
		impatient, cancel := context.WithCancelCause(t.Context())
		gone := w.many(impatient, 1)
		synctest.Wait()
		if len(first)+len(others)+len(gone) > 0 {
			t.Fatal("somebody did not wait for the bytes")
		}
		cancel(errors.New("the client went away"))
		if a := <-gone; a.status != http.StatusServiceUnavailable || !strings.Contains(a.plain, "the client went away") {
			t.Errorf("%d %q to a client that is gone", a.status, a.plain)
		}
		close(clock.proceed)
		want := <-first
		for range 7 {
			if got := <-others; got.status != http.StatusOK || got.plain != want.plain || got.shown() != "1" {
				t.Errorf("status %d, and the answers differ", got.status)
			}
		}
		if renderings := clock.calls - 9; renderings != 1 { // there were nine requests
			t.Errorf("rendered %d times", renderings)
		}
	})
}

func TestFormerBytesAreShownDuringARendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, someLive()...)
		w.board.Publish(numbered(3, 1))
		w.get(w.handler, "/metrics", "Accept-Encoding", "gzip")
		later := time.Unix(1773108000, 0).Add(time.Hour)
		var calls atomic.Int64
		begun, proceed := make(chan struct{}), make(chan struct{})
		w.now = func() time.Time {
			if calls.Add(1) == 2 { // the first one notes when the request arrived
				close(begun)
				<-proceed
			}
			return later
		}
		w.board.Publish(numbered(3, 2))
		first := w.many(t.Context(), 1)
		<-begun
		if a := <-w.many(t.Context(), 1); a.shown() != "1" {
			t.Errorf("%q is shown during the rendering, want the former bytes", a.shown())
		}
		w.board.Publish(numbered(4, 3)) // by a reload
		reloaded := w.many(t.Context(), 1)
		synctest.Wait()
		if len(reloaded) > 0 {
			t.Error("accounts of the former configuration are shown")
		}
		close(proceed)
		if a := <-first; a.shown() != "2" {
			t.Errorf("%q is shown to whom it was rendered for", a.shown())
		}
		if a := <-reloaded; a.shown() != "3" {
			t.Errorf("%q is shown after the reload", a.shown())
		}
	})
}

// TestAllocations: what a scrape takes does not depend on the number of accounts.
func TestAllocations(t *testing.T) {
	const most = 2000
	for _, n := range []int{1, 1000} {
		w := newWorld(t, programs()...)
		w.board.Publish(numbered(n, 1))
		for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
			for _, encoding := range []string{"gzip", "identity"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
				r.Header.Set("Accept", accept)
				r.Header.Set("Accept-Encoding", encoding)
				taken := testing.AllocsPerRun(5, func() { w.handler.ServeHTTP(discarding{}, r) })
				if taken > most {
					t.Errorf("%d accounts, %s, %s: %v allocations, want %d at most", n, accept, encoding, taken, most)
				}
			}
		}
	}
}

// discarding is a ResponseWriter that keeps nothing.
type discarding struct{}

func (discarding) Header() http.Header         { return http.Header{} }
func (discarding) Write(p []byte) (int, error) { return len(p), nil }
func (discarding) WriteHeader(int)             {}
