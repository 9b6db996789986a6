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
	outcomes []outcome[*account]
	problem  *snapshot.Problem // nil while all is stored
	failure  failure
	retries  *backoff.ExponentialBackOff
	next     time.Time // when storing is tried again
	counts   map[string]int64
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

// saveLater remembers answers that could not be stored. What they say is shown, and it is said
// that it is not stored.
func (r *Refresher) saveLater(o outcome[*account]) {
	u, now := &r.unsaved, r.now()
	u.outcomes = append(u.outcomes, o)
	o.account.change()
	work := &o.account.shown.Work[o.call.API]
	work.Problem = nil // Weixin answered
	o.account.showFailure(o.call.API, u.failure, now, u.next)
	work.Unstored = true
}

// each changes what is shown of the calls whose answers are not stored.
func (u *unsavedAnswers) each(change func(*snapshot.Work)) {
	for _, o := range u.outcomes {
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
	err := r.save(u.outcomes)
	if err == nil {
		for i := range u.outcomes {
			u.outcomes[i].records = nil // they are stored, whatever becomes of the holds
		}
		err = r.holds.SaveHolds(r.runCtx, r.heldRecords())
	}
	if err != nil {
		r.storeFailed(err)
		return
	}
	r.holdsSaved(nil)
	r.logStoreWorks(u.problem.Since)
	u.problem, u.retries = nil, nil
	u.each(func(work *snapshot.Work) {
		work.Succeeded, work.Unstored, work.Problem = true, false, nil
	})
	for _, o := range u.outcomes {
		if !o.account.removed {
			o.account.shown.Work[o.call.API].Revisions += int64(len(o.revisions))
		}
	}
	u.outcomes = nil
	r.unpublished = true
	r.nextPlan = now // whatever has been put off
}

// leave takes a removed account out of what is logged and stored of failures.
func (r *Refresher) leave(a *account) {
	delete(r.unsavedHolds, a)
	for api := range datacube.APIs {
		r.causes.leave(&a.calls[api].group, a, false)
		r.quotas.leave(&a.calls[api].quotaGroup, a, false)
	}
}
