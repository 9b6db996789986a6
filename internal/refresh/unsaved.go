package refresh

import (
	"maps"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// unsavedAnswers is what could not be stored. While there is any, Weixin is asked for nothing more, so it
// holds no more than the answers to the calls that were under way when the store failed.
type unsavedAnswers struct {
	answers []unsavedAnswer
	problem *snapshot.Problem // nil while all is stored
	failure failure
	retries *backoff.ExponentialBackOff
	next    time.Time // when storing is tried again
	counts  map[string]int64
}

// unsavedAnswer is one of them.
type unsavedAnswer struct {
	outcome[*account]
	problem *snapshot.Problem // what is wrong with the answer itself; nil if it was understood
}

// storeFailing reports whether the last attempt to write into the store failed.
func (r *Refresher) storeFailing() bool { return r.unsaved.problem != nil }

// longestStoreRetry bounds how long a store that works again goes unnoticed. To try costs Weixin
// nothing.
const longestStoreRetry = time.Minute

// storeFailed notes that the store could not be written, and when that is tried again.
func (r *Refresher) storeFailed(err error) {
	if r.runCtx.Err() != nil {
		return
	}
	u, now := &r.unsaved, r.now()
	u.counts = maps.Clone(u.counts) // the former is part of a snapshot
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

// saveLater keeps an answer that could not be stored. Its figures are shown, and the attempt is shown as failed
// until they are stored.
func (r *Refresher) saveLater(o outcome[*account]) {
	u, now := &r.unsaved, r.now()
	o.account.change()
	work := &o.account.shown.Work[o.call.API]
	answer := unsavedAnswer{outcome: o}
	if o.damage != nil {
		answer.problem = work.Problem
	}
	u.answers = append(u.answers, answer)
	work.Problem = nil // the store has failed since now, not since Weixin did
	o.account.showFailure(o.call.API, u.failure, now, u.next)
	work.Unstored = true
}

// each changes what is shown of the calls whose answers are not stored.
func (u *unsavedAnswers) each(change func(*snapshot.Work)) {
	for _, o := range u.answers {
		if !o.account.removed {
			o.account.change()
			change(&o.account.shown.Work[o.call.API])
		}
	}
}

// retrySave tries to store what could not be, once it is time.
func (r *Refresher) retrySave(now time.Time) {
	u := &r.unsaved
	if !r.storeFailing() || !reached(u.next, now, 2*longestStoreRetry) {
		return
	}
	if err := r.saveUnsaved(); err != nil {
		r.storeFailed(err)
		return
	}
	r.holdsSaved(nil)
	r.logStoreWorks(u.problem.Since)
	for i := range u.answers {
		if a := &u.answers[i]; !a.account.removed {
			a.showSaved()
		}
	}
	u.problem, u.retries, u.answers = nil, nil, nil
	r.unpublished = true
	r.nextPlan = now // whatever has been put off
}

// saveUnsaved stores answers and holds. Answers that are stored are not stored again if the holds are not.
func (r *Refresher) saveUnsaved() error {
	u := &r.unsaved
	outcomes := make([]outcome[*account], len(u.answers))
	for i := range u.answers {
		outcomes[i] = u.answers[i].outcome
	}
	if err := r.save(outcomes); err != nil {
		return err
	}
	for i := range u.answers {
		a := &u.answers[i]
		a.records, a.revisions = nil, outcomes[i].revisions
	}
	return r.holds.SaveHolds(r.runCtx, r.heldRecords())
}

// showSaved shows the answer as it would have been had it been stored at once: as a success only if it was
// understood.
func (a *unsavedAnswer) showSaved() {
	a.account.change()
	work := &a.account.shown.Work[a.call.API]
	work.Unstored = false
	work.Revisions += int64(len(a.revisions))
	if a.damage != nil {
		work.Problem = a.problem
		return
	}
	a.account.showSuccess(a.call.API, a.at)
}

// leave takes a removed account out of what is logged and stored of failures.
func (r *Refresher) leave(a *account) {
	delete(r.unsavedHolds, a)
	for api := range datacube.APIs {
		r.causes.leave(&a.calls[api].group, a, false)
		r.quotas.leave(&a.calls[api].quotaGroup, a, false)
	}
}
