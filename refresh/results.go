package refresh

import (
	"context"
	"fmt"
	"time"

	"weixin_exporter/store"
	"weixin_exporter/summary"
	"weixin_exporter/weixin"
)

// ask makes one call.
func ask(ctx context.Context, caller Caller, c Call) (answer, error) {
	if c.API == summary.Daily {
		said, err := caller.InterfaceSummary(ctx, c.Begin, c.End)
		a := answer{
			rejected: said.Rejected, reformatted: said.Reformatted,
			daily: make(map[summary.Date]summary.Figures, len(said.Days)),
		}
		for _, day := range said.Days {
			a.daily[day.Date] = day.Figures
		}
		a.damage(said.Damaged...)
		return a.orNotReady(err)
	}
	said, err := caller.InterfaceSummaryHour(ctx, c.Begin)
	a := answer{rejected: said.Rejected, plainHours: said.PlainHours, reformatted: said.Reformatted}
	if said.Damaged {
		a.damage(c.Begin)
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
		r.running--
		if res.suspect {
			r.suspects--
		}
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
	idle := r.running < r.config.Concurrency // then nothing is gained by waiting
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
	r.catchUp() // what an answer means depends on what is known
	now := r.now()
	records := make([][]store.Record, len(answered))
	vanished := make([][]summary.Date, len(answered))
	var all []store.Record
	for i, res := range answered {
		acc := res.account
		records[i], vanished[i] = absorb(now, acc.AppID, res.call, acc.ledgers(), res.answer)
		all = append(all, records[i]...)
	}
	revisions, err := r.store.Save(r.life, all)
	if err != nil {
		if r.life.Err() != nil {
			return
		}
		for _, res := range answered {
			r.failed(res, storeError{fmt.Errorf("keeping the answer: %w", err)})
		}
		return
	}
	for i, res := range answered {
		r.learned(res, records[i], vanished[i])
	}
	for _, revision := range revisions {
		acc := r.accounts[revision.AppID]
		acc.shown.Work[revision.API].Revisions++
		r.logRevised(acc.Account, revision)
	}
}

// learned takes over a stored answer.
func (r *Refresher) learned(res result, records []store.Record, vanished []summary.Date) {
	acc, api := res.account, res.call.API
	if len(res.answer.damaged) > 0 {
		f, next := newDamage(api, res.answer), nextAsk(r.now(), records)
		acc.damaged(api, r.now(), f, next)
		r.logDamaged(acc.Account, res.call, f, next)
	} else if ended := acc.succeed(api, r.now()); ended != nil {
		r.logRecovered(acc.Account, res.call, ended)
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
	if res.err != nil {
		acc.shown.Work[api].Quota = nil
		r.logQuotaUnknown(acc.Account, api, res.err)
		return
	}
	acc.shown.Work[api].Quota = &res.quota
}

// failed takes over a failed attempt.
func (r *Refresher) failed(res result, err error) {
	f := newFault(err)
	next := res.account.fail(res.call.API, r.now(), f)
	r.logFailed(res.account.Account, res.call, f, next)
}
