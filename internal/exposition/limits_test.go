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

// limited replaces the handler by one with a limit of requests.
func (w *world) limited(t *testing.T, most int) {
	t.Helper()
	var err error
	w.handler, err = exposition.New(exposition.Options{
		Source: w.board, Live: w.live, ErrorLog: log.New(&w.log, "", 0), Now: func() time.Time { return w.now() }, MaxRequests: most,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stalled is a client that reads nothing until it is told to.
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

// ask begins a scrape by the client; the channel is closed when it is over.
func (s *stalled) ask(ctx context.Context, h http.Handler, encoding string) <-chan struct{} {
	over := make(chan struct{})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept-Encoding", encoding)
	go func() {
		defer close(over)
		h.ServeHTTP(s, r)
	}()
	return over
}

// TestMaxRequests: clients that do not read keep others of their kind waiting, for ten seconds at
// the most, and those of the other kind not at all.
func TestMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, someLive()...)
		w.board.Publish(numbered(3, 1))
		w.limited(t, 4)
		first, second := newStalled(), newStalled()
		firstOver, secondOver := first.ask(t.Context(), w.handler, "identity"), second.ask(t.Context(), w.handler, "identity")
		synctest.Wait()
		if a := w.get(w.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusOK {
			t.Errorf("status %d of what is kept", a.status)
		}
		began := time.Now()
		a := w.get(w.handler, "/metrics", "Accept-Encoding", "identity")
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("refused after %v", waited)
		}
		if a.status != http.StatusServiceUnavailable || !strings.Contains(a.plain, "--web.max-requests=4") {
			t.Errorf("%d %q, want 503 and the flag", a.status, a.plain)
		}
		third := newStalled()
		close(third.read)
		thirdOver := third.ask(t.Context(), w.handler, "identity")
		synctest.Wait()
		close(first.read)
		<-firstOver
		<-thirdOver
		if third.Code != http.StatusOK || third.Body.Len() == 0 {
			t.Errorf("status %d after another one has left", third.Code)
		}
		close(second.read)
		<-secondOver
	})
}

func TestSlowClientsOfWhatIsKeptDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, someLive()...)
		w.board.Publish(numbered(3, 1))
		w.limited(t, 2)
		var clients []*stalled
		var over []<-chan struct{}
		for range 5 {
			clients = append(clients, newStalled())
			over = append(over, clients[len(clients)-1].ask(t.Context(), w.handler, "gzip"))
			synctest.Wait()
		}
		if a := w.get(w.handler, "/metrics", "Accept-Encoding", "gzip"); a.status != http.StatusOK {
			t.Errorf("status %d beside clients that do not read", a.status)
		}
		for i, c := range clients {
			close(c.read)
			<-over[i]
		}
	})
}

// TestOutdatedAnswersAreBounded: each of the clients that do not read has bytes of its own in
// memory, because the accounts change; beyond the bound the oldest are given up.
func TestOutdatedAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, someLive()...)
		now := time.Unix(1773108000, 0)
		w.now = func() time.Time { return now }
		w.board.Publish(numbered(60, 1))
		size := len(w.get(w.handler, "/metrics", "Accept-Encoding", "gzip").body)
		w.handler.KeepOutdated(3 * size)
		var clients []*stalled
		var over []<-chan struct{}
		for i := range 6 {
			now = now.Add(time.Minute)
			w.board.Publish(numbered(60, int64(i)))
			clients = append(clients, newStalled())
			over = append(over, clients[i].ask(t.Context(), w.handler, "gzip"))
			synctest.Wait()
		}
		if n := w.handler.Outdated(); n != 5 {
			t.Fatalf("%d outdated answers are being sent, want 5", n)
		}
		complete := 0
		for i, c := range clients {
			close(c.read)
			<-over[i]
			if w.complete(c) {
				complete++
			} else if i > 2 {
				t.Errorf("answer %d was broken off", i)
			}
		}
		if complete < 3 || complete > 4 {
			t.Errorf("%d of 6 answers are complete, want the latest and those within the bound", complete)
		}
		if !strings.Contains(w.log.String(), "reads too slowly") {
			t.Errorf("logged: %s", &w.log)
		}
		if n := w.handler.Outdated(); n != 0 {
			t.Errorf("%d outdated answers are kept for nobody", n)
		}
	})
}

// complete reports whether a client has all of its answer.
func (w *world) complete(s *stalled) bool {
	return strconv.Itoa(s.Body.Len()) == s.Header().Get("Content-Length")
}

// TestForeignShardsAreNotKept: only the shards of one number are, until nobody asks for them.
func TestForeignShardsAreNotKept(t *testing.T) {
	w := newWorld(t, someLive()...)
	now := time.Unix(1773108000, 0)
	w.now = func() time.Time { return now }
	w.board.Publish(accounts(24, 1))
	kept := func(shard string) bool {
		t.Helper()
		a := w.get(w.handler, "/metrics?shard="+shard, "Accept-Encoding", "gzip")
		if a.status != http.StatusOK || len(lines(t, a)) == 0 {
			t.Fatalf("%d %q", a.status, a.plain)
		}
		return a.header.Get("Content-Length") != "" // as only those have that are kept
	}
	for _, step := range []struct {
		wait  time.Duration
		shard string
		kept  bool
	}{
		{0, "1/8", true},
		{time.Minute, "1/3", false},
		{time.Minute, "2/8", true},
		{time.Minute, "1/1", true},
		{8 * time.Minute, "1/3", false}, // 2/8 may be asked for again
		{2 * time.Minute, "1/3", true},
		{time.Minute, "1/8", false},
	} {
		now = now.Add(step.wait)
		if got := kept(step.shard); got != step.kept {
			t.Errorf("%s at %v is kept: %v, want %v", step.shard, now, got, step.kept)
		}
	}
}

func TestTooManyNames(t *testing.T) {
	w := newWorld(t, someLive()...)
	a := w.get(w.handler, "/metrics?"+strings.Repeat("name[]=a&", 201))
	if a.status != http.StatusBadRequest || !strings.Contains(a.plain, "at most 200") {
		t.Errorf("%d %q", a.status, a.plain)
	}
	w.same(t, "/metrics?"+strings.Repeat("name[]=a_level&", 200))
}
