package weixintest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// overHTTP makes the world's client use a real server.
func (w *world) overHTTP(server *httptest.Server) {
	w.Cleanup(server.Close)
	w.client, w.base = server.Client(), server.URL
}

func TestOverHTTPTheSameAsInProcess(t *testing.T) {
	t.Parallel()
	talk := func(w *world) []reply {
		token := w.token(shop)
		return []reply{
			w.daily(token, "2026-10-19", yesterday),
			w.hourly(token, yesterday),
			w.daily(token, yesterday, "2026-11-18"),
			w.send(http.MethodGet, "/", nil, ""),
		}
	}
	inProcess := talk(newWorld(t, weixintest.Options{Seed: 3}))
	w := newWorld(t, weixintest.Options{Seed: 3})
	w.overHTTP(httptest.NewServer(w.Server))
	for i, r := range talk(w) {
		if want := inProcess[i]; string(r.Body) != string(want.Body) || r.Status != want.Status || r.ContentType != want.ContentType {
			t.Errorf("response %d: %d %q %s, in process %d %q %s",
				i, r.Status, r.ContentType, r.Body, want.Status, want.ContentType, want.Body)
		}
	}
}

func TestResetOverHTTP(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"plain": httptest.NewServer, "TLS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, weixintest.Options{})
			w.overHTTP(start(w.Server))
			w.Inject(weixintest.Fault{Reset: true, Times: 1})
			// A POST with a body is not repeated by net/http on its own.
			_, err := w.try(http.MethodPost, dailyPath, nil, dates(yesterday, yesterday))
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v, want a reset connection", err)
			}
			w.wantCode("afterwards", w.daily("", yesterday, yesterday), 41001)
		})
	}
}

func TestResetWithoutAConnectionAborts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Reset: true})
	wantAbort(t, w.Server, httptest.NewRequest(http.MethodPost, dailyPath, strings.NewReader("{}")))
}

func TestACallerThatIsGoneGetsNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	w.Inject(weixintest.Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantAbort(t, w.Server, httptest.NewRequest(http.MethodPost, dailyPath, strings.NewReader("{}")).WithContext(ctx))
	if got := w.Calls()[0].Errcode; got != weixintest.NoAnswer {
		t.Errorf("recorded as %d, want no answer", got)
	}
}

func TestABodyThatBreaksOffIsNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	broken := io.MultiReader(strings.NewReader(`{"begin_date"`), failingReader{})
	wantAbort(t, w.Server, httptest.NewRequest(http.MethodPost, dailyPath, broken))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+dailyPath, failingReader{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.do(req); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the one of the body", err)
	}
	if n := len(w.Calls()); n != 0 {
		t.Errorf("%d calls recorded, want none", n)
	}
}

var errBroken = errors.New("the line is broken")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }

func wantAbort(t *testing.T, h http.Handler, r *http.Request) {
	t.Helper()
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			t.Errorf("the handler ended with %v, want http.ErrAbortHandler", got)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// bubble returns a world with the clock of the synctest bubble, at noon on 2026-11-18.
func bubble(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, weixintest.Options{Now: time.Now, Seed: 3})
	<-time.After(time.Until(day(t, "2026-11-18").Start().Add(12 * time.Hour))) // the bubble's clock
	return w
}

func TestDelayMakesARightAnswerSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		token := w.token(shop)
		want := w.daily(token, yesterday, yesterday)
		w.Inject(weixintest.Fault{Delay: 7 * time.Second, Times: 1})
		begin := time.Now()
		got := w.daily(token, yesterday, yesterday)
		if string(got.Body) != string(want.Body) || time.Since(begin) != 7*time.Second {
			t.Errorf("after %s: %s, want after 7s: %s", time.Since(begin), got.Body, want.Body)
		}
		if c := w.Calls()[2]; !c.At.Equal(begin) || c.Errcode != 0 {
			t.Errorf("recorded as %+v, want the time of arrival", c)
		}
	})
}

func TestTransportStopsWithTheContext(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped")
	for _, c := range []struct {
		name string
		end  func(context.Context) (context.Context, func())
		want error
	}{
		{"deadline", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			return ctx, cancel
		}, context.DeadlineExceeded},
		{"cancelled", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"with a cause", func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(2*time.Second, func() { cancel(stopped) })
			return ctx, func() { cancel(nil) }
		}, stopped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := bubble(t)
				w.Inject(weixintest.Fault{Delay: time.Hour})
				begin := time.Now()
				ctx, cancel := c.end(t.Context())
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+dailyPath, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				_, err = w.do(req)
				if !errors.Is(err, c.want) || time.Since(begin) != 2*time.Second {
					t.Errorf("after %s: %v, want after 2s: %v", time.Since(begin), err, c.want)
				}
				// A context that has already ended: nothing arrives.
				if _, err := w.do(req); !errors.Is(err, c.want) {
					t.Errorf("a second time: %v, want %v", err, c.want)
				}
				if got := w.Calls(); len(got) != 1 || got[0].Errcode != weixintest.NoAnswer {
					t.Errorf("recorded as %+v, want one call without a response", got)
				}
			})
		})
	}
}

func TestTransportWithAClientsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bubble(t)
		w.client.Timeout = 3 * time.Second
		w.Inject(weixintest.Fault{Delay: time.Hour, Times: 1})
		begin := time.Now()
		_, err := w.try(http.MethodPost, dailyPath, nil, "{}")
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(begin) != 3*time.Second {
			t.Errorf("after %s: %v, want a timeout after 3s", time.Since(begin), err)
		}
		w.wantCode("afterwards", w.daily("", yesterday, yesterday), 41001)
	})
}

func TestTransportClosesTheBodyAndLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{})
	body := &closing{Reader: strings.NewReader("{}")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+dailyPath, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !body.closed || req.Body != body || resp.Request != req {
		t.Errorf("closed %t, same body %t, same request %t", body.closed, req.Body == body, resp.Request == req)
	}
	if resp.Status != "200 OK" || resp.ContentLength <= 0 {
		t.Errorf("status %q, length %d", resp.Status, resp.ContentLength)
	}
	bare := req.Clone(t.Context())
	bare.Body = nil
	resp, err = w.Transport().RoundTrip(bare)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestManyCallersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, weixintest.Options{Seed: 3, Accounts: append(accounts(),
		weixintest.Account{AppID: "wx00000000000000d4", AppSecret: "sim-secret-limited", CallbacksPerDay: 50, Quota: 30})})
	w.overHTTP(httptest.NewServer(w.Server))
	limited := w.stable("wx00000000000000d4", "sim-secret-limited", false).AccessToken
	date := day(t, yesterday)
	var mu sync.Mutex
	codes := map[int]int{}
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			remove := w.Inject(weixintest.Fault{AppID: quiet, Errcode: -1})
			defer remove()
			token := w.legacy(shop, shopSecret).AccessToken
			for hour := range 5 {
				w.Revise(bot, date, (i+hour)%24, datacube.Figures{Callbacks: 1, TimeCostMillis: 1, MaxTimeCostMillis: 1})
				r, err := w.try(http.MethodPost, hourlyPath, url.Values{"access_token": {token}}, dates(yesterday, yesterday))
				if err != nil || r.code() != 0 || len(*r.List) == 0 {
					t.Errorf("the shop's call: %v, errcode %v", err, r.Errcode)
				}
				r, err = w.try(http.MethodPost, dailyPath, url.Values{"access_token": {limited}}, dates(yesterday, yesterday))
				if err != nil {
					t.Errorf("the limited call: %v", err)
				}
				mu.Lock()
				codes[r.code()]++
				mu.Unlock()
				_, _, _ = w.Calls(), w.Secrets(), w.Day(bot, date)
			}
		})
	}
	group.Wait()
	if codes[0] != 30 || codes[45009] != 20 {
		t.Errorf("responses to 50 calls of an account with a quota of 30: %v", codes)
	}
	if n := len(w.Calls()); n != 1+10+100 {
		t.Errorf("%d calls recorded, want 111", n)
	}
}

// TestArrived: the function hears of each request before it is answered, and where it comes from.
func TestArrived(t *testing.T) {
	t.Parallel()
	type arrival struct {
		call weixintest.Call
		from string
	}
	var arrived []arrival // from this goroutine, as the transport has none
	w := newWorld(t, weixintest.Options{Arrived: func(c weixintest.Call, from string) { arrived = append(arrived, arrival{c, from}) }})
	w.client = &http.Client{Transport: w.TransportFrom("192.0.2.7")}
	token := w.token(shop)
	w.daily(token, yesterday, yesterday)
	calls := w.Calls()
	if len(arrived) != len(calls) || len(calls) != 2 {
		t.Fatalf("heard of %d requests of %d", len(arrived), len(calls))
	}
	for i, a := range arrived {
		want := calls[i]
		want.Errcode = weixintest.NoAnswer
		if a.call != want || a.from != "192.0.2.7" {
			t.Errorf("heard of %+v from %s, want %+v", a.call, a.from, want)
		}
	}
}
