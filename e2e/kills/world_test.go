package kills_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/internal/remotewrite/remotewritetest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

const (
	// concurrency is how many calls an exporter makes at a time.
	concurrency = 4
	// shops and authorizers are how many accounts there are: together more than may lose their answers. The latter have authorized
	// a platform, so that each exchange for an access token replaces the refresh token.
	shops       = 20
	authorizers = 4
	// history is how many days an exporter requests at its start; a backfill requests those before.
	history = 2

	platform      = "wx00000000000000aa"
	callbackToken = "sim-token-callback0123456789"
)

// patience limits each wait. Nothing takes nearly as long, not even on a machine with ten times more work than
// processors.
const patience = 5 * time.Minute

// world is an exporter that is killed again and again, and all that it depends on.
type world struct {
	tally

	t        *testing.T
	random   *rand.Rand
	clock    *exportertest.Clock
	site     site
	weixin   *weixintest.Server
	receiver *remotewritetest.Receiver
	client   *http.Client
	folder   string
	config   string            // the path of the file
	appIDs   map[string]string // by the names of the accounts
	platform []string          // the app IDs of those that have authorized it
	first    datacube.Date

	// requests to Weixin, those of them that exchange a refresh token, and those to the receiver.
	requests, exchanges, sent counter
	startup                   time.Duration // how long the latest start took

	reviewed int // calls
	known    map[day]bool
	truth    map[day]datacube.Hours
}

// day is a day of an account, and of a call if that matters.
type day struct {
	appID string
	api   datacube.API
	date  datacube.Date
}

// counter counts events, and tells when there have been enough.
type counter struct {
	mu      sync.Mutex
	n, last int
	reached chan struct{}
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == c.last {
		close(c.reached)
	}
}

// after returns a channel that is closed with the nth event from now on, unless it is called again before.
func (c *counter) after(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.reached = c.n+n, make(chan struct{})
	return c.reached
}

// count returns the number of events so far.
func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// counting counts the requests to a server.
func counting(server http.Handler, count func(*http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count(r)
		server.ServeHTTP(w, r)
	})
}

func newWorld(t *testing.T, seed uint64, newSite func(*testing.T, string) site) *world {
	t.Helper()
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), folder: t.TempDir(),
		clock:    exportertest.NewClock(t, time.Date(2050, 3, 1, 12, 0, 0, 0, datacube.China)),
		receiver: remotewritetest.NewReceiver(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		appIDs: map[string]string{}, known: map[day]bool{}, truth: map[day]datacube.Hours{},
		startup: 100 * time.Millisecond,
	}
	w.site = newSite(t, w.folder)
	w.first = datacube.DateOf(w.clock.Now()) - history
	o := weixintest.Options{
		Seed: seed, Now: w.clock.Now, Platforms: []weixintest.Platform{{AppID: platform}},
		Ready: func(_ string, date datacube.Date) time.Time { return date.End() },
	}
	for n := range shops + authorizers {
		a := weixintest.Account{AppID: fmt.Sprintf("wx%016x", 0xdead00+n), CallbacksPerDay: 40 << (n / 2)}
		if n < shops {
			a.AppSecret = "sim-secret-" + a.AppID
		} else {
			a.Platform = platform
			w.platform = append(w.platform, a.AppID)
		}
		w.appIDs[nameOf(n)] = a.AppID
		o.Accounts = append(o.Accounts, a)
	}
	w.weixin = weixintest.New(o)
	w.weixin.RotateRefreshTokens(true)
	w.config = w.path("config.yml")
	write(t, w.config, w.yaml())
	return w
}

func nameOf(n int) string { return fmt.Sprintf("shop %d", n) }

// yaml returns the configuration, and starts the servers in it.
func (w *world) yaml() string {
	w.t.Helper()
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		w.t.Cleanup(server.Close)
		return server.URL
	}
	server := serve(counting(w.weixin, func(r *http.Request) {
		w.requests.add()
		if strings.HasSuffix(r.URL.Path, "/api_authorizer_token") {
			w.exchanges.add()
		}
	}))
	component := serve(w.weixin.TokenServer()) + "/object/component/" + platform
	write(w.t, w.path("callback"), callbackToken)
	callback := serve(weixintest.NewCallback(weixintest.CallbackOptions{Token: callbackToken, AppID: w.appIDs[nameOf(0)]}))
	var text strings.Builder
	text.WriteString("accounts:\n")
	for n := range shops + authorizers {
		appID := w.appIDs[nameOf(n)]
		fmt.Fprintf(&text, "  - {name: %q, app_id: %s, ", nameOf(n), appID)
		switch {
		case n == 0:
			fmt.Fprintf(&text, "app_secret: sim-secret-%s, callback: {url: %q, token_file: %q}}\n", appID, callback, w.path("callback"))
		case n < shops:
			fmt.Fprintf(&text, "app_secret: sim-secret-%s}\n", appID)
		default:
			write(w.t, w.refreshToken(appID), w.weixin.RefreshToken(appID)+"\n")
			fmt.Fprintf(&text, "token: {type: authorizer, component_app_id: %s, component_access_token: {type: url, url: %q}, refresh_token_file: %q}}\n",
				platform, component, w.refreshToken(appID))
		}
	}
	fmt.Fprintf(&text, "weixin: {base_url: %q, timeout: 1m, requests_per_second: 1000, concurrency: %d}\n", server, concurrency)
	// So that each day is requested once, as soon as it is over.
	fmt.Fprintf(&text, "refresh: {ready_at: \"00:00\", history: %dd, recheck_after: 0s}\n", history)
	text.WriteString(w.site.settings())
	fmt.Fprintf(&text, "remote_write: [{url: %q, max_age: 4000d, max_samples_per_send: 200}]\n",
		serve(counting(w.receiver, func(*http.Request) { w.sent.add() })))
	return text.String()
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

// refreshToken returns the file of the refresh token of an account.
func (w *world) refreshToken(appID string) string { return w.path("token-" + appID) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts a command of the exporter.
func (w *world) run(args ...string) *exportertest.Process {
	w.t.Helper()
	cmd, err := exportertest.Command(w.clock, append(args, "--config.file="+w.config)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return exportertest.Start(w.t, cmd, w.folder)
}

// serve starts the exporter.
func (w *world) serve() *exportertest.Process {
	w.t.Helper()
	return w.run("--web.listen-address=127.0.0.1:0")
}

// backfill starts a backfill of all days.
func (w *world) backfill() *exportertest.Process {
	w.t.Helper()
	return w.run("backfill", "--since="+w.first.String())
}

// pass lets time pass while no exporter runs.
func (w *world) pass(by time.Duration) {
	w.t.Helper()
	w.clock.Pass(w.t, by)
	w.site.pass(w.t, by)
}

// end completes what was interrupted, and checks that nothing is missing.
func (w *world) end() {
	w.t.Helper()
	// A day for each account to request, and all access tokens have ended.
	w.pass(datacube.DateOf(w.clock.Now()).Start().Add(36 * time.Hour).Sub(w.clock.Now()))
	last := datacube.DateOf(w.clock.Now()) - 1
	b := w.backfill()
	b.Finish(w.t)
	b.Close(w.t)
	x := w.serve()
	want := remotewritetest.HistoryOf(w.weixin, w.appIDs, w.first, last)
	eventually(w.t, "all samples to arrive at the receiver", func() error {
		if got := w.receiver.Count(); got < want.Count() {
			return fmt.Errorf("%d samples of %d", got, want.Count())
		}
		return nil
	})
	x.Stop(w.t)
	w.check(w.clock.Now(), true, &visitor{world: w})
	for _, fault := range limited(w.receiver.Faults(want)) {
		w.t.Errorf("remote write: %s", fault)
	}
	w.repeats = w.receiver.Repeats()
	w.days = len(w.known)
	if want := len(w.appIDs) * int(datacube.APIs) * int(last-w.first+1); w.days != want {
		w.t.Errorf("%d days are known, want %d", w.days, want)
	}
	w.checkTokens()
	w.checkFolder()
}

// limited returns the first of some texts.
func limited(texts []string) []string {
	const most = 20
	return texts[:min(most, len(texts))]
}

// eventually calls try until it returns no error, and fails the test if that takes too long.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := exportertest.Poll(ctx, try); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}
