package refresh_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/testlog"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// harness is a refresher between a simulated Weixin and a store, with the clock of a synctest bubble.
type harness struct {
	t      *testing.T
	sim    *weixintest.Server
	path   string
	latest *snapshot.Latest
	log    *testlog.Log

	config     refresh.Config
	store      *sqlite.Store
	runner     *refresh.Refresher
	stop       func()
	wrapped    func(*sqlite.Store) refresh.Store        // nil: the store itself
	others     func(*sqlite.Store) refresh.ChangeReader // nil: no other process writes
	watched    refresh.Publisher                        // nil: latest
	ahead      atomic.Int64                             // offset of the refresher's clock
	sharing    refresh.Sharing                          // nil: all slots
	trustedNow func() time.Time                         // nil: the refresher's clock
	open       func(context.Context) (opened, error)    // nil: opens the file at path
	logger     log.Logger                               // nil: writes to log
	delay      time.Duration                            // of the answers that the exporters of a fleet get
}

// opened is a store that a harness has opened.
type opened interface {
	refresh.Store
	refresh.ChangeReader
	Close() error
}

// emptyStore returns the file of an empty store. Creating one takes longer than most tests.
var emptyStore = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "refresh")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "store.db")
	s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// otherProcesses makes the refresher check for changes by other processes. Most tests do without, because it checks
// three times a minute.
func otherProcesses(s *sqlite.Store) refresh.ChangeReader { return s }

// account returns a simulated account; i makes it unique.
func account(i int) weixintest.Account {
	return weixintest.Account{
		AppID:           fmt.Sprintf("wx%016d", i),
		AppSecret:       fmt.Sprintf("sim-secret-%d", i),
		CallbacksPerDay: 40_000,
	}
}

// newHarness sets the clock and builds a harness; start starts the refresher. ready returns when the figures of a day
// become available; nil: at its end.
func newHarness(t *testing.T, now string, ready func(string, datacube.Date) time.Time, accounts ...weixintest.Account) *harness {
	t.Helper()
	setClock(t, now)
	path := filepath.Join(t.TempDir(), "store.db")
	content, err := emptyStore()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if ready == nil {
		ready = func(_ string, d datacube.Date) time.Time { return d.End() }
	}
	w := &harness{
		t:      t,
		sim:    weixintest.New(weixintest.Options{Seed: 7, Now: time.Now, Accounts: accounts, Ready: ready}),
		path:   path,
		latest: snapshot.NewLatest(),
		log:    testlog.New(t),
		config: refresh.Config{
			Settings:    refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: 2, RecheckAfter: 24 * time.Hour},
			Interval:    15 * time.Minute,
			Concurrency: 4,
		},
	}
	for i, a := range accounts {
		w.config.Accounts = append(w.config.Accounts, w.account(fmt.Sprintf("account%02d", i), a))
	}
	return w
}

func (w *harness) account(name string, a weixintest.Account) refresh.Account {
	client := weixin.NewClient(weixin.Options{
		BaseURL:    "http://weixin.test",
		HTTPClient: &http.Client{Transport: w.sim.Transport()},
		Timeout:    10 * time.Second,
		Now:        time.Now,
	})
	source := client.StableToken(weixin.Credentials{AppID: a.AppID, AppSecret: secret.New(a.AppSecret)})
	return refresh.Account{Name: name, AppID: a.AppID, Caller: client.Account(source), Credentials: secret.New(a.AppSecret)}
}

// start opens the store and runs the refresher; stop ends both.
func (w *harness) start() {
	w.t.Helper()
	var err error
	ctx, cancel := context.WithCancel(context.Background())
	var db opened
	if w.open != nil {
		db, err = w.open(ctx)
	} else {
		w.store, err = sqlite.Open(ctx, w.path, sqlite.Options{})
		db = w.store
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var kept refresh.Store = db
	if w.wrapped != nil {
		kept = w.wrapped(w.store)
	}
	var shown refresh.Publisher = w.latest
	if w.watched != nil {
		shown = w.watched
	}
	var others refresh.ChangeReader
	if w.others != nil {
		others = w.others(w.store)
	}
	logger := w.logger
	if logger == nil {
		logger = log.NewLogfmtLogger(w.log)
	}
	w.runner = refresh.New(refresh.Options{Store: kept, Changes: others, Publisher: shown, Logger: logger, Now: w.now, TrustedNow: w.trustedNow, Sharing: w.sharing})
	ended := make(chan error, 1)
	go func() { ended <- w.runner.Run(ctx, w.config) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		if err := db.Close(); err != nil {
			w.t.Errorf("closing the store: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
	synctest.Wait()
}

// now is the refresher's clock.
func (w *harness) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// setClock moves the bubble's clock forward.
func setClock(t *testing.T, to string) {
	t.Helper()
	d := time.Until(china(t, to))
	if d < 0 {
		t.Fatalf("the clock is past %s", to)
	}
	<-time.After(d)
	synctest.Wait()
}

// shown returns an account of the latest snapshot.
func (w *harness) shown(name string) *snapshot.Account {
	w.t.Helper()
	latest := w.latest.Load()
	if latest == nil {
		w.t.Fatal("no snapshot")
	}
	for _, a := range latest.Accounts {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// calls returns the interface calls of an account, or of all if appID is "", in the form "09 08:00 daily 2026-03-08",
// with the day and time of each call, and the number of token calls.
func (w *harness) calls(appID string) ([]string, int) {
	var interfaces []string
	tokens := 0
	for _, c := range w.sim.Calls() {
		switch {
		case appID != "" && c.AppID != appID:
		case c.API != "daily" && c.API != "hourly":
			tokens++
		case c.Begin == c.End:
			interfaces = append(interfaces, c.At.In(datacube.China).Format("02 15:04 ")+c.API+" "+c.Begin.String())
		default:
			interfaces = append(interfaces, c.At.In(datacube.China).Format("02 15:04 ")+c.API+" "+c.Begin.String()+".."+c.End.String())
		}
	}
	return interfaces, tokens
}
