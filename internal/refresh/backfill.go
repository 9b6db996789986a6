package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-kit/log"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
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

// FillStore keeps what is known, see Store.
type FillStore interface {
	Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error)
	Save(ctx context.Context, records []store.Record) ([]store.Revision, error)
}

// BackfillOptions are the parts that a Backfill works with.
type BackfillOptions struct {
	Store FillStore
	// Others tells what other processes write into the store; nil: there are none.
	Others   Others
	Logger   log.Logger
	Now      func() time.Time
	Progress FillProgress
}

// Backfill asks Weixin for a range of days that the store does not know. What it asks for and
// when depends on its FillPlan, what an answer means on the same rules as a Refresher's.
type Backfill struct {
	reporter
	store    FillStore
	now      func() time.Time
	progress FillProgress

	// All that follows belongs to the goroutine of Run.
	life     context.Context //nolint:containedctx // that of what is stored: it does not end before Run
	calls    context.Context //nolint:containedctx // that of the calls
	plan     FillPlan
	watch    watch
	filled   []Filled
	next     int        // the first of the accounts that was not begun
	active   []*filling // begun and not ended, in the order of their begin
	accounts map[string]*filling
	running  int
	results  chan filledResult
	fault    error // of the store; it ends everything
}

// filling is an account that is being filled.
type filling struct {
	Account
	*Filled

	// cursors are the newest days that were not dealt with; what stands behind them is done.
	cursors [datacube.APIs]datacube.Date
	holds   [datacube.APIs]time.Time
	// refused counts days in a row whose quota allowed no call at all.
	refused [datacube.APIs]int
	// ledgers are nil while they are not needed or no longer right.
	ledgers *Ledgers

	running  bool
	failing  [datacube.APIs]time.Time // when the attempts began to fail; zero while they do not
	retries  [datacube.APIs]*backoff.ExponentialBackOff
	reported FillStatus
}

type filledResult struct {
	filling *filling
	call    Call
	answer  answer
	err     error
}

// NewBackfill returns a Backfill for Plan and Run. It starts nothing.
func NewBackfill(o BackfillOptions) *Backfill {
	return &Backfill{
		reporter: reporter{o.Logger},
		store:    o.Store,
		now:      o.Now,
		progress: o.Progress,
		watch:    watch{others: o.Others},
		accounts: map[string]*filling{},
		results:  make(chan filledResult),
	}
}

// Run makes the calls of a plan, leaving out days that became known meanwhile, and stores the
// answers. Faults of Weixin are logged; what they kept from being filled is returned, an entry
// for each account of the plan. When the context ends, the answers of calls under way are
// still waited for, for a few seconds, and stored; that is no error. An error is one of the
// store, and ends everything. Run is called once.
func (b *Backfill) Run(ctx context.Context, p FillPlan) ([]Filled, error) {
	b.plan = p
	b.filled = make([]Filled, len(p.Accounts))
	for i, a := range p.Accounts {
		b.filled[i] = Filled{Name: a.Name, AppID: a.AppID, Left: p.Calls[i]}
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
			timer.Reset(b.dispatch())
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
			b.absorbAll(res)
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
	b.look()
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
	acc := &filling{Account: b.plan.Accounts[b.next], Filled: &b.filled[b.next]}
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
	if !b.refreshed(acc) {
		return false
	}
	call, ok, waits := b.nextCall(acc, now)
	switch {
	case ok:
		acc.running = true
		b.running++
		go func() {
			res := filledResult{filling: acc, call: call}
			res.answer, res.err = ask(b.calls, acc.Caller, call)
			b.results <- res
		}()
	case !waits:
		b.end(acc)
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
		if acc.Ended[api] != nil {
			continue
		}
		c, ok := stretch(api, b.plan.Since, acc.cursors[api], b.plan.wanted(acc.ledgers[api]))
		switch {
		case !ok:
		case acc.holds[api].After(now):
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
	for api, until := range acc.holds {
		if acc.Ended[api] != nil || acc.Left[api] == 0 {
			continue
		}
		if !until.After(now) {
			return time.Time{}
		}
		first = earlier(first, until)
	}
	return first
}

// look marks the accounts that others may have written about.
func (b *Backfill) look() {
	changed, err := b.watch.changed(b.life)
	if err != nil {
		b.fault = err
		return
	}
	if len(changed) == 0 {
		return
	}
	b.watch.taken()
	for _, appID := range changed {
		if acc := b.accounts[appID]; acc != nil {
			acc.ledgers = nil
		}
	}
}

// refreshed sees to it that the account's ledgers are there. It returns false if the store
// fails.
func (b *Backfill) refreshed(acc *filling) bool {
	if acc.ledgers != nil {
		return true
	}
	ledgers, err := b.load(b.life, b.plan.Since, acc.Account.AppID)
	if err != nil {
		b.fault = err
		return false
	}
	acc.ledgers = &ledgers
	for api := range datacube.APIs {
		b.count(acc, api)
	}
	return true
}

// count finds out how many calls are left.
func (b *Backfill) count(acc *filling, api datacube.API) {
	acc.Left[api] = len(Stretches(api, b.plan.Since, acc.cursors[api], b.plan.wanted(acc.ledgers[api])))
}

// load returns what is known of an account's days.
func (b *Backfill) load(ctx context.Context, since datacube.Date, appID string) (Ledgers, error) {
	ledgers := Ledgers{}
	known, err := b.store.Load(ctx, since, appID)
	if err != nil {
		return ledgers, err
	}
	if account := known[appID]; account != nil {
		for api, states := range account.States {
			ledgers[api] = Ledger{states}
		}
	}
	return ledgers, nil
}

// end takes the account off the list.
func (b *Backfill) end(acc *filling) {
	delete(b.accounts, acc.Account.AppID)
	for i, other := range b.active {
		if other == acc {
			b.active = append(b.active[:i], b.active[i+1:]...)
			break
		}
	}
	acc.ledgers = nil
	acc.reported.Ended = true
	b.logFilled(acc)
}

// show tells how it stands with the account.
func (b *Backfill) show(acc *filling) {
	now := b.now()
	s := FillStatus{Account: acc.Account.Name, Done: acc.Calls, Ended: acc.reported.Ended}
	for _, left := range acc.Left {
		s.Left += left
	}
	if until := acc.resume(now); until.After(now) && !acc.running && !s.Ended {
		s.Resume = until
	}
	acc.reported = s
	b.progress.Show(s)
}

// absorbAll takes a result and all that arrived with it, and stores the answers in one
// transaction.
func (b *Backfill) absorbAll(first filledResult) {
	results := []filledResult{first}
	for more := true; more; {
		select {
		case res := <-b.results:
			results = append(results, res)
		default:
			more = false
		}
	}
	var answered []filledResult
	for _, res := range results {
		b.running--
		res.filling.running = false
		switch {
		case res.err == nil:
			answered = append(answered, res)
		case b.calls.Err() == nil: // else the end of all
			b.failed(res)
		}
	}
	if b.fault == nil && len(answered) > 0 {
		b.keep(answered)
	}
	for _, res := range results {
		b.show(res.filling)
	}
}

// keep stores answers and takes over what they say.
func (b *Backfill) keep(answered []filledResult) {
	b.look() // what an answer means depends on what is known
	now := b.now()
	records := make([][]store.Record, len(answered))
	vanished := make([][]datacube.Date, len(answered))
	var all []store.Record
	for i, res := range answered {
		acc := res.filling
		if !b.refreshed(acc) {
			return
		}
		records[i], vanished[i] = absorb(now, acc.Account.AppID, res.call, *acc.ledgers, res.answer)
		all = append(all, records[i]...)
	}
	revisions, err := b.store.Save(b.life, all)
	if err != nil {
		b.fault = fmt.Errorf("keeping answers: %w", err)
		return
	}
	for i, res := range answered {
		acc := res.filling
		if len(res.answer.damaged) > 0 {
			b.logDamaged(acc.Account, res.call, newDamage(res.call.API, res.answer), time.Time{})
		}
		b.logAnswer(acc.Account, res.call, res.answer, records[i])
		for _, date := range vanished[i] {
			b.logVanished(acc.Account, res.call.API, date)
		}
		acc.Vanished += len(vanished[i])
		acc.learn(res.call, records[i])
		b.count(acc, res.call.API)
	}
	for _, revision := range revisions {
		if acc := b.accounts[revision.AppID]; acc != nil {
			acc.Revisions++
			b.logRevised(acc.Account, revision)
		}
	}
}

// learn takes over a stored answer.
func (acc *filling) learn(c Call, records []store.Record) {
	api := c.API
	damaged := false
	acc.cursors[api] = c.Begin - 1
	acc.refused[api] = 0
	acc.failing[api], acc.retries[api] = time.Time{}, nil
	for _, r := range records {
		switch {
		case r.State.Damaged > 0:
			acc.Damaged[api]++
			damaged = true
		case r.State.Status != store.Known:
			acc.NotThere[api]++
		case acc.ledgers[api].At(r.Date).Status != store.Known:
			acc.Learned[api]++
			if r.State.Empty {
				acc.Empty[api]++
			}
		default:
			acc.Confirmed[api]++
		}
		acc.ledgers[api].Set(r.Date, r.State)
	}
	if damaged {
		acc.Failures++
	} else {
		acc.Calls++
	}
}

// failed takes over a failed attempt: what passes by itself is waited for, for a while, and
// the rest is given up.
func (b *Backfill) failed(res filledResult) {
	acc, api, f, now := res.filling, res.call.API, newFault(res.err), b.now()
	acc.Failures++
	acc.ledgers = nil // it may take long until they are needed
	if acc.retries[api] == nil {
		acc.retries[api] = newRetries()
	}
	next := f.next(now, acc.retries[api])
	givenUp := b.givesUp(acc, api, f, now)
	for other := range datacube.APIs {
		switch {
		case other != api && !f.policy.account:
		case !givenUp:
			acc.holds[other] = next
		case acc.Ended[other] == nil && acc.Left[other] > 0:
			acc.Ended[other] = &FillEnd{Reason: f.reason, Text: f.text(), Advice: f.advice}
		}
	}
	if givenUp {
		b.logGivenUp(acc, res.call, f)
	} else {
		b.logFillFailed(acc, res.call, f, next)
	}
}

// givesUp reports whether a fault ends the call that it kept from being answered.
func (b *Backfill) givesUp(acc *filling, api datacube.API, f fault, now time.Time) bool {
	switch {
	case f.reason == snapshot.Reason(weixin.Quota):
		acc.refused[api]++
		return !b.plan.Wait || acc.refused[api] > fruitlessDays
	case f.policy.person:
		return true
	case acc.failing[api].IsZero():
		acc.failing[api] = now
	}
	return now.Sub(acc.failing[api]) >= patience
}
