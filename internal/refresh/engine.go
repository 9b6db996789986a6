package refresh

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// RecordStore reads and saves what is known of days; *store.Store is one.
type RecordStore interface {
	// Load returns what is stored of the given accounts, of all if none is given, by app
	// id; states are those of days from since on.
	Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error)
	// Save stores all records or none.
	Save(ctx context.Context, records []store.Record) ([]store.Revision, error)
}

// engine is what a Refresher and a Backfill share. It carries data one way:
//
//	Weixin -> result -> outcome -> store -> ledgers
//
// The planner that embeds it decides which call is made when, what follows from a failure, and what is
// counted and shown. A is the planner's type of account.
type engine[A tracked] struct {
	reporter
	store   RecordStore
	now     func() time.Time
	changes changeWatcher
	results chan result[A]

	// What follows belongs to the goroutine of Run.
	runCtx   context.Context //nolint:containedctx // that of Run, for the store
	accounts map[string]A    // by app id
	since    datacube.Date   // the first day that the ledgers hold
}

func newEngine[A tracked](r reporter, s RecordStore, changes ChangeReader, now func() time.Time) engine[A] {
	return engine[A]{
		reporter: r, store: s, now: now, changes: changeWatcher{reader: changes},
		results: make(chan result[A]), accounts: map[string]A{},
	}
}

// tracked is an account of a planner.
type tracked interface {
	base() *baseAccount
}

// baseAccount is the part of an account that the engine works with.
type baseAccount struct {
	Account
	ctx     context.Context //nolint:containedctx // that of the account's calls
	removed bool            // from the configuration; what is still answered is dropped
	running bool            // a call is under way
	loaded  bool            // the ledgers hold what is stored
	ledgers Ledgers
	holds   [datacube.APIs]hold
	retries [datacube.APIs]*backoff.ExponentialBackOff // nil unless the last attempt failed and is repeated with a backoff
}

func (a *baseAccount) base() *baseAccount { return a }

// result is how a call ended.
type result[A tracked] struct {
	account A
	call    Call
	answer  answer
	err     error
}

// outcome is what an answer means, given what was known.
type outcome[A tracked] struct {
	result[A]
	at        time.Time // when the answer arrived
	records   []store.Record
	vanished  []datacube.Date // known days with traffic for which Weixin had no rows
	damage    *failure        // nil unless rows could not be understood
	revisions []store.Revision
	days      dayCounts
}

// dayCounts counts the days of an answer by what became of them.
type dayCounts struct {
	learned, empty, confirmed, notThere, damaged int
}

// start makes a call in the background. Its result arrives on results.
func (e *engine[A]) start(account A, c Call) {
	a := account.base()
	a.running = true
	ctx, caller := a.ctx, a.Caller
	go func() {
		res := result[A]{account: account, call: c}
		res.answer, res.err = ask(ctx, caller, c)
		e.results <- res
	}()
}

// gather returns a result and all others that have arrived by now.
func (e *engine[A]) gather(first result[A]) []result[A] {
	results := []result[A]{first}
	for {
		select {
		case res := <-e.results:
			results = append(results, res)
		default:
			return results
		}
	}
}

// end notes that calls have ended, and returns those that were answered and those that failed. It leaves
// out calls of removed accounts, and calls that were canceled.
func (e *engine[A]) end(results []result[A]) (answered, failed []result[A]) { //nolint:nonamedreturns // two lists that need names
	for _, res := range results {
		a := res.account.base()
		a.running = false
		switch {
		case a.removed:
		case res.err == nil:
			answered = append(answered, res)
		case a.ctx.Err() == nil:
			failed = append(failed, res)
		}
	}
	return answered, failed
}

// interpret turns answers into records by what the ledgers hold.
func (e *engine[A]) interpret(answered []result[A]) []outcome[A] {
	now := e.now()
	outcomes := make([]outcome[A], len(answered))
	for i, res := range answered {
		a, o := res.account.base(), &outcomes[i]
		o.result, o.at = res, now
		o.records, o.vanished = interpret(now, a.AppID, res.call, a.ledgers, res.answer)
		if len(res.answer.damaged) > 0 {
			damage := newDamage(res.call.API, res.answer)
			o.damage = &damage
		}
	}
	return outcomes
}

// save stores the records of all outcomes in one transaction, and notes and logs which known days they
// revised.
func (e *engine[A]) save(outcomes []outcome[A]) error {
	var records []store.Record
	byAppID := make(map[string]*outcome[A], len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		records = append(records, o.records...)
		byAppID[o.account.base().AppID] = o // an account has one call under way
	}
	revisions, err := e.store.Save(e.runCtx, records)
	if err != nil {
		return err
	}
	for _, revision := range revisions {
		o := byAppID[revision.AppID]
		if o == nil || o.account.base().removed {
			continue
		}
		o.revisions = append(o.revisions, revision)
		e.logRevised(o.account.base().Account, revision)
	}
	return nil
}

// learn takes outcomes over into the ledgers, ends the waits of the calls, counts the days and logs what
// the answers said.
func (e *engine[A]) learn(outcomes []outcome[A]) {
	for i := range outcomes {
		o := &outcomes[i]
		a, api := o.account.base(), o.call.API
		a.holds[api], a.retries[api] = hold{}, nil
		e.logAnswer(a.Account, o.call, o.answer, o.records)
		for _, date := range o.vanished {
			e.logVanished(a.Account, api, date)
		}
		for _, r := range o.records {
			o.days.count(a.ledgers[api].At(r.Date), r.State)
			a.ledgers[api].Set(r.Date, r.State)
		}
	}
}

func (n *dayCounts) count(before, after store.State) {
	switch {
	case after.Damaged > 0:
		n.damaged++
	case after.Status != store.Known:
		n.notThere++
	case before.Status == store.Known:
		n.confirmed++
	default:
		n.learned++
		if after.Empty {
			n.empty++
		}
	}
}

// load reads the ledgers of an account from the store, and reports whether it had to.
func (e *engine[A]) load(a *baseAccount) (bool, error) {
	if a.loaded {
		return false, nil
	}
	stored, err := e.store.Load(e.runCtx, e.since, a.AppID)
	if err != nil {
		return false, err
	}
	a.loaded = true
	a.replace(stored[a.AppID])
	return true, nil
}

// catchUp takes over into the ledgers what other processes have stored, and returns the accounts concerned.
func (e *engine[A]) catchUp() (map[string]*store.Account, error) {
	changed, err := e.changes.changed(e.runCtx)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	var appIDs []string
	for _, appID := range changed {
		if account, ok := e.accounts[appID]; ok && account.base().loaded {
			appIDs = append(appIDs, appID)
		}
	}
	var stored map[string]*store.Account
	if len(appIDs) > 0 {
		if stored, err = e.store.Load(e.runCtx, e.since, appIDs...); err != nil {
			return nil, err
		}
	}
	e.changes.acknowledge()
	for appID, account := range stored {
		e.accounts[appID].base().replace(account)
	}
	return stored, nil
}

// replace overwrites what the ledgers hold of the days that are stored.
func (a *baseAccount) replace(stored *store.Account) {
	if stored == nil {
		return
	}
	for api, states := range stored.States {
		ledger := &a.ledgers[api]
		if ledger.Len() == 0 {
			ledger.States = states
			continue
		}
		for date, state := range states.All() {
			ledger.Set(date, state)
		}
	}
}

// add takes over days that are stored and that the ledgers do not hold.
func (a *baseAccount) add(stored *store.Account) {
	if stored == nil {
		return
	}
	for api, states := range stored.States {
		ledger := &a.ledgers[api]
		if ledger.Len() == 0 {
			ledger.States = states
			continue
		}
		for date, state := range states.All() {
			if ledger.At(date).Status == store.NeverAsked {
				ledger.Set(date, state)
			}
		}
	}
}

// unload frees the ledgers.
func (a *baseAccount) unload() { a.ledgers, a.loaded = Ledgers{}, false }

// hold keeps a call from being made for a while.
type hold struct {
	since, until time.Time
	reason       snapshot.Reason
	cause        snapshot.Cause
}

// ends returns when the call may be made again, or a time that is not after now where it may be made now.
func (h hold) ends(now time.Time) time.Time {
	if now.Before(h.since) {
		return time.Time{} // the clock was put back: the end means nothing
	}
	return h.until
}

// failure classifies the error of a failed attempt and returns when the next attempt may be made.
func (a *baseAccount) failure(api datacube.API, err error, now time.Time) (failure, time.Time) {
	f, retries := newFailure(err), a.retries[api]
	if retries == nil {
		retries = newRetries()
	}
	next := f.next(now, retries)
	a.retries[api] = nil
	if f.backsOff() {
		a.retries[api] = retries
	}
	return f, next
}

// hold keeps the call from being made before next, and the account's other call, too, if the failure concerns it.
func (a *baseAccount) hold(api datacube.API, f failure, now, next time.Time) {
	h := hold{since: now, until: next, reason: f.reason, cause: f.cause}
	a.holds[api] = h
	for other := range a.holds {
		if f.policy.account && a.holds[other].ends(now).Before(next) {
			a.holds[other] = h
		}
	}
}
