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
	records []store.Record
	calls   map[*account][]failedCall
	trouble *snapshot.Problem // nil while all is stored
	fault   fault
	retries *backoff.ExponentialBackOff
	next    time.Time // when storing is tried again
	counts  map[string]int64
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
	for a, calls := range u.calls {
		for _, c := range calls {
			a.change()
			a.shown.Work[c.call.API].Problem = u.fault.trouble(c.next, now, u.next)
		}
	}
	r.unpublished = true
}

// keepLater remembers answers that could not be stored. What they say is shown, and it is said
// that it is not stored.
func (r *Refresher) keepLater(res result, records []store.Record) {
	acc, u, now := res.account, &r.unkept, r.now()
	u.records = append(u.records, records...)
	u.calls[acc] = append(u.calls[acc], failedCall{account: acc, call: res.call, fault: u.fault, next: now})
	acc.change()
	work := &acc.shown.Work[res.call.API]
	work.Succeeded, work.Unstored = false, true
	work.Failures[snapshot.StoreFault]++
	work.Problem = u.fault.trouble(now, now, u.next)
}

// storeAgain tries to store what could not be, once it is time.
func (r *Refresher) storeAgain(now time.Time) {
	u := &r.unkept
	if !r.unwritable() || !reached(u.next, now, 2*longestStoreRetry) {
		return
	}
	revisions, err := r.store.Save(r.life, u.records)
	if err == nil {
		u.records = nil
		r.revised(revisions)
		err = r.store.SaveHolds(r.life, r.heldRecords())
	}
	if err != nil {
		r.storeFailed(err)
		return
	}
	r.holdsSaved(nil)
	r.logStoreWorks(u.trouble.Since)
	u.trouble, u.retries = nil, nil
	for a, calls := range u.calls {
		a.change()
		for _, c := range calls {
			work := &a.shown.Work[c.call.API]
			work.Succeeded, work.Unstored, work.Problem = true, false, nil
		}
	}
	clear(u.calls)
	r.unpublished = true
	r.nextLook = now // whatever has been put off
}

// revised counts and logs known days that came back with other figures.
func (r *Refresher) revised(revisions []store.Revision) {
	for _, revision := range revisions {
		acc := r.accounts[revision.AppID]
		if acc == nil {
			continue // removed meanwhile
		}
		acc.change()
		acc.shown.Work[revision.API].Revisions++
		r.logRevised(acc.Account, revision)
	}
}

// dropUnkept forgets that an account waits for the store; its records stay.
func (r *Refresher) dropUnkept(a *account) {
	delete(r.unkept.calls, a)
	delete(r.unsaved, a)
	for api := range datacube.APIs {
		r.causes.leave(&a.calls[api].group, a, false)
		r.quotas.leave(&a.calls[api].quotaGroup, a, false)
	}
}
