package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const (
	// tortureWorkers is how many calls of the exporters that are killed run at a time.
	tortureWorkers = 4
	// mostLost is how many answers of Weixin a kill may cost: in the Refresher up to 2n-1 have been gathered or are
	// being stored and n more have arrived meanwhile, with n workers; a Backfill stores answers at once, so that
	// there are n that have been gathered and n that have arrived meanwhile.
	mostLost = 3*tortureWorkers - 1 + 2*tortureWorkers
)

// number returns the number in an environment variable.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("$%s: %v", variable, err)
	}
	return n
}

// An exporter is killed at random moments, TORTURE_KILLS times, while it refreshes, writes remotely, exchanges refresh
// tokens, probes and answers queries, often with a backfill beside it. TORTURE_SEED decides what happens when, as far
// as that does not depend on how fast the machine is.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const worlds = 3 // side by side, since starting a process takes most of the time
	kills := 300
	if withRaceDetector() {
		kills = 60 // a start takes five times as long
	}
	kills = int(number(t, "TORTURE_KILLS", uint64(kills)))
	seed := number(t, "TORTURE_SEED", rand.Uint64())
	for world := range uint64(worlds) {
		t.Run(fmt.Sprintf("world %d", world), func(t *testing.T) {
			t.Parallel()
			t.Logf("to repeat it: TORTURE_SEED=%d TORTURE_KILLS=%d go test ./e2e -run %s", seed, kills, t.Name())
			w := newTorture(t, seed+world)
			for range (kills + worlds - 1) / worlds {
				w.round(t)
			}
			w.end(t)
		})
	}
}

// torture is an exporter that is killed again and again, and all that it depends on.
type torture struct {
	*fixture
	clock    *exportertest.Clock
	random   *rand.Rand
	receiver *listener
	requests atomic.Int64 // to Weixin
	first    datacube.Date
	known    map[storedDay]bool // by an earlier start
	calls    int                // that were checked
	startup  time.Duration      // how long the slowest start has taken

	kills, backfills, lost, worst int
	oldest                        time.Duration
}

func newTorture(t *testing.T, seed uint64) *torture {
	t.Helper()
	behind := []account{authorized("tea", 1), authorized("books", 2)}
	var plain []account
	for n := range 12 { // more than can lose their answers
		plain = append(plain, newAccount(fmt.Sprintf("shop %d", n), 10+n, 40<<n))
	}
	w := &torture{
		clock:    exportertest.NewClock(t, time.Date(2050, 3, 1, 12, 0, 0, 0, datacube.China)),
		random:   rand.New(rand.NewPCG(seed, 0)),
		receiver: newListener(t),
		known:    map[storedDay]bool{},
		startup:  100 * time.Millisecond,
	}
	w.first = datacube.DateOf(w.clock.Now()) - 2
	w.fixture = newFixtureOf(t, platforms(), w.clock.Now, append(plain, behind...))
	w.sim.RotateRefreshTokens(true)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		w.sim.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	w.configure(t, plain, behind)
	return w
}

func (w *torture) configure(t *testing.T, plain, behind []account) {
	t.Helper()
	_, callback, _ := w.serveCallback(t, callbackCase{}, plain[0].AppID)
	w.put(t, "callback-token", callbackToken)
	var text strings.Builder
	text.WriteString("accounts:\n" + callbackEntry(plain[0], callbackCase{}, callback, ""))
	for _, a := range plain[1:] {
		text.WriteString(entry(a, "app_secret: "+a.AppSecret))
	}
	server := w.tokenServer(t, false).JoinPath("object", "component", agency)
	for _, a := range behind {
		w.put(t, "tokens-"+a.name, w.sim.RefreshToken(a.AppID))
		text.WriteString(entry(a, fromPlatform(fmt.Sprintf("type: url, url: %q", server), "tokens-"+a.name)))
	}
	text.WriteString(w.settings(2) + fmt.Sprintf("remote_write:\n  - {url: %q, max_age: 4000d, max_samples_per_send: 200}\n", w.receiver.URL))
	config := strings.Replace(text.String(), "concurrency: 8", fmt.Sprintf("concurrency: %d", tortureWorkers), 1)
	// So that each day is requested once.
	w.write(t, strings.Replace(config, "refresh:\n", "refresh:\n  recheck_after: 0s\n", 1))
}

// run starts a command of the exporter.
func (w *torture) run(t *testing.T, args ...string) *process {
	t.Helper()
	cmd, err := exportertest.Command(w.clock, append(args, "--config.file="+w.config)...)
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, cmd)
}

// backfill fills the days that passed while no exporter ran.
func (w *torture) backfill(t *testing.T) *process {
	t.Helper()
	return w.run(t, "backfill", "--since="+max(w.first, datacube.DateOf(w.clock.Now())-window).String())
}

// round lets time pass, starts an exporter, kills it and checks what it has left.
func (w *torture) round(t *testing.T) {
	t.Helper()
	pass := time.Duration(1+w.random.IntN(30)) * time.Hour
	if w.random.IntN(3) == 0 {
		pass *= 4 // longer than refresh.history, so that only a backfill gets all of it
	}
	w.clock.Pass(t, pass)
	before := w.requests.Load()
	began := time.Now()
	x := w.run(t)
	running := []*process{x}
	if w.random.IntN(3) == 0 {
		running = append(running, w.backfill(t))
		w.backfills++
	}
	ctx, cancel := context.WithCancel(t.Context())
	clients := make(chan struct{})
	go func() { defer close(clients); w.ask(ctx, x) }()
	if w.random.IntN(5) == 0 {
		pause(time.Duration(w.random.Int64N(int64(w.startup))))
	} else {
		w.awaitRequests(x, before+1+w.random.Int64N(40))
		w.startup = max(w.startup, time.Since(began))
		pause(time.Duration(w.random.IntN(4000)) * time.Microsecond)
	}
	killed := w.clock.Now()
	w.random.Shuffle(len(running), func(i, j int) { running[i], running[j] = running[j], running[i] })
	for _, p := range running {
		if err := p.cmd.Process.Kill(); err == nil {
			p.killed = true
		} else if !errors.Is(err, os.ErrProcessDone) || p == x {
			t.Fatalf("killing it: %v:\n%s", err, mask(p.stderr.String()))
		} // a backfill may be done
		<-p.ended
	}
	cancel()
	<-clients
	w.kills++
	w.check(t, killed, datacube.DateOf(killed)-window, len(running) > 1)
}

// pause waits for a moment, which only decides how far the exporter gets.
func pause(d time.Duration) { <-time.After(d) }

// awaitRequests waits until Weixin has had so many requests. If that does not happen because nothing is left to
// do, it returns a moment after the exporter listens.
func (w *torture) awaitRequests(x *process, wanted int64) {
	const idle = 100 * time.Millisecond
	ticker := time.NewTicker(200 * time.Microsecond)
	defer ticker.Stop()
	var listening time.Time
	for w.requests.Load() < wanted && (listening.IsZero() || time.Since(listening) < idle) {
		select {
		case <-ticker.C:
		case <-x.ended:
			return // the caller finds out
		}
		if listening.IsZero() && strings.Contains(x.stderr.String(), "Listening on") {
			listening = time.Now()
		}
	}
}

// ask scrapes, queries and probes an exporter until the context ends.
func (w *torture) ask(ctx context.Context, x *process) {
	var base string
	for base == "" {
		text, more := x.stderr.read()
		if _, after, found := strings.Cut(text, `msg="Listening on" address=`); found {
			base, _, found = strings.Cut(after, "\n")
			if found {
				break
			}
			base = ""
		}
		select {
		case <-more:
		case <-x.ended:
			return
		case <-ctx.Done():
			return
		}
	}
	query := url.Values{"query": {`sum by (account) (weixin_history_daily_callbacks)`}}.Encode()
	for n := 0; ctx.Err() == nil; n++ {
		path := [...]string{"/metrics", "/api/v1/query?" + query, "/probe?account=shop+0", "/"}[n%4]
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+base+path, nil)
		if err != nil {
			return
		}
		response, err := (&http.Client{}).Do(request)
		if err != nil {
			return // it was killed
		}
		_ = response.Body.Close()
	}
}

// end completes what was interrupted, and checks that nothing is missing.
func (w *torture) end(t *testing.T) {
	t.Helper()
	b := w.run(t, "backfill", "--since="+w.first.String())
	<-b.ended
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("the backfill ended with code %d:\n%s", code, mask(b.stderr.String()))
	}
	p := w.run(t, "--web.listen-address=127.0.0.1:0")
	x := &exporter{process: p, web: newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
	last := datacube.DateOf(w.clock.Now()) - 1
	eventually(t, "all days to be known", func() error {
		got := x.metrics(t)
		for _, a := range w.accounts {
			for _, api := range apis() {
				if days := got[series("weixin_store_known_dates", "account", a.name, "api", api)]; days != float64(last-w.first+1) {
					return fmt.Errorf("%s, %s: %v days", a.name, api, days)
				}
			}
		}
		return nil
	})
	waitSent(t, x, endpointOf(w.receiver.URL), -1, 0)
	p.kill(t)
	w.check(t, w.clock.Now(), w.first, true)
	w.checkDays(t, w.first, last)
	mustEqual(t, "receiver", w.historyOf(w.first, last, w.accounts...), w.receiver.atLeastOnce(t))
	for _, a := range w.accounts {
		if a.Platform != "" {
			w.checkRefreshToken(t, a)
		}
	}
	if w.kills > 20 && w.lost == 0 {
		t.Error("no answer was ever lost, so no kill was during a call")
	}
	t.Logf("%d kills, %d of backfills as well: %d of %d calls lost their answers, at most %d with one kill, the oldest %v before it; %d days",
		w.kills, w.backfills, w.lost, w.calls, w.worst, w.oldest, len(w.known))
}

// succeeded reports whether a call got figures.
func succeeded(c weixintest.Call) bool {
	return (c.API == "daily" || c.API == "hourly") && c.Errcode == 0 && c.AppID != ""
}
