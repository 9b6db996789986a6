package refresh

import (
	"fmt"
	"slices"
	"time"

	"weixin_exporter/weixin/datacube"
)

// gatherFor is how long an answer waits for others, to be stored in the same transaction, while all workers are busy.
const gatherFor = 10 * time.Millisecond

// stopTime is how long calls that are under way when Run is to end may still take. What they return is stored, so that
// no one makes them again.
const stopTime = 2 * time.Second

// collect marks a call and all others that have ended as ended. Their accounts make no further call before the answers are
// absorbed.
func (r *Refresher) collect(first result[*account]) {
	now := r.now()
	if len(r.arrived) == 0 {
		r.absorbAt = now.Add(gatherFor)
	}
	for _, res := range r.gather(first) {
		r.workers.end(res.account.underway, now)
		r.arrived = append(r.arrived, res)
		if res.err == nil {
			r.unstored++
		}
	}
}

// absorbArrived absorbs ended calls if it is time, and reports whether it did: then more calls may be due. An answer that
// is not stored is lost if the process is killed, and its call is made again. With n workers no more than 2n-1 answers,
// of other than slow calls, are stored in one transaction, and n can arrive meanwhile.
func (r *Refresher) absorbArrived() bool {
	idle := r.workers.held() < r.config.Concurrency // then waiting gains nothing
	enough := r.unstored >= r.config.Concurrency
	if len(r.arrived) == 0 || !idle && !enough && !reached(r.absorbAt, r.now(), gatherFor) {
		return false
	}
	r.absorbAll()
	return true
}

// absorbAll absorbs the calls that have ended.
func (r *Refresher) absorbAll() {
	r.absorb(r.arrived)
	clear(r.arrived)
	r.arrived = r.arrived[:0]
	r.unstored = 0
	r.unpublished = true
}

// finish stores what has arrived, and what calls return that are under way when Run is to end, as long as runCtx lasts. If the
// store is failing, it is tried at once and, if calls have ended since, once more after the last of them.
func (r *Refresher) finish() {
	for tried, ended := false, false; ; {
		if len(r.arrived) > 0 {
			r.absorbAll()
		}
		last := r.workers.calls.Len() == 0
		if r.storeFailing() && (!tried || last && ended) {
			tried = true
			r.saveWaiting(r.now())
		}
		if last {
			return
		}
		select {
		case res := <-r.results:
			r.collect(res)
			ended = true
		case <-r.runCtx.Done():
			return
		}
	}
}

// reached reports whether now is at or after a time that was set at most wait ahead. If it is farther ahead, the clock was
// set back, and the time is meaningless.
func reached(at, now time.Time, wait time.Duration) bool {
	return !now.Before(at) || at.After(now.Add(wait))
}

// absorb stores answers in one transaction, updates the accounts and plans them again.
func (r *Refresher) absorb(results []result[*account]) {
	answered, failed := r.end(results)
	for _, res := range failed {
		if res.call.Purpose == Quota {
			r.quotaFailed(res)
		} else {
			r.failed(res)
		}
	}
	r.saveAnswers(slices.DeleteFunc(answered, r.quotaAnswered))
	r.saveHolds()
	now := r.now()
	for _, res := range results {
		if !res.account.removed {
			r.enqueue(res.account, now)
		}
		r.used = append(r.used, res.release)
	}
	r.releaseUsed()
}

// saveAnswers stores answers and updates the ledgers and what is shown.
func (r *Refresher) saveAnswers(answered []result[*account]) {
	if len(answered) == 0 {
		return
	}
	if !r.storeFailing() {
		r.applyChanges() // answers are interpreted by what is known
	}
	outcomes := r.interpret(answered)
	if !r.storeFailing() {
		if err := r.save(outcomes); err != nil {
			r.storeFailed(fmt.Errorf("storing answers: %w", err))
		}
	}
	if r.runCtx.Err() != nil {
		return
	}
	outcomes = slices.DeleteFunc(outcomes, func(o outcome[*account]) bool { return o.lost })
	r.learn(outcomes)
	for _, o := range outcomes {
		if len(o.outdated) > 0 {
			r.nextChangeCheck = time.Time{} // at once: more may have been stored of the account
		}
		r.answered(&o)
		if r.storeFailing() {
			r.saveLater(o)
		} else if o.damage == nil {
			o.account.showSuccess(o.call.API, o.at)
		}
	}
}

// answered shows and logs an answer. A damaged one whose days other processes have made known is shown as a success.
func (r *Refresher) answered(o *outcome[*account]) {
	acc, api, now := o.account, o.call.API, r.now()
	state := &acc.calls[api]
	r.causes.leave(&state.group, acc, true)
	if o.damage != nil {
		next := o.nextAsk(now)
		r.logDamaged(acc.Account, o.call, *o.damage, next)
		if next.IsZero() {
			o.damage = nil
		} else {
			acc.showFailure(api, *o.damage, now, next)
		}
	}
	acc.showLearned(*o)
	if state.holdStored { // ended by a reload
		state.holdStored = false
		r.markHoldUnsaved(acc, api)
	}
}

// quotaAnswered handles the answer to a request for a quota, and reports whether it was one.
func (r *Refresher) quotaAnswered(res result[*account]) bool {
	if res.call.Purpose != Quota {
		return false
	}
	acc, api := res.account, res.call.API
	if group := r.quotaAsked(acc, api); group != nil {
		r.quotas.leave(group, acc, true)
		acc.shown.Work[api].Quota = &res.answer.quota
		r.warnOfRate(acc.Account, api, res.answer.quota)
	}
	return true
}

// quotaFailed handles a failed request for a quota. It does not hold up the refresh; the quota is requested again an hour
// later.
func (r *Refresher) quotaFailed(res result[*account]) {
	acc, api, now := res.account, res.call.API, r.now()
	group := r.quotaAsked(acc, api)
	if group == nil {
		return
	}
	acc.shown.Work[api].Quota = nil
	f := newFailure(res.err)
	f.policy.needsAction = false // figures are refreshed without it
	failed := failedCall{acc, res.call, f, now.Add(quotaEvery)}
	if !r.quotas.fail(group, failed, now) {
		r.logRepeated(failed, r.quotas.failing)
	}
}

// quotaAsked notes the time of a request for a quota. It returns nil if quotas have been switched off since.
func (r *Refresher) quotaAsked(a *account, api datacube.API) **group {
	if !r.config.Quota {
		return nil
	}
	a.calls[api].quotaAt = r.now()
	a.change()
	return &a.calls[api].quotaGroup
}

// failed handles a failed attempt.
func (r *Refresher) failed(res result[*account]) {
	now, acc := r.now(), res.account
	f, next := acc.fail(res.call, res.err, now)
	failed := failedCall{acc, res.call, f, next}
	if !r.causes.fail(&acc.calls[res.call.API].group, failed, now) {
		r.logRepeated(failed, r.causes.failing)
	}
	if f.shared {
		return // no request was made, so there is nothing to store
	}
	for api := range acc.calls {
		if f.policy.account || api == int(res.call.API) {
			acc.calls[api].holdStored = true
			r.markHoldUnsaved(acc, datacube.API(api))
		}
	}
	r.releaseOtherAddresses(f, now)
}
