package weixin

import (
	"context"
	"errors"
	"time"
)

// The first and the longest time for which a shared source makes no request after a failure:
// long enough that thousands of accounts cost its server a handful of requests a minute, short
// enough that nobody waits for what works again.
const (
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// failure is what a shared source remembers of its last failure. The zero value is none.
type failure struct {
	err       error
	at, until time.Time
	pause     time.Duration // the last one; it doubles while no call succeeds
}

// note remembers err. What fails while it is remembered was under way before and says nothing new.
func (f *failure) note(err error, now time.Time) {
	if f.repeat(now) != nil {
		return
	}
	if known, ok := errors.AsType[*Error](err); ok && known.Shared {
		return
	}
	f.pause = min(max(2*f.pause, firstPause), longestPause)
	f.err, f.at, f.until = err, now, now.Add(f.pause)
}

// repeat returns the error as it is told to whoever asks at now; nil where a request may be made.
func (f *failure) repeat(now time.Time) error {
	if f.err == nil || now.Before(f.at) || !now.Before(f.until) { // before: the clock was put back
		return nil
	}
	known, ok := errors.AsType[*Error](f.err)
	if !ok {
		return f.err
	}
	told := *known
	told.Shared, told.Wait = true, f.until.Sub(now)
	return &told
}

// learn takes over how a call with the shared token ended: whether the token, and the platform
// that it stands for, were accepted.
func (k *keeper) learn(ctx context.Context, err error) {
	if !k.shared || ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch known, ok := errors.AsType[*Error](err); {
	case err == nil:
		k.failed = failure{}
	case ok && known.ofPlatform():
		k.failed.note(err, k.now())
	}
}

// ofPlatform reports whether the fault is one of all accounts that share a token: the token
// itself, the address that calls, or the platform.
func (e *Error) ofPlatform() bool {
	switch e.Errcode {
	case 61004, 61005, 61006, 61011:
		return true
	}
	return e.Reason == Token || e.Reason == AllowList
}
