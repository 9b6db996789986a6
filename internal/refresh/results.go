package refresh

import (
	"context"
	"fmt"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// ask makes one call.
func ask(ctx context.Context, caller Caller, c Call) (answer, error) {
	if c.API == datacube.Daily {
		said, err := caller.InterfaceSummary(ctx, c.Begin, c.End)
		a := answer{
			rejected: said.Rejected, reformatted: said.Reformatted,
			damaged: make(map[datacube.Date]bool, len(said.Damaged)),
			daily:   make(map[datacube.Date]datacube.Figures, len(said.Days)),
		}
		for _, day := range said.Days {
			a.daily[day.Date] = day.Figures
		}
		for _, date := range said.Damaged {
			a.damaged[date] = true
		}
		return a.orNotReady(err)
	}
	said, err := caller.InterfaceSummaryHour(ctx, c.Begin)
	a := answer{rejected: said.Rejected, plainHours: said.PlainHours, reformatted: said.Reformatted}
	if said.Damaged {
		a.damaged = map[datacube.Date]bool{c.Begin: true}
	}
	if said.Rows > 0 {
		a.hourly = &said.Hours
	}
	return a.orNotReady(err)
}

// orNotReady takes errcode 61503 of an interface call as the answer that it is: the
// figures are not there yet.
func (a answer) orNotReady(err error) (answer, error) {
	if err != nil && weixin.ClassOf(err) == weixin.NotReady {
		return answer{notReady: true}, nil
	}
	return a, err
}

// gatherFor is how long an answer waits for others, to be stored with them, while all workers
// are busy.
const gatherFor = 10 * time.Millisecond

// take notes that a call has ended, and all that have ended with it. Their accounts get no
// other one before the answers are absorbed.
func (r *Refresher) take(res result) {
	if len(r.arrived) == 0 {
		r.absorbAt = r.now().Add(gatherFor)
	}
	for {
		r.workers.end(res.underway, r.now())
		r.arrived = append(r.arrived, res)
		select {
		case res = <-r.results:
		default:
			return
		}
	}
}

// absorbArrived absorbs what has arrived once it is time, and reports whether it did: then
// accounts may need another call.
func (r *Refresher) absorbArrived() bool {
	idle := r.workers.held() < r.config.Concurrency // then nothing is gained by waiting
	if len(r.arrived) == 0 || !idle && !reached(r.absorbAt, r.now(), gatherFor) {
		return false
	}
	r.absorb(r.arrived)
	clear(r.arrived)
	r.arrived = r.arrived[:0]
	r.unpublished = true
	return true
}

// reached reports whether now is at or after a time that was set at most wait ahead. If it
// is farther ahead, the clock was put back, and the time means nothing.
func reached(at, now time.Time, wait time.Duration) bool {
	return !now.Before(at) || at.After(now.Add(wait))
}

// absorb stores answers in one transaction, takes over what they say and finds out what the
// accounts need next.
func (r *Refresher) absorb(results []result) {
	var answered []result
	for _, res := range results {
		res.account.running = false
		switch {
		case res.account.ctx.Err() != nil: // removed, or the end of all
		case res.call.Purpose == Quota:
			r.quotaKnown(res)
		case res.err != nil:
			r.failed(res, res.err)
		default:
			answered = append(answered, res)
		}
	}
	r.keep(answered)
	r.saveHolds()
	now := r.now()
	for _, res := range results {
		if res.account.ctx.Err() == nil {
			r.place(res.account, now)
		}
	}
}

// keep stores answers and takes over what they say.
func (r *Refresher) keep(answered []result) {
	if len(answered) == 0 {
		return
	}
	if !r.unwritable() {
		r.catchUp() // what an answer means depends on what is known
	}
	now := r.now()
	records := make([][]store.Record, len(answered))
	vanished := make([][]datacube.Date, len(answered))
	var all []store.Record
	for i, res := range answered {
		acc := res.account
		records[i], vanished[i] = absorb(now, acc.AppID, res.call, acc.ledgers(), res.answer)
		all = append(all, records[i]...)
	}
	var revisions []store.Revision
	if !r.unwritable() {
		var err error
		if revisions, err = r.store.Save(r.life, all); err != nil {
			r.storeFailed(fmt.Errorf("storing the answer: %w", err))
		}
	}
	if r.life.Err() != nil {
		return
	}
	for i, res := range answered {
		r.learned(res, records[i], vanished[i])
		if r.unwritable() {
			r.keepLater(res, records[i])
		}
	}
	r.revised(revisions)
}

// learned takes over a stored answer.
func (r *Refresher) learned(res result, records []store.Record, vanished []datacube.Date) {
	acc, api := res.account, res.call.API
	state := &acc.calls[api]
	r.causes.leave(&state.group, acc, true)
	if len(res.answer.damaged) > 0 {
		f, next := newDamage(api, res.answer), nextAsk(r.now(), records)
		acc.damaged(api, r.now(), f, next)
		r.logDamaged(acc.Account, res.call, f, next)
	} else {
		acc.succeed(api, r.now())
	}
	if state.stored { // a wait that a reload has ended
		state.stored = false
		r.noteHold(acc, api)
	}
	work := &acc.shown.Work[api]
	work.PlainHours += int64(res.answer.plainHours)
	work.Reformatted += int64(res.answer.reformatted)
	work.Vanished += int64(len(vanished))
	for reason, n := range res.answer.rejected {
		work.Rejected[reason] += int64(n)
	}
	r.logAnswer(acc.Account, res.call, res.answer, records)
	for _, date := range vanished {
		r.logVanished(acc.Account, api, date)
	}
	acc.learn(records)
}

// quotaKnown takes over the quota of a call. Not to know it is no reason to refresh any
// less: it is asked for again an hour later.
func (r *Refresher) quotaKnown(res result) {
	acc, api := res.account, res.call.API
	if !r.config.Quota {
		return // switched off meanwhile
	}
	acc.calls[api].quotaAt = r.now()
	acc.change()
	group := &acc.calls[api].quotaGroup
	if res.err != nil {
		acc.shown.Work[api].Quota = nil
		f := newFault(res.err)
		f.policy.person = false // figures come without it
		failed := failedCall{acc, res.call, f, r.now().Add(quotaEvery)}
		if !r.quotas.fail(group, failed, r.now()) {
			r.logRepeated(failed, r.quotas.failing)
		}
		return
	}
	r.quotas.leave(group, acc, true)
	acc.shown.Work[api].Quota = &res.quota
	r.warnOfRate(acc.Account, api, res.quota)
}

// failed takes over a failed attempt.
func (r *Refresher) failed(res result, err error) {
	f, now, acc := newFault(err), r.now(), res.account
	next := acc.fail(res.call, now, f)
	failed := failedCall{acc, res.call, f, next}
	if !r.causes.fail(&acc.calls[res.call.API].group, failed, now) {
		r.logRepeated(failed, r.causes.failing)
	}
	if f.shared {
		return // nothing was asked for, so nothing is to be remembered
	}
	for api := range acc.calls {
		if f.policy.account || api == int(res.call.API) {
			acc.calls[api].stored = true
			r.noteHold(acc, datacube.API(api))
		}
	}
	r.otherAddress(f, now)
}
