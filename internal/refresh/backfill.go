package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

const (
	// patience is how long an account may fail without an answer in between before a backfill
	// gives it up: longer than the longest backoff, shorter than anybody looks on.
	patience = 30 * time.Minute
	// grace is how long calls under way may take once the context has ended, so that their
	// answers are kept rather than asked for again.
	grace = 3 * time.Second
	// fruitlessDays is how many China days a backfill waits for a quota that allows no call.
	fruitlessDays = 2
)

// BackfillOptions are the parts that a Backfill works with.
type BackfillOptions struct {
	Store RecordStore
	// Changes tells what other processes write into the store; nil: there are none.
	Changes  ChangeReader
	Logger   log.Logger
	Now      func() time.Time
	Progress BackfillProgress
}

// Backfill asks Weixin for a range of days that the store does not know. What it asks for and
// when depends on its BackfillPlan, what an answer means on the same rules as a Refresher's.
type Backfill struct {
	engine[*filling]

	progress BackfillProgress

	// All that follows belongs to the goroutine of Run.
	calls   context.Context //nolint:containedctx // that of the calls
	plan    BackfillPlan
	filled  []BackfillResult
	next    int        // the first of the accounts that was not begun
	active  []*filling // begun and not ended, in the order of their begin
	running int
	fault   error // of the store; it ends everything
}

// filling is an account that is being filled.
type filling struct {
	asked
	*BackfillResult

	// cursors are the newest days that were not dealt with; what stands behind them is done.
	cursors [datacube.APIs]datacube.Date
	// refused counts days in a row whose quota allowed no call at all.
	refused  [datacube.APIs]int
	failing  [datacube.APIs]time.Time // when the attempts began to fail; zero while they do not
	reported BackfillStatus
}

// NewBackfill returns a Backfill for Plan and Run. It starts nothing.
func NewBackfill(o BackfillOptions) *Backfill {
	return &Backfill{
		engine:   newEngine[*filling](reporter{o.Logger}, o.Store, o.Changes, o.Now),
		progress: o.Progress,
	}
}

// Run makes the calls of a plan, leaving out days that became known meanwhile, and stores the
// answers. Faults of Weixin are logged; what they kept from being filled is returned, an entry
// for each account of the plan. When the context ends, the answers of calls under way are
// still waited for, for a few seconds, and stored; that is no error. An error is one of the
// store, and ends everything. Run is called once.
func (b *Backfill) Run(ctx context.Context, p BackfillPlan) ([]BackfillResult, error) {
	b.plan, b.since = p, p.Since
	b.filled = make([]BackfillResult, len(p.Accounts))
	for i, a := range p.Accounts {
		b.filled[i] = BackfillResult{Name: a.Name, AppID: a.AppID, Left: p.Calls[i]}
	}
	b.life = context.WithoutCancel(ctx)
	var stop context.CancelFunc
	b.calls, stop = context.WithCancel(b.life)
	defer stop()
	if err := b.watch.begin(b.life); err != nil { //nolint:contextcheck // what is stored does not end with ctx
		return b.filled, err
	}
	ended := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ended != nil && b.fault == nil {
			timer.Reset(b.dispatch()) //nolint:contextcheck // calls under way outlast ctx for a moment
		}
		if b.running == 0 && (ended == nil || b.fault != nil || len(b.active) == 0) {
			return b.filled, b.fault
		}
		select {
		case <-ended:
			ended = nil
			defer time.AfterFunc(grace, stop).Stop()
		case <-timer.C:
		case res := <-b.results:
			b.absorb(b.gather(res))
			if b.fault != nil {
				stop()
			}
		}
	}
}

// dispatch starts the calls that may be made now and returns how long it takes until another
// one may be.
func (b *Backfill) dispatch() time.Duration {
	now := b.now()
	b.followOthers()
	for b.running < b.plan.Concurrency && b.fault == nil && b.startOne(now) {
	}
	wait := time.Hour // by then the clock may have been set
	for _, acc := range b.active {
		if until := acc.resume(now); !acc.running && !until.IsZero() {
			wait = min(wait, max(until.Sub(now), 0))
		}
	}
	return wait
}

// startOne starts a call of the first account that can make one, or begins another account.
// It returns false if there is none.
func (b *Backfill) startOne(now time.Time) bool {
	for _, acc := range b.active {
		if acc.running || acc.resume(now).After(now) {
			continue
		}
		return b.step(acc, now)
	}
	for b.next < len(b.plan.Accounts) && b.plan.Calls[b.next] == [datacube.APIs]int{} {
		b.next++ // nothing is to be asked for
	}
	if b.next == len(b.plan.Accounts) {
		return false
	}
	acc := &filling{asked: asked{Account: b.plan.Accounts[b.next], ctx: b.calls}, BackfillResult: &b.filled[b.next]}
	for api := range acc.cursors {
		acc.cursors[api] = b.plan.Until
	}
	b.next++
	b.active = append(b.active, acc)
	b.accounts[acc.Account.AppID] = acc
	return b.step(acc, now)
}

// step starts the account's next call, or ends it if there is none. It returns false once the
// store fails.
func (b *Backfill) step(acc *filling, now time.Time) bool {
	if !b.loaded(acc) {
		return false
	}
	call, ok, waits := b.nextCall(acc, now)
	switch {
	case ok:
		b.running++
		b.start(acc, call)
	case !waits:
		b.finish(acc)
	}
	b.show(acc)
	return true
}

// nextCall returns the newest call that the account can make now; if there is none, whether
// there will be one.
func (b *Backfill) nextCall(acc *filling, now time.Time) (Call, bool, bool) {
	var best Call
	var found, waits bool
	for api := range datacube.APIs {
		if acc.GivenUp[api] != nil {
			continue
		}
		c, ok := newestCall(api, b.plan.Since, acc.cursors[api], b.plan.wanted(acc.ledgers[api]))
		switch {
		case !ok:
		case acc.holds[api].ends(now).After(now):
			waits = true
		case !found || c.before(best):
			best, found = c, true
		}
	}
	return best, found, waits
}

// resume returns when the account's next call may be made.
func (acc *filling) resume(now time.Time) time.Time {
	var first time.Time
	for api := range acc.holds {
		if acc.GivenUp[api] != nil || acc.Left[api] == 0 {
			continue
		}
		until := acc.holds[api].ends(now)
		if !until.After(now) {
			return time.Time{}
		}
		first = earlier(first, until)
	}
	return first
}

// followOthers takes over what other processes have stored.
func (b *Backfill) followOthers() {
	stored, err := b.catchUp()
	if err != nil {
		b.fault = err
		return
	}
	for appID := range stored {
		b.countLeft(b.accounts[appID])
	}
}

// loaded loads the ledgers of the account unless they are. It returns false if the store fails.
func (b *Backfill) loaded(acc *filling) bool {
	loaded, err := b.load(&acc.asked)
	if err != nil {
		b.fault = err
		return false
	}
	if loaded {
		b.countLeft(acc)
	}
	return true
}

// countLeft finds out how many calls are left.
func (b *Backfill) countLeft(acc *filling) {
	for api := range datacube.APIs {
		acc.Left[api] = len(callsFor(api, b.plan.Since, acc.cursors[api], b.plan.wanted(acc.ledgers[api])))
	}
}

// finish takes the account off the list.
func (b *Backfill) finish(acc *filling) {
	delete(b.accounts, acc.Account.AppID)
	for i, other := range b.active {
		if other == acc {
			b.active = append(b.active[:i], b.active[i+1:]...)
			break
		}
	}
	acc.unload()
	acc.reported.Ended = true
	b.logFilled(acc)
}

// show tells how it stands with the account.
func (b *Backfill) show(acc *filling) {
	now := b.now()
	s := BackfillStatus{Account: acc.Account.Name, Done: acc.Calls, Ended: acc.reported.Ended}
	for _, left := range acc.Left {
		s.Left += left
	}
	if until := acc.resume(now); until.After(now) && !acc.running && !s.Ended {
		s.Resume = until
	}
	acc.reported = s
	b.progress.Show(s)
}

// absorb takes results over, and stores the answers in one transaction.
func (b *Backfill) absorb(results []result[*filling]) {
	b.running -= len(results)
	answered, failed := b.end(results)
	for _, res := range failed {
		b.failed(res)
	}
	if b.fault == nil && len(answered) > 0 {
		b.keep(answered)
	}
	for _, res := range results {
		b.show(res.account)
	}
}

// keep stores answers and takes over what they say.
func (b *Backfill) keep(answered []result[*filling]) {
	b.followOthers() // what an answer means depends on what is known
	if b.fault != nil {
		return
	}
	outcomes := b.interpret(answered)
	if err := b.save(outcomes); err != nil {
		b.fault = fmt.Errorf("keeping answers: %w", err)
		return
	}
	b.learn(outcomes)
	for _, o := range outcomes {
		if o.damage != nil {
			b.logDamaged(o.account.Account, o.call, *o.damage, time.Time{})
		}
		o.account.answered(o)
		b.countLeft(o.account)
	}
}

// answered counts what an answer brought.
func (acc *filling) answered(o outcome[*filling]) {
	api := o.call.API
	acc.cursors[api] = o.call.Begin - 1
	acc.refused[api] = 0
	acc.failing[api] = time.Time{}
	acc.Learned[api] += o.days.learned
	acc.Empty[api] += o.days.empty
	acc.Confirmed[api] += o.days.confirmed
	acc.NotThere[api] += o.days.notThere
	acc.Damaged[api] += o.days.damaged
	acc.Vanished += len(o.vanished)
	acc.Revisions += len(o.revisions)
	if o.days.damaged > 0 {
		acc.Failures++
	} else {
		acc.Calls++
	}
}

// failed takes over a failed attempt: what passes by itself is waited for, for a while, and
// the rest is given up.
func (b *Backfill) failed(res result[*filling]) {
	acc, api, now := res.account, res.call.API, b.now()
	acc.Failures++
	acc.unload() // it may take long until the ledgers are needed again
	f, next := acc.fault(api, res.err, now)
	if !b.givesUp(acc, api, f, now) {
		acc.hold(api, f, now, next)
		b.logFillFailed(acc, res.call, f, next)
		return
	}
	for other := range datacube.APIs {
		if (other == api || f.policy.account) && acc.GivenUp[other] == nil && acc.Left[other] > 0 {
			acc.GivenUp[other] = &GivenUp{Reason: f.reason, Text: f.text(), Advice: f.advice}
		}
	}
	b.logGivenUp(acc, res.call, f)
}

// givesUp reports whether a fault ends the call that it kept from being answered.
func (b *Backfill) givesUp(acc *filling, api datacube.API, f fault, now time.Time) bool {
	switch {
	case f.reason == weixin.Quota:
		acc.refused[api]++
		return !b.plan.Wait || acc.refused[api] > fruitlessDays
	case f.policy.person:
		return true
	case acc.failing[api].IsZero():
		acc.failing[api] = now
	}
	return now.Sub(acc.failing[api]) >= patience
}
