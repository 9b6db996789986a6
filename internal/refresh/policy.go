package refresh

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// policy says what follows a failed attempt.
type policy struct {
	// account holds both calls of the account, not only the one that failed.
	account bool
	// wait is the time until the next attempt; 0 is a backoff with jitter from about
	// firstRetry to lastRetry.
	wait time.Duration
	// untilMidnight waits for the next China midnight instead.
	untilMidnight bool
	// needsAction says that it does not pass by itself.
	needsAction bool
}

const (
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
	// pastMidnight is how long after midnight the next day's quota is tried: a clock that is a
	// little fast would otherwise lose the whole of that day.
	pastMidnight = time.Minute
)

// policies has one entry for each reason why an attempt fails. A new token is not
// among them: the client gets it once within a call, and what arrives here as
// weixin.Token was refused again. spread bounds how often all this happens in a day.
var policies = [snapshot.Reasons]policy{
	weixin.Unknown:       {wait: time.Hour, needsAction: true},
	weixin.Busy:          {},
	weixin.Token:         {account: true, wait: 10 * time.Minute, needsAction: true},
	weixin.Config:        {account: true, wait: time.Hour, needsAction: true},
	weixin.AllowList:     {account: true, wait: 10 * time.Minute, needsAction: true},
	weixin.Quota:         {untilMidnight: true},
	weixin.Rate:          {wait: time.Minute},
	weixin.NotReady:      {wait: longestGap}, // handled as an answer; here for a token call that says so
	weixin.Permission:    {wait: time.Hour, needsAction: true},
	weixin.AccountClosed: {account: true, wait: time.Hour, needsAction: true},
	weixin.Retired:       {untilMidnight: true, needsAction: true},
	weixin.Range:         {untilMidnight: true, needsAction: true},
	weixin.Bug:           {wait: time.Hour, needsAction: true},
	snapshot.StoreFault:  {}, // Weixin answered; see unsavedAnswers
	snapshot.InvalidRows: {}, // holds no call: each day has its own gaps, see damagedGap
}

// failure is a failed attempt with what follows from it.
type failure struct {
	err        error
	reason     snapshot.Reason
	policy     policy
	advice     string
	retryAfter time.Duration // how long Weixin itself says to wait
	cause      snapshot.Cause
	shared     bool // no request was made: the source of the token has just failed for others
}

// storeError marks an answer that could not be kept.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// newFailure classifies an error of the client or the store.
func newFailure(err error) failure {
	f := failure{err: err, reason: weixin.ReasonOf(err)}
	if _, ok := errors.AsType[storeError](err); ok {
		f.reason = snapshot.StoreFault
		f.advice = "Make the database writable that the error names. Until then Weixin is asked for nothing more, " +
			"and the figures that are shown but not stored are lost with a restart; then they are asked for again."
	}
	f.policy = policies[f.reason]
	if said, ok := errors.AsType[*weixin.Error](err); ok {
		f.advice = said.Advice().String()
		f.retryAfter, f.shared = said.Wait, said.Shared
		if said.API == weixin.TokenAPI {
			f.policy.account = true // without a token neither call can be made
		}
	}
	f.cause = causeOf(err, f.reason)
	return f
}

// backsOff reports whether it is tried again at growing intervals.
func (f failure) backsOff() bool { return f.policy.wait == 0 && !f.policy.untilMidnight }

// problem returns the failure as it is shown.
func (f failure) problem(since, at, next time.Time) *snapshot.Problem {
	return &snapshot.Problem{
		Since: since, At: at, Text: f.text(), Advice: f.advice, Next: next, Cause: f.cause, NeedsAction: f.policy.needsAction,
		OutlastsReload: f.reason == weixin.Quota || f.reason == snapshot.StoreFault || f.reason == snapshot.InvalidRows,
	}
}

// text says what failed and why, for somebody who sees which call it was.
func (f failure) text() string {
	text := f.err.Error()
	if said, ok := errors.AsType[*weixin.Error](f.err); ok && said.API != weixin.TokenAPI && f.reason != snapshot.StoreFault {
		text = said.Detail()
	}
	return text
}

// next returns when the account or the call may be tried again.
func (f failure) next(now time.Time, retries *backoff.ExponentialBackOff) time.Time {
	switch {
	case f.policy.untilMidnight:
		return datacube.DateOf(now).End().Add(pastMidnight)
	case f.policy.wait == 0:
		return now.Add(max(retries.NextBackOff(), f.retryAfter))
	default:
		return now.Add(max(f.policy.wait, f.retryAfter))
	}
}

// newRetries returns the backoff for what passes by itself. Its jitter keeps accounts
// that failed together from coming back together.
func newRetries() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = firstRetry
	b.MaxInterval = lastRetry
	b.Multiplier = 2
	b.Reset()
	return b
}
