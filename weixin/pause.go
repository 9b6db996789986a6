package weixin

import (
	"context"
	"errors"
	"time"
)

// The first and the longest pause of a shared source after a failure: long enough that thousands of
// accounts cost its server a few requests a minute, short enough that a source that works again is soon used.
const (
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// pause is the time after a failure in which a shared source makes no request and repeats its error. The
// zero value means that there was no failure.
type pause struct {
	err       error
	at, until time.Time
	length    time.Duration // of the latest one; it doubles while no call succeeds
}

// begin starts a pause after err. During a pause it does nothing: the request was sent before.
func (p *pause) begin(err error, now time.Time) {
	if p.repeat(now) != nil {
		return
	}
	if failed, ok := errors.AsType[*Error](err); ok && failed.Shared {
		return
	}
	p.length = min(max(2*p.length, firstPause), longestPause)
	p.err, p.at, p.until = err, now, now.Add(p.length)
}

// repeat returns the error of the pause as the caller at now receives it; nil if a request may be made.
func (p *pause) repeat(now time.Time) error {
	if p.err == nil || now.Before(p.at) || !now.Before(p.until) { // before: the clock was put back
		return nil
	}
	failed, ok := errors.AsType[*Error](p.err)
	if !ok {
		return p.err
	}
	repeated := *failed
	repeated.Shared, repeated.Wait = true, p.until.Sub(now)
	return &repeated
}

// observe takes note of the result of a call with the shared token: whether Weixin accepted the token and
// the platform that it belongs to.
func (c *tokenCache) observe(ctx context.Context, err error) {
	if !c.shared || ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch failed, ok := errors.AsType[*Error](err); {
	case err == nil:
		c.pause = pause{}
	case ok && failed.ofPlatform():
		c.pause.begin(err, c.now())
	}
}

// ofPlatform reports whether the error concerns all accounts that share a token: it is about the token
// itself, the calling address or the platform.
func (e *Error) ofPlatform() bool {
	switch e.Errcode {
	case 61004, 61005, 61006, 61011:
		return true
	}
	return e.Reason == Token || e.Reason == AllowList
}
