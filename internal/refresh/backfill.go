package refresh

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

const (
	// giveUpAfter is how long an account may fail without a successful call before a backfill gives it up.
	// It is longer than the longest backoff.
	giveUpAfter = 30 * time.Minute
	// shutdownGrace is how long running calls may take after the context has ended, so that their answers are
	// stored and need not be requested again.
	shutdownGrace = 3 * time.Second
	// maxQuotaDays is how many China days in a row a backfill waits for a quota that allows no call.
	maxQuotaDays = 2
)

// BackfillOptions are the dependencies of a Backfill.
type BackfillOptions struct {
	Store RecordStore
	// Changes reports what other processes write to the store; nil if there are none.
	Changes ChangeReader
	Logger  log.Logger
	Now     func() time.Time
	// TrustedNow is a time that does not follow a host's clock that is wrong. A day without rows becomes one without traffic
	// by the earlier one of it and Now. nil: Now alone.
	TrustedNow func() time.Time
	Progress   BackfillProgress
	// Sharing divides the work between the backfills of one store; its duty is store.Backfilling. nil means store.Alone.
	Sharing store.Sharing
	// SetShare is called with the part of all slots with accounts to fill that this backfill owns, from 0 to 1, when that
	// part changes: it divides the rate of requests. nil: the rate is not divided.
	SetShare func(part float64)
}

// Backfill requests a range of days that the store does not know. A BackfillPlan decides which calls it makes and
// in what order; answers are interpreted by the same rules as a Refresher's.
type Backfill struct {
	engine[*backfillAccount]

	progress BackfillProgress
	sharing  store.Sharing
	setShare func(part float64)

	// The fields below belong to the goroutine of Run.
	calls      context.Context //nolint:containedctx // of the calls
	plan       BackfillPlan
	perAccount []BackfillResult
	began      time.Time
	todo       []*backfillAccount // neither started nor finished, or put back
	active     []*backfillAccount // started and not finished, in the order of their start
	running    int

	wanted      store.SlotSet    // the slots of accounts in todo and active
	unfinished  [store.Slots]int // the numbers of these accounts
	allAccounts uint64           // identifies the accounts of the plan
	part        float64          // of the wanted slots that are owned
	nextKeep    time.Time        // when to renew the slots
	keepFails   time.Time        // since when that fails; zero if it does not

	err error // of the store; it ends the backfill
}

// backfillAccount is an account of a running backfill.
type backfillAccount struct {
	baseAccount
	*BackfillResult

	// cursors are the newest days that are still to be requested; later days are done.
	cursors [datacube.APIs]datacube.Date
	// quotaDays counts consecutive days whose quota allowed no call.
	quotaDays [datacube.APIs]int
	failing   [datacube.APIs]time.Time // since when attempts have failed; zero if the last one succeeded
	loadedIn  int64                    // the slot's epoch in which the ledgers were loaded
	reported  BackfillStatus
}

// NewBackfill returns a Backfill. It starts nothing.
func NewBackfill(o BackfillOptions) *Backfill {
	if o.Sharing == nil {
		o.Sharing = store.Alone{}
	}
	return &Backfill{
		engine:   newEngine[*backfillAccount](reporter{o.Logger}, o.Store, o.Changes, o.Sharing, o.Now, o.TrustedNow),
		progress: o.Progress,
		sharing:  o.Sharing,
		setShare: o.SetShare,
	}
}

// Run makes the calls of a plan, except for days that have become known since, and stores the answers. It logs
// failures of Weixin and returns their effect: one result for each account of the plan, in that order. When the
// context ends, Run waits a few seconds for running calls, stores their answers and returns no error. An error
// is one of the store and ends the backfill. Run must be called only once.
//
// Several backfills of one store divide the accounts among themselves. Each of them returns when all accounts of its
// plan are finished, by whichever backfill; days that another one has requested need no call.
func (b *Backfill) Run(ctx context.Context, p BackfillPlan) ([]BackfillResult, error) {
	b.runCtx = context.WithoutCancel(ctx)
	var stop context.CancelFunc
	b.calls, stop = context.WithCancel(b.runCtx)
	defer stop()
	b.begin(p)
	if err := b.changes.begin(b.runCtx, b.began); err != nil { //nolint:contextcheck // the store outlives ctx
		return b.perAccount, err
	}
	ended := ctx.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ended != nil && b.err == nil {
			timer.Reset(b.dispatch()) //nolint:contextcheck // running calls outlive ctx for a moment
		}
		if b.running == 0 && (ended == nil || b.err != nil || len(b.active)+len(b.todo) == 0) {
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

// begin prepares the accounts of a plan.
func (b *Backfill) begin(p BackfillPlan) {
	b.plan, b.since, b.began = p, p.Since, b.now().Truncate(time.Second) // as times are stored
	b.perAccount = make([]BackfillResult, len(p.Accounts))
	appIDs := make([]string, len(p.Accounts))
	for i, a := range p.Accounts {
		appIDs[i] = a.AppID
		b.perAccount[i] = BackfillResult{Name: a.Name, AppID: a.AppID, Left: p.Calls[i]}
		if p.Calls[i] == [datacube.APIs]int{} {
			continue
		}
		acc := &backfillAccount{
			baseAccount:    baseAccount{Account: a, slot: store.SlotOf(a.AppID), ctx: b.calls},
			BackfillResult: &b.perAccount[i],
		}
		for api := range acc.cursors {
			acc.cursors[api] = p.Until
		}
		b.todo = append(b.todo, acc)
		b.unfinished[acc.slot]++
	}
	b.allAccounts = store.WorkOf(appIDs...).Accounts
	b.wantSlots()
}

// dispatch starts the calls that may be made now and returns how long to wait until the next one may be made.
func (b *Backfill) dispatch() time.Duration {
	now := b.now()
	b.keepSlots(now)
	b.followSlots()
	if b.err == nil {
		b.applyChanges()
	}
	for b.running < b.plan.Concurrency && b.err == nil && b.startOne(now) {
	}
	wait := store.KeepSlotsEvery // an upper bound, in case the clock is set
	if next := b.nextKeep.Sub(now); next > 0 {
		wait = min(wait, next)
	}
	for _, acc := range b.active {
		if until := acc.resumeAt(now); !acc.running && !until.IsZero() {
			wait = min(wait, max(until.Sub(now), 0))
		}
	}
	return wait
}

// startOne starts a call of the first account that may make one, or starts the next account. It returns false if
// there is none.
func (b *Backfill) startOne(now time.Time) bool {
	for _, acc := range b.active {
		if acc.running || acc.resumeAt(now).After(now) || !b.slots.isReady(acc.slot) {
			continue
		}
		return b.step(acc, now)
	}
	for i, acc := range b.todo {
		if !b.slots.isReady(acc.slot) {
			continue // another backfill works on it
		}
		b.todo = slices.Delete(b.todo, i, i+1)
		b.active = append(b.active, acc)
		b.accounts[acc.Account.AppID] = acc
		return b.step(acc, now)
	}
	return false
}

// step starts the account's next call, or finishes the account if there is none. It returns false if the store
// fails.
func (b *Backfill) step(acc *backfillAccount, now time.Time) bool {
	if !b.loaded(acc) {
		return false
	}
	call, ok, waits := b.nextCall(acc, now)
	switch {
	case ok:
		release, usable := b.slots.use(acc.slot)
		if !usable {
			b.putBack(acc)
			break
		}
		b.running++
		b.start(acc, call, release)
	case !waits:
		b.finish(acc)
	}
	b.show(acc)
	return true
}

// nextCall returns the account's newest call that may be made now. If there is none, waits reports whether there
// will be one later.
func (b *Backfill) nextCall(acc *backfillAccount, now time.Time) (Call, bool, bool) {
	var best Call
	var found, waits bool
	for api := range datacube.APIs {
		if acc.GivenUp[api] != nil {
			continue
		}
		c, ok := newestCall(api, b.plan.Since, acc.cursors[api], b.unrequested(acc.ledgers[api]))
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

// resumeAt returns when the account may make its next call.
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

// applyChanges updates the ledgers with what other processes have stored.
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

// loaded ensures that the account's ledgers are loaded. It returns false if the store fails.
func (b *Backfill) loaded(acc *backfillAccount) bool {
	loaded, err := b.load(&acc.baseAccount)
	if err != nil {
		b.err = err
		return false
	}
	if loaded {
		acc.loadedIn = b.slots.ready[acc.slot]
		b.countLeft(acc)
	}
	return true
}

// countLeft updates the number of remaining calls.
func (b *Backfill) countLeft(acc *backfillAccount) {
	for api := range datacube.APIs {
		acc.Left[api] = len(callsFor(api, b.plan.Since, acc.cursors[api], b.unrequested(acc.ledgers[api])))
	}
}

// finish removes the account from the active ones permanently. A slot without other accounts to fill is handed back.
func (b *Backfill) finish(acc *backfillAccount) {
	b.deactivate(acc)
	acc.reported.Ended = true
	b.logFilled(acc)
	if b.unfinished[acc.slot]--; b.unfinished[acc.slot] == 0 {
		b.wantSlots()
	}
}

// deactivate removes the account from the active ones.
func (b *Backfill) deactivate(acc *backfillAccount) {
	delete(b.accounts, acc.Account.AppID)
	if i := slices.Index(b.active, acc); i >= 0 {
		b.active = slices.Delete(b.active, i, i+1)
	}
	acc.unload()
}

// show reports the account's progress.
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

// absorb handles ended calls. It stores their answers in one transaction.
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
		res.release()
		if b.isOutdated(res.account) {
			b.putBack(res.account)
		}
		b.show(res.account)
	}
}

// saveAnswers stores answers and updates the ledgers and results.
func (b *Backfill) saveAnswers(answered []result[*backfillAccount]) {
	b.applyChanges() // answers are interpreted by what is known
	if b.err != nil {
		return
	}
	outcomes := b.interpret(answered)
	if err := b.save(outcomes); err != nil {
		b.err = fmt.Errorf("storing answers: %w", err)
		return
	}
	outcomes = slices.DeleteFunc(outcomes, func(o outcome[*backfillAccount]) bool { return o.lost })
	b.learn(outcomes)
	for _, o := range outcomes {
		if o.damage != nil {
			b.logDamaged(o.account.Account, o.call, *o.damage, time.Time{})
		}
		o.account.answered(o)
		b.countLeft(o.account)
	}
}

// answered adds an answer to the account's result.
func (acc *backfillAccount) answered(o outcome[*backfillAccount]) {
	api := o.call.API
	acc.cursors[api] = o.call.Begin - 1
	acc.quotaDays[api] = 0
	acc.failing[api] = time.Time{}
	acc.Learned[api] += o.days.learned
	acc.Empty[api] += o.days.empty
	acc.Confirmed[api] += o.days.confirmed
	acc.NotReady[api] += o.days.notReady
	acc.Damaged[api] += o.days.damaged
	acc.Vanished += len(o.vanished)
	acc.Revisions += len(o.revisions)
	if o.days.damaged > 0 {
		acc.Failures++
	} else {
		acc.Calls++
	}
}

// failed handles a failed attempt. Transient failures are retried for a while; for all others the calls are given up.
func (b *Backfill) failed(res result[*backfillAccount]) {
	acc, api, now := res.account, res.call.API, b.now()
	acc.Failures++
	acc.unload() // the ledgers may not be needed again for a long time
	f, next := acc.failure(api, res.err, now)
	if !b.givesUp(acc, api, f, now) {
		acc.hold(api, f, now, next)
		b.logFillFailed(acc, res.call, f, next)
		return
	}
	for other := range datacube.APIs {
		if (other == api || f.policy.account) && acc.GivenUp[other] == nil && acc.Left[other] > 0 {
			acc.GivenUp[other] = &GivenUp{Reason: f.reason, Problem: f.message(), Advice: i18n.Advice(f.advice)}
		}
	}
	b.logGivenUp(acc, res.call, f)
}

// givesUp reports whether the account's remaining calls of api are given up because of a failure.
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
	return now.Sub(acc.failing[api]) >= giveUpAfter
}
