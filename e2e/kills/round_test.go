package kills_test

import (
	"context"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/weixintest"
)

const (
	// idle is how long an exporter that listens is left alone if nothing happens, since it has nothing to do.
	idle = 300 * time.Millisecond
	// longestStart bounds how long a kill during the start waits.
	longestStart = 300 * time.Millisecond
)

// round starts an exporter, kills it, each sixth time once it has nothing to do, checks what it has left behind, and lets time
// pass.
func (w *world) round() {
	w.t.Helper()
	defer w.loseTokens()()
	moment, idles := w.moment(), w.kills%6 == 5
	began := time.Now()
	x := w.serve()
	running := []*exportertest.Process{x}
	beside := !idles && w.random.IntN(3) == 0
	if beside {
		running = append(running, w.backfill())
		w.backfills++
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	v := &visitor{world: w, listening: make(chan struct{}), rests: make(chan struct{})}
	asked := make(chan struct{})
	go func() { defer close(asked); v.ask(ctx, x) }()
	if idles {
		moment = v.rests
	}
	select {
	case <-moment:
	case <-x.Ended(): // which fails below
	case <-v.listening:
		w.startup = min(time.Since(began), longestStart)
		longest := idle
		if idles {
			longest = patience
		}
		select {
		case <-moment:
		case <-x.Ended():
		case <-asked: // it has answered something that is wrong
		case <-time.After(longest):
		}
	}
	if !idles {
		<-time.After(time.Duration(w.random.IntN(4000)) * time.Microsecond)
	}
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
	w.noteAnswers(v, idles)
	w.check(killed, beside, v)
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
