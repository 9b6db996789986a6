package kills_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/weixintest"
)

const (
	// idle is how long an exporter that listens is left alone if nothing happens, since it has nothing to do.
	idle = 300 * time.Millisecond
	// askEvery is the time between two requests to the exporter.
	askEvery = 10 * time.Millisecond
	// longestStart bounds how long a kill during the start waits.
	longestStart = 300 * time.Millisecond
)

// round starts an exporter, kills it, checks what it has left behind, and lets time pass.
func (w *world) round() {
	w.t.Helper()
	defer w.loseTokens()()
	moment := w.moment()
	began := time.Now()
	x := w.serve()
	running := []*exportertest.Process{x}
	beside := w.random.IntN(3) == 0
	if beside {
		running = append(running, w.backfill())
		w.backfills++
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	listening, asked := make(chan struct{}), make(chan struct{})
	go func() { defer close(asked); w.ask(ctx, x, listening) }()
	select {
	case <-moment:
	case <-x.Ended(): // which fails below
	case <-listening:
		w.startup = min(time.Since(began), longestStart)
		select {
		case <-moment:
		case <-x.Ended():
		case <-time.After(idle):
		}
	}
	<-time.After(time.Duration(w.random.IntN(4000)) * time.Microsecond)
	killed := w.clock.Now()
	w.random.Shuffle(len(running), func(i, j int) { running[i], running[j] = running[j], running[i] })
	for _, p := range running {
		if !p.Kill() && p == x {
			w.t.Errorf("the exporter ended before kill %d", w.kills+1)
		} // a backfill may be done
	}
	cancel()
	<-asked
	w.kills++
	w.check(killed, beside)
	for _, p := range running {
		p.Close(w.t)
	}
	if w.t.Failed() {
		w.t.FailNow() // what follows would only say more of the same
	}
	pass := time.Duration(1+w.random.IntN(30)) * time.Hour
	switch w.random.IntN(3) {
	case 0:
		pass *= 4 // longer than the history, so that only a backfill gets all of it
	case 1:
		pass /= 60 // mostly the same day
	}
	w.pass(pass)
}

// moment returns a channel that is closed shortly before an exporter that is started now is killed: at some request to
// Weixin or to the receiver, at some exchange of a refresh token, or at any time during the start.
func (w *world) moment() <-chan struct{} {
	const (
		requests = 70 // of a start
		batches  = 8
	)
	switch n := w.random.IntN(10); {
	case n < 4:
		return w.requests.after(1 + w.random.IntN(requests))
	case n < 6:
		return w.exchanges.after(1 + w.random.IntN(authorizers))
	case n < 8:
		return w.sent.after(1 + w.random.IntN(batches))
	}
	ready := make(chan struct{})
	time.AfterFunc(time.Duration(w.random.Int64N(int64(w.startup))), func() { close(ready) })
	return ready
}

// loseTokens makes Weixin refuse, in a quarter of the rounds, the first access token of each account of the platform, as if it had
// ended early, so that the refresh tokens are exchanged again among the other calls. The returned function ends that.
func (w *world) loseTokens() func() {
	if w.random.IntN(4) > 0 {
		return func() {}
	}
	const ended = 42001
	var ends []func()
	for _, appID := range w.platform {
		ends = append(ends, w.weixin.Inject(weixintest.Fault{AppID: appID, API: "hourly", Errcode: ended, Times: 1}))
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// ask scrapes, queries and probes an exporter until it ends or the context does. It closes a channel when the exporter
// listens.
func (w *world) ask(ctx context.Context, x *exportertest.Process, listening chan<- struct{}) {
	address, ok := x.Address(ctx.Done())
	if !ok {
		return
	}
	close(listening)
	query := url.Values{"query": {`sum by (account) (weixin_history_daily_callbacks)`}}.Encode()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		path := [...]string{"/metrics", "/api/v1/query?" + query, "/probe?account=shop+0", "/"}[n%4]
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
		if err != nil {
			return
		}
		response, err := w.client.Do(request)
		if err != nil {
			return // it was killed
		}
		_, _ = io.Copy(io.Discard, response.Body) // as above
		_ = response.Body.Close()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
