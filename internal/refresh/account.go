package refresh

import (
	"container/list"
	"context"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// Caller makes the two calls for one account; *weixin.Account is one.
type Caller interface {
	InterfaceSummary(ctx context.Context, begin, end datacube.Date) (weixin.DailyResponse, error)
	InterfaceSummaryHour(ctx context.Context, date datacube.Date) (weixin.HourlyResponse, error)
	Quota(ctx context.Context, api datacube.API) (weixin.CallQuota, error)
}

// Account is an account to be refreshed.
type Account struct {
	Name   string
	AppID  string
	Caller Caller
	// Credentials are all that decides whether Weixin accepts the account's calls: secret, source
	// of the tokens, host and proxy. What was refused with others is tried again at once. Only a
	// salted hash of them is kept.
	Credentials secret.Value
}

// account is an account of a Refresher. It belongs to the goroutine of Run.
type account struct {
	baseAccount // whose context ends when the account is removed

	cancel   context.CancelFunc
	index    int // in the order of the names
	calls    [datacube.APIs]callState
	underway *list.Element // of the call under way, among the workers

	shown     *snapshot.Account // what the next snapshot is to say
	published bool              // it is part of a snapshot, so it must not change any more

	// While no call is under way, the account is in one of the queues.
	stale bool      // what is known has changed since next and wake were found
	next  Call      // the call to make, while it is ready
	wake  time.Time // when to look again, while it waits; zero: at the next look
}

// callState is the state of one of the account's two calls.
type callState struct {
	quotaAt time.Time // when the quota was last asked for

	date        datacube.Date // the China day of the attempts
	attempts    int           // that failed on it
	purpose     Purpose       // of the last one that failed
	holdUnsaved bool          // what is held is not stored
	holdStored  bool          // a wait that may last is stored
	group       *group        // of the cause for which it fails; nil while it does not
	quotaGroup  *group        // the same of the question for the quota
}

func newAccount(ctx context.Context, a Account, known *store.Account) *account {
	acc := &account{baseAccount: baseAccount{Account: a, loaded: true}, shown: &snapshot.Account{Name: a.Name, AppID: a.AppID}}
	acc.ctx, acc.cancel = context.WithCancel(ctx)
	acc.add(known)
	acc.show(known)
	acc.showLastAttempt()
	return acc
}

// showLastAttempt shows the last answer that was stored as the last attempt, so that a restart with
// nothing to do does not look like a failure.
func (a *account) showLastAttempt() {
	for api := range a.calls {
		work := &a.shown.Work[api]
		var last time.Time
		for _, state := range a.ledgers[api].All() {
			understood := state.Damaged == 0
			if !state.AskedAt.Before(last) {
				// One answer may have been understood for some of its days alone.
				work.Succeeded = understood && (work.Succeeded || state.AskedAt.After(last))
				last = state.AskedAt
			}
			if understood && state.AskedAt.After(work.LastSuccess) {
				work.LastSuccess = state.AskedAt
			}
		}
		a.noteNotThere(datacube.API(api))
	}
}

// noteNotThere finds out whether Weixin has the latest day that was asked for.
func (a *account) noteNotThere(api datacube.API) {
	var latest store.State
	for _, state := range a.ledgers[api].All() {
		latest = state
	}
	a.shown.Work[api].NotThere = latest.Status == store.NotReady
}

// change makes what is shown the account's own again, so that it can be changed.
func (a *account) change() {
	if a.published {
		copied := *a.shown
		a.shown, a.published = &copied, false
	}
}

// show takes over the latest days and the number of days from the store.
func (a *account) show(known *store.Account) {
	if known == nil {
		known = &store.Account{}
	}
	a.change()
	a.shown.Daily, a.shown.Hourly = known.Daily, known.Hourly
	for api := range a.shown.Work {
		a.shown.Work[api].Days = known.Days[api]
	}
}

// suspect reports whether the account's last attempt failed for a failure that passes by
// itself: such accounts come after the healthy ones and never hold all workers.
func (a *account) suspect() bool {
	for api := range a.calls {
		if a.retries[api] != nil {
			return true
		}
	}
	return false
}

// plan returns the most urgent call that may be made at now. If there is none it returns
// false and when to look again, zero where the next look is soon enough.
func (a *account) plan(now time.Time, s Settings) (Call, bool, time.Time) {
	var best Call
	var found bool
	var wake time.Time
	for api := range a.calls {
		calls, again := dueCalls(now, s, datacube.API(api), a.ledgers)
		ends := a.holds[api].ends(now)
		held := now.Before(ends)
		if held {
			if len(calls) > 0 || !again.IsZero() {
				wake = earlier(wake, ends)
			}
			calls = nil
		} else {
			wake = earlier(wake, again)
		}
		// A call whose quota is used up waits, but how much is left is of interest then.
		if s.Quota && len(calls) == 0 && (!held || a.holds[api].reason == weixin.Quota) &&
			!now.Before(a.calls[api].quotaAt.Add(quotaEvery)) {
			calls = []Call{{API: datacube.API(api), Purpose: Quota}}
		}
		if len(calls) > 0 && (!found || calls[0].before(best)) {
			best, found = calls[0], true
		}
	}
	return best, found, wake
}

// earlier returns the earlier of two times of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// forget drops what is older than the days that are kept filled.
func (a *account) forget(before datacube.Date) {
	for api := range a.ledgers {
		a.ledgers[api].Forget(before)
	}
}

// showLearned shows what an answer brought.
func (a *account) showLearned(o outcome[*account]) {
	a.change()
	work := &a.shown.Work[o.call.API]
	work.Days += int64(o.days.learned)
	work.Vanished += int64(len(o.vanished))
	work.Revisions += int64(len(o.revisions))
	work.PlainHours += int64(o.answer.plainHours)
	work.Reformatted += int64(o.answer.reformatted)
	for reason, n := range o.answer.rejected {
		work.Rejected[reason] += int64(n)
	}
	a.noteNotThere(o.call.API)
	for _, r := range o.records {
		switch {
		case r.Daily != nil && (a.shown.Daily == nil || r.Date >= a.shown.Daily.Date):
			a.shown.Daily = &datacube.Day{Date: r.Date, Figures: *r.Daily}
		case r.Hourly != nil && (a.shown.Hourly == nil || r.Date >= a.shown.Hourly.Date):
			a.shown.Hourly = &datacube.HourlyDay{Date: r.Date, Hours: *r.Hourly}
		}
	}
}

// showSuccess shows that the last attempt succeeded: its answer arrived at the given time, and is stored.
func (a *account) showSuccess(api datacube.API, at time.Time) {
	a.change()
	work := &a.shown.Work[api]
	work.Succeeded, work.LastSuccess, work.Problem = true, at, nil
}

// showFailure shows and counts that the last attempt failed; it is repeated at next.
func (a *account) showFailure(api datacube.API, f failure, now, next time.Time) {
	a.change()
	work := &a.shown.Work[api]
	work.Succeeded = false
	work.Failures[f.reason]++
	since := now
	if work.Problem != nil {
		since = work.Problem.Since
	}
	work.Problem = f.problem(since, now, next)
}

// fail takes over a failed attempt; it returns what went wrong and when the next attempt may be made.
func (a *account) fail(c Call, err error, now time.Time) (failure, time.Time) {
	f, next := a.failure(c.API, err, now)
	state := &a.calls[c.API]
	state.purpose = c.Purpose
	if !f.shared {
		next = state.spread(now, next)
	}
	a.hold(c.API, f, now, next)
	a.showFailure(c.API, f, now, next)
	return f, next
}

// configure takes over a changed configuration, which ends every wait but those for a quota, since
// more calls are not to be had earlier, and those of a call that has failed too often today. With
// other credentials it ends these, too. quota says whether quotas are still asked for.
func (a *account) configure(changed Account, known *store.Account, quota bool, today datacube.Date) {
	same := a.Credentials.Equal(changed.Credentials)
	a.Account = changed
	a.change()
	a.shown.Name = changed.Name
	for api := range a.calls {
		state := &a.calls[api]
		if !same {
			state.attempts = 0
		}
		tooOften := state.date == today && state.attempts >= mostAttempts
		if !same || !tooOften && a.holds[api].reason != weixin.Quota {
			a.holds[api] = hold{}
		}
		a.retries[api] = nil
		if !quota {
			a.calls[api].quotaAt = time.Time{}
			a.shown.Work[api].Quota = nil
		}
	}
	a.add(known)
}
