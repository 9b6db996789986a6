package refresh

import (
	"maps"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// unsavedAnswers are answers that could not be stored. While there are any, no calls are made, so they are at most those to the
// calls that were running when the store failed.
type unsavedAnswers struct {
	answers []unsavedAnswer
	problem *snapshot.Problem // nil if the store works
	failure failure
	retries *backoff.ExponentialBackOff
	next    time.Time // when to retry
	counts  map[string]int64
}

// unsavedAnswer is an answer that could not be stored.
type unsavedAnswer struct {
	outcome[*account]
	problem *snapshot.Problem // of the answer itself; nil if it was understood
}

// storeFailing reports whether the last write to the store failed.
func (r *Refresher) storeFailing() bool { return r.unsaved.problem != nil }

// longestStoreRetry limits how long it takes to notice that the store works again. Retrying costs Weixin nothing.
const longestStoreRetry = time.Minute

// storeFailed notes a failed write to the store, and when to retry it.
func (r *Refresher) storeFailed(err error) {
	if r.runCtx.Err() != nil {
		return
	}
	u, now := &r.unsaved, r.now()
	u.counts = maps.Clone(u.counts) // a snapshot refers to the old map
	u.counts[string(store.KindOf(err))]++
	if u.retries == nil {
		u.retries = newRetries()
		u.retries.MaxInterval = longestStoreRetry
	}
	u.failure = newFailure(storeError{err})
	u.next = now.Add(u.retries.NextBackOff())
	since, begins := now, u.problem == nil
	if !begins {
		since = u.problem.Since
	}
	u.problem = u.failure.problem(since, now, u.next)
	r.logStoreFailed(u.failure, begins, u.next)
	u.each(func(work *snapshot.Work) {
		work.Problem = u.failure.problem(work.Problem.Since, now, u.next)
	})
	r.unpublished = true
}

// saveLater keeps an answer that could not be stored. Its figures are shown, and the attempt is shown as failed until they are
// stored.
func (r *Refresher) saveLater(o outcome[*account]) {
	u, now := &r.unsaved, r.now()
	o.account.change()
	work := &o.account.shown.Work[o.call.API]
	answer := unsavedAnswer{outcome: o}
	if o.damage != nil {
		answer.problem = work.Problem
	}
	u.answers = append(u.answers, answer)
	work.Problem = nil // this failure begins now
	o.account.showFailure(o.call.API, u.failure, now, u.next)
	work.Unstored = true
}

// each modifies what is shown of the calls whose answers are not stored.
func (u *unsavedAnswers) each(change func(*snapshot.Work)) {
	for _, o := range u.answers {
		if !o.account.removed {
			o.account.change()
			change(&o.account.shown.Work[o.call.API])
		}
	}
}

// retrySave retries to store answers and holds if it is time.
func (r *Refresher) retrySave(now time.Time) {
	if r.storeFailing() && reached(r.unsaved.next, now, 2*longestStoreRetry) {
		r.saveWaiting(now)
	}
}

// saveWaiting stores the answers and holds that wait for the store.
func (r *Refresher) saveWaiting(now time.Time) {
	u := &r.unsaved
	if err := r.saveUnsaved(); err != nil {
		r.storeFailed(err)
		return
	}
	r.holdsSaved(nil)
	r.logStoreWorks(u.problem.Since)
	for i := range u.answers {
		a := &u.answers[i]
		if !a.account.removed {
			a.showSaved()
		} else if acc := r.accounts[a.account.AppID]; acc != nil {
			acc.showStored()
		}
	}
	u.problem, u.retries, u.answers = nil, nil, nil
	r.releaseUsed()
	r.unpublished = true
	r.nextPlan = now // to make the calls that are overdue
}

// saveUnsaved stores answers and holds. If only the holds fail, the answers are not stored again. What is known of the accounts is
// then replaced by what is stored: other processes may have stored more, and a reload may have replaced what the answers taught.
func (r *Refresher) saveUnsaved() error {
	u := &r.unsaved
	outcomes := make([]outcome[*account], len(u.answers))
	for i := range u.answers {
		outcomes[i] = u.answers[i].outcome
	}
	if err := r.save(outcomes); err != nil {
		return err
	}
	var accounts []*account
	for i := range u.answers {
		a, saved := &u.answers[i], &outcomes[i]
		if len(saved.outdated) > 0 && saved.nextAsk(r.now()).IsZero() {
			a.damage = nil // the days are known
		}
		a.records, a.lost = nil, saved.lost
		a.revisions = saved.revisions
		if acc := r.accounts[a.account.AppID]; acc != nil { // another one than a.account if it was removed and added
			accounts = append(accounts, acc)
		}
	}
	if err := r.reread(accounts); err != nil {
		return err
	}
	return r.storeHolds()
}

// showSaved shows the answer as if it had been stored at once: as a success only if it was understood.
func (a *unsavedAnswer) showSaved() {
	a.account.change()
	work := &a.account.shown.Work[a.call.API]
	work.Unstored = false
	if a.lost {
		return // followSlots shows what is stored
	}
	noteNotReady(work, a.account.ledgers[a.call.API])
	work.Revisions += int64(len(a.revisions))
	if a.damage != nil {
		work.Problem = a.problem
		return
	}
	a.account.showSuccess(a.call.API, a.at)
}

// leave removes an account from the causes and the unsaved holds.
func (r *Refresher) leave(a *account) {
	delete(r.unsavedHolds, a)
	for api := range datacube.APIs {
		r.causes.leave(&a.calls[api].group, a, false)
		r.quotas.leave(&a.calls[api].quotaGroup, a, false)
	}
}
