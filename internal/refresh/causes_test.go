package refresh_test

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

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// loud returns the log lines with the given texts, without those at level debug.
func (w *harness) loud(texts ...string) []string {
	var found []string
	for _, line := range w.log.Lines(texts...) {
		if !strings.Contains(line, "level=debug") {
			found = append(found, line)
		}
	}
	return found
}

// accountsIn returns the number of accounts in a line; a few more may fail just after it.
func accountsIn(line string) int {
	_, number, _ := strings.Cut(line, " accounts=")
	number, _, _ = strings.Cut(number, " ")
	n, _ := strconv.Atoi(number)
	return n
}

// TestSharedCauseIsLoggedOnce: Weixin is down for 30 accounts for an hour.
func TestSharedCauseIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(30)...)
		w.config.HistoryDays = 1
		remove := w.sim.Inject(weixintest.Fault{Status: 502})
		w.start()
		setClock(t, "2026-03-10 09:00")
		if lines := w.loud("refresh failed"); len(lines) < 1 || len(lines) > 3 {
			t.Errorf("%d lines about one cause: %q", len(lines), lines)
		}
		if lines := w.loud("level=warn", "refresh failed", `first="account0`, "502", "next=", "advice="); len(lines) != 1 || accountsIn(lines[0]) < 25 {
			t.Errorf("%d lines report all accounts: %q", len(lines), w.loud("refresh failed"))
		}
		cause := w.shown("account00").Work[datacube.Daily].Problem.Cause
		if want := (snapshot.Cause{Reason: reason("busy"), Kind: "status 502"}); cause != want || w.shown("account29").Work[datacube.Daily].Problem.Cause != want {
			t.Errorf("the cause is %+v, want %+v for all", cause, want)
		}
		remove()
		setClock(t, "2026-03-10 12:00")
		w.wantDays(1)
		lines := w.loud("refresh recovered")
		if len(lines) < 1 || len(lines) > 3 || accountsIn(lines[len(lines)-1]) != 30 {
			t.Errorf("%d lines report the recovery: %q", len(lines), lines)
		}
	})
}

// TestPerAccountCausesAreBounded: the first accounts get a line each, then their number is logged.
func TestPerAccountCausesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(30)...)
		w.config.HistoryDays = 1
		w.sim.Inject(weixintest.Fault{Errcode: 48001})
		w.start()
		setClock(t, "2026-03-10 14:00")
		if lines := w.loud("refresh failed", "account="); len(lines) != 10 {
			t.Errorf("%d lines name an account, want 10", len(lines))
		}
		if lines := w.loud("refresh failed", "accounts=", "errcode=48001"); len(lines) == 0 || accountsIn(lines[0]) < 20 {
			t.Errorf("%d lines report all accounts: %q", len(lines), w.loud("refresh failed", "accounts="))
		}
		if n := len(w.loud("refresh failed")); n > 15 {
			t.Errorf("%d lines in six hours", n)
		}
	})
}

// TestFlappingCauseDoesNotFillTheLog, while every other call fails.
func TestFlappingCauseDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 60
		ctx, cancel := context.WithCancel(t.Context())
		flapping := make(chan struct{})
		go func() {
			defer close(flapping)
			for ctx.Err() == nil {
				remove := w.sim.Inject(weixintest.Fault{API: "hourly", Errcode: -1})
				wait(ctx, 3*time.Second)
				remove()
				wait(ctx, time.Millisecond)
			}
		}()
		w.sim.Inject(weixintest.Fault{Delay: time.Millisecond})
		w.start()
		setClock(t, "2026-03-10 08:30")
		cancel()
		<-flapping
		if n := len(w.loud("refresh")); n > 20 {
			t.Errorf("%d lines in half an hour", n)
		}
	})
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// tokens is a source of platform tokens that is down.
type tokens struct{ fetched atomic.Int64 }

func (s *tokens) Fetch(context.Context) (weixin.AccessToken, error) {
	s.fetched.Add(1)
	return weixin.AccessToken{}, &weixin.Error{API: "token", Reason: weixin.Busy, Origin: weixin.Origin{URL: "https://tokens.example/platform"}}
}

// refreshToken is a refresh token in memory.
type refreshToken struct {
	mu   sync.Mutex
	text secret.Value
}

func (r *refreshToken) Lock(ctx context.Context) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func (r *refreshToken) Load(context.Context) (secret.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text, nil
}

func (r *refreshToken) Save(_ context.Context, _, text secret.Value) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = text
	return nil
}

// TestPlatformTokenServerIsDown for a hundred accounts: it gets a few requests a minute, and the log has a few lines.
func TestPlatformTokenServerIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(0))
		client := weixin.NewClient(weixin.Options{
			BaseURL: "http://weixin.test", HTTPClient: &http.Client{Transport: w.sim.Transport()}, Timeout: 10 * time.Second, Now: time.Now,
		})
		source := &tokens{}
		shared := client.SharedToken(source)
		w.config.Accounts = nil
		for i := range 100 {
			a := account(i)
			w.config.Accounts = append(w.config.Accounts, refresh.Account{
				Name: a.AppID, AppID: a.AppID, Credentials: secret.New("platform"),
				Caller: client.Account(client.AuthorizerToken(weixin.AuthorizerOptions{
					ComponentAppID: "wxplatform", AppID: a.AppID, Component: shared, RefreshToken: &refreshToken{text: secret.New("sim-token-refresh")},
				})),
			})
		}
		w.start()
		<-time.After(time.Minute)
		synctest.Wait()
		if n := source.fetched.Load(); n < 2 || n > 7 {
			t.Errorf("%d requests to the token server in the first minute", n)
		}
		setClock(t, "2026-03-10 09:00")
		if n := source.fetched.Load(); n > 70 {
			t.Errorf("%d requests to the token server in an hour", n)
		}
		if lines := w.loud("refresh failed"); len(lines) > 3 || accountsIn(lines[len(lines)-1]) < 90 || !strings.Contains(lines[0], "https://tokens.example/platform") {
			t.Errorf("%d lines about one cause: %q", len(lines), lines)
		}
		if a := w.shown(account(7).AppID); a.State() != snapshot.Failing || a.Work[datacube.Daily].Problem.Cause.Source != "https://tokens.example" {
			t.Errorf("an account of the platform is shown as %v: %+v", a.State(), a.Work[datacube.Daily].Problem)
		}
	})
}
