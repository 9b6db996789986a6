package exposition_test

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/exposition"
)

// limit replaces the handler by one with a limit of requests.
func (f *fixture) limit(t *testing.T, maxRequests int) {
	t.Helper()
	var err error
	f.handler, err = exposition.New(exposition.Options{
		Source: f.latest, Live: f.live, ErrorLog: log.New(&f.log, "", 0), Now: func() time.Time { return f.now() }, MaxRequests: maxRequests,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stalled is a client that reads nothing until its channel is closed.
type stalled struct {
	httptest.ResponseRecorder
	read chan struct{}
}

func newStalled() *stalled {
	return &stalled{*httptest.NewRecorder(), make(chan struct{})}
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.read
	return s.ResponseRecorder.Write(p)
}

// scrape begins a scrape by the client. The channel is closed when it has ended.
func (s *stalled) scrape(ctx context.Context, h http.Handler, encoding string) <-chan struct{} {
	over := make(chan struct{})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept-Encoding", encoding)
	go func() {
		defer close(over)
		h.ServeHTTP(s, r)
	}()
	return over
}

// Clients that do not read delay others without compression, for at most ten seconds, but not those with
// compression.
func TestMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, someLive()...)
		f.latest.Publish(numbered(3, 1))
		f.limit(t, 4)
		first, second := newStalled(), newStalled()
		firstOver, secondOver := first.scrape(t.Context(), f.handler, "identity"), second.scrape(t.Context(), f.handler, "identity")
		synctest.Wait()
		if a := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusOK {
			t.Errorf("status %d for cached bytes", a.status)
		}
		began := time.Now()
		a := f.get(f.handler, "/metrics", "Accept-Encoding", "identity")
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("refused after %v", waited)
		}
		if a.status != http.StatusServiceUnavailable || !strings.Contains(a.plain, "--web.max-requests=4") {
			t.Errorf("%d %q, want 503 and the flag", a.status, a.plain)
		}
		third := newStalled()
		close(third.read)
		thirdOver := third.scrape(t.Context(), f.handler, "identity")
		synctest.Wait()
		close(first.read)
		<-firstOver
		<-thirdOver
		if third.Code != http.StatusOK || third.Body.Len() == 0 {
			t.Errorf("status %d after another client has ended", third.Code)
		}
		close(second.read)
		<-secondOver
	})
}

func TestSlowClientsOfCachedBytesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, someLive()...)
		f.latest.Publish(numbered(3, 1))
		f.limit(t, 2)
		var clients []*stalled
		var over []<-chan struct{}
		for range 5 {
			clients = append(clients, newStalled())
			over = append(over, clients[len(clients)-1].scrape(t.Context(), f.handler, "gzip"))
			synctest.Wait()
		}
		if a := f.get(f.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusOK {
			t.Errorf("status %d in addition to clients that do not read", a.status)
		}
		for i, c := range clients {
			close(c.read)
			<-over[i]
		}
	})
}

// Since the accounts change, each of the clients that do not read has bytes of its own in memory. Beyond the
// limit, the oldest responses are aborted.
func TestOutdatedResponsesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, someLive()...)
		now := time.Unix(1773108000, 0)
		f.now = func() time.Time { return now }
		f.latest.Publish(numbered(60, 1))
		size := len(f.get(f.handler, "/metrics", "Accept-Encoding", "gzip").body)
		f.handler.LimitOutdated(3 * size)
		var clients []*stalled
		var over []<-chan struct{}
		for i := range 6 {
			now = now.Add(time.Minute)
			f.latest.Publish(numbered(60, int64(i)))
			clients = append(clients, newStalled())
			over = append(over, clients[i].scrape(t.Context(), f.handler, "gzip"))
			synctest.Wait()
		}
		if n := f.handler.Outdated(); n != 5 {
			t.Fatalf("%d outdated responses are being sent, want 5", n)
		}
		complete := 0
		for i, c := range clients {
			close(c.read)
			<-over[i]
			if f.complete(c) {
				complete++
			} else if i > 2 {
				t.Errorf("response %d was aborted", i)
			}
		}
		if complete < 3 || complete > 4 {
			t.Errorf("%d of 6 responses are complete, want the latest and those within the limit", complete)
		}
		if !strings.Contains(f.log.String(), "reads too slowly") {
			t.Errorf("logged: %s", &f.log)
		}
		if n := f.handler.Outdated(); n != 0 {
			t.Errorf("%d outdated responses are in memory after all clients have ended", n)
		}
	})
}

// complete reports whether a client has its whole response.
func (f *fixture) complete(s *stalled) bool {
	return strconv.Itoa(s.Body.Len()) == s.Header().Get("Content-Length")
}

// Only the shards of one count are cached, until they have not been requested for a while.
func TestShardsOfOtherCountsAreNotCached(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	now := time.Unix(1773108000, 0)
	f.now = func() time.Time { return now }
	f.latest.Publish(accounts(24, 1))
	cached := func(shard string) bool {
		t.Helper()
		a := f.get(f.handler, "/metrics?shard="+shard, "Accept-Encoding", "gzip")
		if a.status != http.StatusOK || len(lines(t, a)) == 0 {
			t.Fatalf("%d %q", a.status, a.plain)
		}
		return a.header.Get("Content-Length") != "" // only cached responses have it
	}
	for _, step := range []struct {
		wait   time.Duration
		shard  string
		cached bool
	}{
		{0, "1/8", true},
		{time.Minute, "1/3", false},
		{time.Minute, "2/8", true},
		{time.Minute, "1/1", true},
		{8 * time.Minute, "1/3", false}, // 2/8 may be requested again
		{2 * time.Minute, "1/3", true},
		{time.Minute, "1/8", false},
	} {
		now = now.Add(step.wait)
		if got := cached(step.shard); got != step.cached {
			t.Errorf("%s at %v is cached: %v, want %v", step.shard, now, got, step.cached)
		}
	}
}

func TestTooManyNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	a := f.get(f.handler, "/metrics?"+strings.Repeat("name[]=a&", 201))
	if a.status != http.StatusBadRequest || !strings.Contains(a.plain, "at most 200") {
		t.Errorf("%d %q", a.status, a.plain)
	}
	f.same(t, "/metrics?"+strings.Repeat("name[]=a_level&", 200))
}
