package refresh

import (
	"container/list"
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// Caller makes the API calls of one account; *weixin.Account implements it.
type Caller interface {
	InterfaceSummary(ctx context.Context, begin, end datacube.Date) (weixin.DailyResponse, error)
	InterfaceSummaryHour(ctx context.Context, date datacube.Date) (weixin.HourlyResponse, error)
	Quota(ctx context.Context, api datacube.API) (weixin.CallQuota, error)
}

// Account is an account to refresh.
type Account struct {
	Name   string
	AppID  string
	Caller Caller
	// Credentials are everything that decides whether Weixin accepts the account's calls: the secret, the
	// source of the tokens, the host and the proxy. When they change, calls that were refused are made
	// again at once. Only a salted hash of them is stored.
	Credentials secret.Value
}

// account is an account of a Refresher. It belongs to the goroutine of Run.
type account struct {
	baseAccount // its context ends when the account is removed

	cancel   context.CancelFunc
	index    int // in the order of names
	calls    [datacube.APIs]callState
	underway *list.Element // the running call in workers.calls

	shown     *snapshot.Account // what the next snapshot shows
	published bool              // shown is part of a snapshot and must not change

	// While no call is running, the account is in one of the queues.
	stale bool      // the ledgers have changed since next and wake were computed
	next  Call      // the call to make; set in the queues ready and unproven
	wake  time.Time // when to plan again; set in the queue waiting; zero: with all others
}

// callState is the state of one of the account's two calls.
type callState struct {
	quotaAt time.Time // when the quota was last requested

	date        datacube.Date // the China day that attempts counts
	attempts    int           // failed attempts on date
	purpose     Purpose       // of the last failed attempt
	holdUnsaved bool          // the hold is not in the store yet
	holdStored  bool          // the store holds an entry that may still be in force
	group       *group        // the accounts with the same cause of failure; nil while the call succeeds
	quotaGroup  *group        // the same for the request for the quota
}

// quotaDue reports whether it is time to request the quota again. A time that is still ahead was noted by a wrong clock.
func (s *callState) quotaDue(now time.Time) bool {
	return isAhead(s.quotaAt, now) || !now.Before(s.quotaAt.Add(quotaEvery))
}

func newAccount(ctx context.Context, a Account, stored *store.Account) *account {
	acc := &account{baseAccount: baseAccount{Account: a, slot: store.SlotOf(a.AppID), loaded: true}, shown: &snapshot.Account{Name: a.Name, AppID: a.AppID}}
	acc.ctx, acc.cancel = context.WithCancel(ctx)
	acc.add(stored)
	acc.show(stored)
	acc.showStored()
	return acc
}

// identity is what snapshots of one generation have in common of an account.
type identity struct{ name, appID string }

func identities(accounts []*account) []identity {
	all := make([]identity, len(accounts))
	for i, a := range accounts {
		all[i] = identity{a.Name, a.AppID}
	}
	return all
}

// forgetAttempts forgets the account's failed attempts and until when its calls must not be made.
func (a *account) forgetAttempts() {
	a.holds, a.retries = [datacube.APIs]hold{}, [datacube.APIs]*backoff.ExponentialBackOff{}
	for api := range a.calls {
		a.calls[api] = callState{quotaAt: a.calls[api].quotaAt}
	}
}

// showStored shows the last stored answer as the last attempt, so that a restart with nothing due does not look like a
// failure, and reports whether that is something new. Answers that are not stored yet stay on show.
func (a *account) showStored() bool {
	work := a.shown.Work
	for api := range work {
		if !work[api].Unstored {
			showLedger(&work[api], a.ledgers[api])
		}
	}
	if work == a.shown.Work {
		return false
	}
	a.change()
	a.shown.Work = work
	return true
}

// showLedger shows the last answer in a ledger as the last attempt.
func showLedger(work *snapshot.Work, l Ledger) {
	work.Succeeded, work.Problem, work.Quota = false, nil, nil
	var last time.Time
	for _, state := range l.All() {
		understood := state.Damaged == 0
		if !state.AskedAt.Before(last) {
			// One answer may have been understood for only some of its days.
			work.Succeeded = understood && (work.Succeeded || state.AskedAt.After(last))
			last = state.AskedAt
		}
		if understood && state.AskedAt.After(work.LastSuccess) {
			work.LastSuccess = state.AskedAt
		}
	}
	noteNotReady(work, l)
}

// noteNotReady sets whether Weixin had the latest requested day.
func noteNotReady(work *snapshot.Work, l Ledger) {
	var latest store.State
	for _, state := range l.All() {
		latest = state
	}
	work.NotReady, work.Asked, work.Next = latest.Status == store.NotReady, 0, time.Time{}
	if work.NotReady {
		work.Asked, work.Next = latest.Asks, latest.AskedAt.Add(gap(latest.Asks))
	}
}

// change makes shown safe to modify: it copies it if a snapshot refers to it.
func (a *account) change() {
	if a.published {
		copied := *a.shown
		a.shown, a.published = &copied, false
	}
}

// show sets the latest days and the number of known days from the store.
func (a *account) show(stored *store.Account) {
	if stored == nil {
		stored = &store.Account{}
	}
	a.change()
	a.shown.Daily, a.shown.Hourly = stored.Daily, stored.Hourly
	for api := range a.shown.Work {
		a.shown.Work[api].Days = stored.Days[api]
	}
}

// suspect reports whether the account's last attempt failed with a transient failure. Such accounts come
// after the healthy ones and never occupy all workers.
func (a *account) suspect() bool {
	for api := range a.calls {
		if a.retries[api] != nil {
			return true
		}
	}
	return false
}

// plan returns the most urgent call that may be made at now. If there is none, it returns false and the
// time to plan again, which is zero if the next regular planning is soon enough.
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
		// The quota can be requested even if it is used up, and is of most interest then.
		if s.Quota && len(calls) == 0 && (!held || a.holds[api].reason == weixin.Quota) && a.calls[api].quotaDue(now) {
			calls = []Call{{API: datacube.API(api), Purpose: Quota}}
		}
		if len(calls) > 0 && (!found || calls[0].before(best)) {
			best, found = calls[0], true
		}
	}
	return best, found, wake
}

// earlier returns the earlier of two times; a zero time means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// forget drops the days before the given one from the ledgers.
func (a *account) forget(before datacube.Date) {
	for api := range a.ledgers {
		a.ledgers[api].Forget(before)
	}
}

// showLearned shows the days and rows of an answer.
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
	noteNotReady(work, a.ledgers[o.call.API])
	for _, r := range o.records {
		switch {
		case r.Daily != nil && (a.shown.Daily == nil || r.Date >= a.shown.Daily.Date):
			a.shown.Daily = &datacube.Day{Date: r.Date, Figures: *r.Daily}
		case r.Hourly != nil && (a.shown.Hourly == nil || r.Date >= a.shown.Hourly.Date):
			a.shown.Hourly = &datacube.HourlyDay{Date: r.Date, Hours: *r.Hourly}
		}
	}
}

// showSuccess shows that the last attempt succeeded: its answer arrived at the given time and is stored.
func (a *account) showSuccess(api datacube.API, at time.Time) {
	a.change()
	work := &a.shown.Work[api]
	work.Succeeded, work.LastSuccess, work.Problem = true, at, nil
}

// showFailure shows and counts a failed attempt; next is the time of the next one.
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

// fail handles a failed attempt. It returns the failure and the time of the next attempt.
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

// configure applies a changed configuration. It ends every hold except two kinds: those for a used-up quota,
// because a reload does not bring more calls, and those of calls that have failed too often today. Changed
// credentials end these as well. quota says whether quotas are still requested.
func (a *account) configure(changed Account, stored *store.Account, quota bool, today datacube.Date) {
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
	a.add(stored)
}
