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
	// shutdownGrace is how long calls under way may take once the context has ended, so that their
	// answers are kept rather than asked for again.
	shutdownGrace = 3 * time.Second
	// maxQuotaDays is how many China days a backfill waits for a quota that allows no call.
	maxQuotaDays = 2
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
	engine[*backfillAccount]

	progress BackfillProgress

	// All that follows belongs to the goroutine of Run.
	calls      context.Context //nolint:containedctx // that of the calls
	plan       BackfillPlan
	perAccount []BackfillResult
	next       int                // the first of the accounts that was not begun
	active     []*backfillAccount // begun and not ended, in the order of their begin
	running    int
	err        error // of the store; it ends everything
}

// backfillAccount is an account that is being filled.
type backfillAccount struct {
	baseAccount
	*BackfillResult

	// cursors are the newest days that were not dealt with; what stands behind them is done.
	cursors [datacube.APIs]datacube.Date
	// quotaDays counts days in a row whose quota allowed no call at all.
	quotaDays [datacube.APIs]int
	failing   [datacube.APIs]time.Time // when the attempts began to fail; zero while they do not
	reported  BackfillStatus
}

// NewBackfill returns a Backfill for Plan and Run. It starts nothing.
func NewBackfill(o BackfillOptions) *Backfill {
	return &Backfill{
		engine:   newEngine[*backfillAccount](reporter{o.Logger}, o.Store, o.Changes, o.Now),
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
	b.perAccount = make([]BackfillResult, len(p.Accounts))
	for i, a := range p.Accounts {
		b.perAccount[i] = BackfillResult{Name: a.Name, AppID: a.AppID, Left: p.Calls[i]}
	}
	b.runCtx = context.WithoutCancel(ctx)
	var stop context.CancelFunc
	b.calls, stop = context.WithCancel(b.runCtx)
	defer stop()
	if err := b.changes.begin(b.runCtx); err != nil { //nolint:contextcheck // what is stored does not end with ctx
		return b.perAccount, err
	}
	ended := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ended != nil && b.err == nil {
			timer.Reset(b.dispatch()) //nolint:contextcheck // calls under way outlast ctx for a moment
		}
		if b.running == 0 && (ended == nil || b.err != nil || len(b.active) == 0) {
			return b.perAccount, b.err
		}
		select {
		case <-ended:
			ended = nil
			defer time.AfterFunc(shutdownGrace, stop).Stop()
		case <-timer.C:
		case res := <-b.results:
			b.absorb(b.gather(res))
			if b.err != nil {
				stop()
			}
		}
	}
}

// dispatch starts the calls that may be made now and returns how long it takes until another
// one may be.
func (b *Backfill) dispatch() time.Duration {
	now := b.now()
	b.applyChanges()
	for b.running < b.plan.Concurrency && b.err == nil && b.startOne(now) {
	}
	wait := time.Hour // by then the clock may have been set
	for _, acc := range b.active {
		if until := acc.resumeAt(now); !acc.running && !until.IsZero() {
			wait = min(wait, max(until.Sub(now), 0))
		}
	}
	return wait
}

// startOne starts a call of the first account that can make one, or begins another account.
// It returns false if there is none.
func (b *Backfill) startOne(now time.Time) bool {
	for _, acc := range b.active {
		if acc.running || acc.resumeAt(now).After(now) {
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
	acc := &backfillAccount{baseAccount: baseAccount{Account: b.plan.Accounts[b.next], ctx: b.calls}, BackfillResult: &b.perAccount[b.next]}
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
func (b *Backfill) step(acc *backfillAccount, now time.Time) bool {
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
func (b *Backfill) nextCall(acc *backfillAccount, now time.Time) (Call, bool, bool) {
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

// resumeAt returns when the account's next call may be made.
func (acc *backfillAccount) resumeAt(now time.Time) time.Time {
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

// applyChanges takes over what other processes have stored.
func (b *Backfill) applyChanges() {
	stored, err := b.catchUp()
	if err != nil {
		b.err = err
		return
	}
	for appID := range stored {
		b.countLeft(b.accounts[appID])
	}
}

// loaded loads the ledgers of the account unless they are. It returns false if the store fails.
func (b *Backfill) loaded(acc *backfillAccount) bool {
	loaded, err := b.load(&acc.baseAccount)
	if err != nil {
		b.err = err
		return false
	}
	if loaded {
		b.countLeft(acc)
	}
	return true
}

// countLeft finds out how many calls are left.
func (b *Backfill) countLeft(acc *backfillAccount) {
	for api := range datacube.APIs {
		acc.Left[api] = len(callsFor(api, b.plan.Since, acc.cursors[api], b.plan.wanted(acc.ledgers[api])))
	}
}

// finish takes the account off the list.
func (b *Backfill) finish(acc *backfillAccount) {
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
func (b *Backfill) show(acc *backfillAccount) {
	now := b.now()
	s := BackfillStatus{Account: acc.Account.Name, Done: acc.Calls, Ended: acc.reported.Ended}
	for _, left := range acc.Left {
		s.Left += left
	}
	if until := acc.resumeAt(now); until.After(now) && !acc.running && !s.Ended {
		s.Resume = until
	}
	acc.reported = s
	b.progress.Show(s)
}

// absorb takes results over, and stores the answers in one transaction.
func (b *Backfill) absorb(results []result[*backfillAccount]) {
	b.running -= len(results)
	answered, failed := b.end(results)
	for _, res := range failed {
		b.failed(res)
	}
	if b.err == nil && len(answered) > 0 {
		b.saveAnswers(answered)
	}
	for _, res := range results {
		b.show(res.account)
	}
}

// saveAnswers stores answers and takes over what they say.
func (b *Backfill) saveAnswers(answered []result[*backfillAccount]) {
	b.applyChanges() // what an answer means depends on what is known
	if b.err != nil {
		return
	}
	outcomes := b.interpret(answered)
	if err := b.save(outcomes); err != nil {
		b.err = fmt.Errorf("keeping answers: %w", err)
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
func (acc *backfillAccount) answered(o outcome[*backfillAccount]) {
	api := o.call.API
	acc.cursors[api] = o.call.Begin - 1
	acc.quotaDays[api] = 0
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
func (b *Backfill) failed(res result[*backfillAccount]) {
	acc, api, now := res.account, res.call.API, b.now()
	acc.Failures++
	acc.unload() // it may take long until the ledgers are needed again
	f, next := acc.failure(api, res.err, now)
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

// givesUp reports whether a failure ends the call that it kept from being answered.
func (b *Backfill) givesUp(acc *backfillAccount, api datacube.API, f failure, now time.Time) bool {
	switch {
	case f.reason == weixin.Quota:
		acc.quotaDays[api]++
		return !b.plan.Wait || acc.quotaDays[api] > maxQuotaDays
	case f.policy.needsAction:
		return true
	case acc.failing[api].IsZero():
		acc.failing[api] = now
	}
	return now.Sub(acc.failing[api]) >= patience
}
