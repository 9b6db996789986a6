package refresh

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// policy is the reaction to a failed attempt.
type policy struct {
	// account holds both calls of the account instead of only the failed one.
	account bool
	// wait is the time until the next attempt; 0 means backoff with jitter, from about firstRetry to lastRetry.
	wait time.Duration
	// untilMidnight waits for the next China midnight instead.
	untilMidnight bool
	// needsAction says that the cause does not pass by itself.
	needsAction bool
}

const (
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute
	// pastMidnight is how long after midnight the next day's quota is used: if the clock is slightly fast, the
	// call would otherwise be refused and held for that whole day.
	pastMidnight = time.Minute
)

// policies has a policy for each reason. Refreshing a token is not among them: the client does that within a call, so
// weixin.Token means that the new token was refused as well. spread limits the attempts in a day.
var policies = [snapshot.Reasons]policy{
	weixin.Unknown:       {wait: time.Hour, needsAction: true},
	weixin.Busy:          {},
	weixin.Token:         {account: true, wait: 10 * time.Minute, needsAction: true},
	weixin.Config:        {account: true, wait: time.Hour, needsAction: true},
	weixin.AllowList:     {account: true, wait: 10 * time.Minute, needsAction: true},
	weixin.Quota:         {untilMidnight: true},
	weixin.Rate:          {wait: time.Minute},
	weixin.NotReady:      {wait: longestGap}, // of a token call; from the others it is an answer, not a failure
	weixin.Permission:    {wait: time.Hour, needsAction: true},
	weixin.AccountClosed: {account: true, wait: time.Hour, needsAction: true},
	weixin.Retired:       {untilMidnight: true, needsAction: true},
	weixin.Range:         {untilMidnight: true, needsAction: true},
	weixin.Bug:           {wait: time.Hour, needsAction: true},
	snapshot.StoreFault:  {}, // Weixin has answered; see unsavedAnswers
	snapshot.InvalidRows: {}, // holds no call; see damagedGap
}

// failure is a failed attempt and the reaction to it.
type failure struct {
	err        error
	reason     snapshot.Reason
	policy     policy
	advice     weixin.Advice
	retryAfter time.Duration // the minimum wait that Weixin states
	cause      snapshot.Cause
	shared     bool // no request was made: the source of the token has just failed for another account
}

// storeError marks the error of an answer that could not be stored.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// newFailure classifies an error of the client or the store.
func newFailure(err error) failure {
	f := failure{err: err, reason: weixin.ReasonOf(err)}
	if _, ok := errors.AsType[storeError](err); ok {
		f.reason = snapshot.StoreFault
		f.advice = f.reason.Advice()
	}
	f.policy = policies[f.reason]
	if apiErr, ok := errors.AsType[*weixin.Error](err); ok {
		f.advice = apiErr.Advice()
		f.retryAfter, f.shared = apiErr.Wait, apiErr.Shared
		if apiErr.API == weixin.TokenAPI {
			f.policy.account = true // neither call can be made without a token
		}
	}
	f.cause = causeOf(err, f.reason)
	return f
}

// backsOff reports whether it is retried at growing intervals.
func (f failure) backsOff() bool { return f.policy.wait == 0 && !f.policy.untilMidnight }

// problem returns the failure in the form of a snapshot.
func (f failure) problem(since, at, next time.Time) *snapshot.Problem {
	return &snapshot.Problem{
		Since: since, At: at, Text: f.text(), Advice: f.advice, Next: next, Cause: f.cause, NeedsAction: f.policy.needsAction,
		OutlastsReload: f.reason == weixin.Quota || f.reason == snapshot.StoreFault || f.reason == snapshot.InvalidRows,
	}
}

// text says what failed and why, for readers who see which call it was.
func (f failure) text() string {
	if e, ok := f.ofCall(); ok {
		return e.Detail()
	}
	return f.err.Error()
}

// message is text in each language.
func (f failure) message() i18n.Message {
	if e, ok := f.ofCall(); ok {
		return i18n.WeixinDetail(e)
	}
	return i18n.M("error.other", f.err)
}

// ofCall returns the error of the call itself, and not of its token or of the store.
func (f failure) ofCall() (*weixin.Error, bool) {
	e, ok := errors.AsType[*weixin.Error](f.err)
	return e, ok && e.API != weixin.TokenAPI && f.reason != snapshot.StoreFault
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

// newRetries returns the backoff for transient failures. Its jitter keeps accounts that failed together from being retried
// together.
func newRetries() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = firstRetry
	b.MaxInterval = lastRetry
	b.Multiplier = 2
	b.Reset()
	return b
}
