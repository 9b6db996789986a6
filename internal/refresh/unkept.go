package refresh

import (
	"maps"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// unkept is what could not be stored. While there is any, Weixin is asked for nothing more, so it
// holds no more than the answers to the calls that were under way when the store failed.
type unkept struct {
	outcomes []outcome[*account]
	trouble  *snapshot.Problem // nil while all is stored
	fault    fault
	retries  *backoff.ExponentialBackOff
	next     time.Time // when storing is tried again
	counts   map[string]int64
}

// unwritable reports whether the last attempt to write into the store failed.
func (r *Refresher) unwritable() bool { return r.unkept.trouble != nil }

// longestStoreRetry bounds how long a store that works again goes unnoticed. To try costs Weixin
// nothing.
const longestStoreRetry = time.Minute

// storeFailed notes that the store could not be written, and when that is tried again.
func (r *Refresher) storeFailed(err error) {
	if r.life.Err() != nil {
		return
	}
	u, now := &r.unkept, r.now()
	u.counts = maps.Clone(u.counts) // the former is part of a snapshot
	u.counts[string(store.KindOf(err))]++
	if u.retries == nil {
		u.retries = newRetries()
		u.retries.MaxInterval = longestStoreRetry
	}
	u.fault = newFault(storeError{err})
	u.next = now.Add(u.retries.NextBackOff())
	since, begins := now, u.trouble == nil
	if !begins {
		since = u.trouble.Since
	}
	u.trouble = u.fault.trouble(since, now, u.next)
	r.logStoreFailed(u.fault, begins, u.next)
	u.each(func(work *snapshot.Work) {
		work.Problem = u.fault.trouble(work.Problem.Since, now, u.next)
	})
	r.unpublished = true
}

// keepLater remembers answers that could not be stored. What they say is shown, and it is said
// that it is not stored.
func (r *Refresher) keepLater(o outcome[*account]) {
	u, now := &r.unkept, r.now()
	u.outcomes = append(u.outcomes, o)
	o.account.change()
	work := &o.account.shown.Work[o.call.API]
	work.Problem = nil // Weixin answered
	o.account.showFailure(o.call.API, u.fault, now, u.next)
	work.Unstored = true
}

// each changes what is shown of the calls whose answers are not stored.
func (u *unkept) each(change func(*snapshot.Work)) {
	for _, o := range u.outcomes {
		if !o.account.removed {
			o.account.change()
			change(&o.account.shown.Work[o.call.API])
		}
	}
}

// storeAgain tries to store what could not be, once it is time.
func (r *Refresher) storeAgain(now time.Time) {
	u := &r.unkept
	if !r.unwritable() || !reached(u.next, now, 2*longestStoreRetry) {
		return
	}
	err := r.save(u.outcomes)
	if err == nil {
		for i := range u.outcomes {
			u.outcomes[i].records = nil // they are stored, whatever becomes of the holds
		}
		err = r.holds.SaveHolds(r.life, r.heldRecords())
	}
	if err != nil {
		r.storeFailed(err)
		return
	}
	r.holdsSaved(nil)
	r.logStoreWorks(u.trouble.Since)
	u.trouble, u.retries = nil, nil
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
	r.nextLook = now // whatever has been put off
}

// leave takes a removed account out of what is logged and stored of failures.
func (r *Refresher) leave(a *account) {
	delete(r.unsaved, a)
	for api := range datacube.APIs {
		r.causes.leave(&a.calls[api].group, a, false)
		r.quotas.leave(&a.calls[api].quotaGroup, a, false)
	}
}
