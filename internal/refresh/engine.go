package refresh

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// RecordStore loads and saves days; store.Store implements it.
type RecordStore interface {
	// Load returns what is stored for the given accounts, or for all if none is given, by app id. It returns
	// the states of the days from since on.
	Load(ctx context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error)
	// Save stores all records or none. It returns which known days they revised.
	Save(ctx context.Context, records []store.Record) ([]store.Revision, error)
}

// engine is the common part of Refresher and Backfill. Data flows in one direction:
//
//	Weixin -> result -> outcome -> store -> ledgers
//
// The planner that embeds it decides when each call is made, how to react to a failure, and what is counted and
// shown. A is the planner's type of account.
type engine[A tracked] struct {
	reporter
	store      RecordStore
	now        func() time.Time
	trustedNow func() time.Time // see Options.TrustedNow
	changes    changeWatcher
	slots      slots
	results    chan result[A]

	// The fields below belong to the goroutine of Run.
	runCtx   context.Context //nolint:containedctx // of Run, for access to the store
	accounts map[string]A    // by app id
	since    datacube.Date   // the first day in the ledgers
}

// newEngine returns an engine. Without sharing it makes the calls of all accounts, and without trustedNow it trusts now.
func newEngine[A tracked](r reporter, s RecordStore, changes ChangeReader, sharing Sharing, now, trustedNow func() time.Time) engine[A] {
	if sharing == nil {
		sharing = store.Alone{}
	}
	if trustedNow == nil {
		trustedNow = now
	}
	return engine[A]{
		reporter: r, store: s, now: now, trustedNow: trustedNow, changes: changeWatcher{reader: changes}, slots: slots{sharing: sharing},
		results: make(chan result[A]), accounts: map[string]A{},
	}
}

// certain returns a time that has passed even if one of the two clocks is ahead.
func (e *engine[A]) certain() time.Time { return earlier(e.now(), e.trustedNow()) }

// tracked is a planner's account.
type tracked interface {
	base() *baseAccount
}

// baseAccount is the part of an account that the engine uses.
type baseAccount struct {
	Account
	slot    int             // of the store
	epoch   int64           // of the slot when the last call was started
	ctx     context.Context //nolint:containedctx // of the account's calls
	removed bool            // from the configuration; answers that still arrive are dropped
	running bool            // a call is under way
	loaded  bool            // the ledgers have been loaded
	ledgers Ledgers
	holds   [datacube.APIs]hold
	retries [datacube.APIs]*backoff.ExponentialBackOff // nil unless the last attempt failed and is retried with backoff
}

func (a *baseAccount) base() *baseAccount { return a }

// result is how a call ended.
type result[A tracked] struct {
	account A
	call    Call
	answer  answer
	err     error
	release func() // ends the use of the account's slot
}

// outcome is an answer, interpreted by what was known.
type outcome[A tracked] struct {
	result[A]
	at        time.Time // when the answer arrived
	records   []store.Record
	vanished  []datacube.Date // known days with traffic for which Weixin returned no rows
	damage    *failure        // nil if all rows were understood
	outdated  []outdatedDay   // that were not stored, because of what other processes have stored of them
	revisions []store.Revision
	days      dayCounts
	lost      bool // not stored, because another process has taken over the account
}

// outdatedDay is a day that is stored in another state than the one by which an answer was interpreted.
type outdatedDay struct {
	date     datacube.Date
	stored   store.State
	other    store.State // of the other API
	hasOther bool        // other was read
	damaged  int         // State.Damaged of the answer
}

// isOutdated reports whether the answer was not stored for a day.
func (o *outcome[A]) isOutdated(date datacube.Date) bool {
	return slices.ContainsFunc(o.outdated, func(day outdatedDay) bool { return day.date == date })
}

// dayCounts counts the days of an answer by what became of them.
type dayCounts struct {
	learned, empty, confirmed, notReady, damaged int
}

// start makes a call in a goroutine of its own, which sends its result to results. The result has the release of the
// account's slot, which is in use.
func (e *engine[A]) start(account A, c Call, release func()) {
	a := account.base()
	a.running, a.epoch = true, e.slots.ready[a.slot]
	ctx, caller := a.ctx, a.Caller
	go func() {
		res := result[A]{account: account, call: c, release: release}
		res.answer, res.err = ask(ctx, caller, c)
		e.results <- res
	}()
}

// gather returns first and all results that have arrived.
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

// end marks calls as ended, and returns those that were answered and those that failed. It drops calls of removed
// accounts and canceled calls.
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

// interpret interprets answers by the ledgers.
func (e *engine[A]) interpret(answered []result[A]) []outcome[A] {
	now, certain := e.now(), e.certain()
	outcomes := make([]outcome[A], len(answered))
	for i, res := range answered {
		a, o := res.account.base(), &outcomes[i]
		o.result, o.at = res, now
		o.records, o.vanished = interpret(now, certain, a.AppID, res.call, a.ledgers, res.answer)
		if len(res.answer.damaged) > 0 {
			damage := newDamage(res.call.API, res.answer)
			o.damage = &damage
		}
	}
	return outcomes
}

// save stores the records of all outcomes in one transaction, and logs revisions and adds them to the outcomes. Those of
// accounts that another process has taken over are not stored but marked as lost.
func (e *engine[A]) save(outcomes []outcome[A]) error {
	byAppID := make(map[string]*outcome[A], len(outcomes))
	for i := range outcomes {
		byAppID[outcomes[i].account.base().AppID] = &outcomes[i] // an account has only one call running
	}
	revisions, err := e.saveOwned(outcomes, byAppID)
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

// saveOwned is Save for the records of the outcomes that are not lost and not outdated.
func (e *engine[A]) saveOwned(outcomes []outcome[A], byAppID map[string]*outcome[A]) ([]store.Revision, error) {
	lost := 0
	current := e.slots.current()
	for i := range outcomes {
		if o := &outcomes[i]; !o.lost && e.slots.isOver(o.account.base(), &current) {
			o.lost = true
			lost++
		}
	}
	for {
		var records []store.Record
		for i := range outcomes {
			if !outcomes[i].lost {
				records = append(records, outcomes[i].records...)
			}
		}
		revisions, err := e.store.Save(e.runCtx, records)
		if outdated, ok := errors.AsType[*store.OutdatedError](err); ok {
			e.dropOutdated(outcomes, outdated)
			continue
		}
		before := lost
		for _, appID := range notOwned(err) {
			if o := byAppID[appID]; o != nil && !o.lost {
				o.lost = true
				e.slots.refuse(o.account.base())
				lost++
			}
		}
		if lost == before {
			if lost > 0 {
				e.logTakenOver(lost)
			}
			return revisions, err
		}
	}
}

// dropOutdated removes the records that Save has refused, which are some of those of all outcomes that are not lost. A record that
// may have been refused because of the time of a clock that was ahead is tried again without regard to that time.
func (e *engine[A]) dropOutdated(outcomes []outcome[A], refused *store.OutdatedError) {
	now := e.now()
	found := make(map[int]store.OutdatedRecord, len(refused.Records))
	for _, r := range refused.Records {
		found[r.Index] = r
	}
	index := 0
	for i := range outcomes {
		o := &outcomes[i]
		if o.lost {
			continue
		}
		kept := make([]store.Record, 0, len(o.records))
		for _, r := range o.records {
			f, isRefused := found[index]
			index++
			switch {
			case !isRefused:
				kept = append(kept, r)
			case isAhead(f.Stored.AskedAt, now) && !f.Stored.AskedAt.Equal(r.Before.AskedAt):
				r.Before.AskedAt = f.Stored.AskedAt
				kept = append(kept, r)
			default:
				o.outdated = append(o.outdated, outdatedDay{r.Date, f.Stored, f.Other, r.NeedsOther(), r.State.Damaged})
				if account, ok := e.accounts[r.AppID]; ok { // another one than that of the outcome if it was removed and added
					account.base().ledgers[r.API].refuse(r.Date, r.State.AskedAt)
				}
			}
		}
		o.records = kept
	}
}

// learn updates the ledgers, ends the holds of the calls, counts the days and logs the answers.
func (e *engine[A]) learn(outcomes []outcome[A]) {
	for i := range outcomes {
		o := &outcomes[i]
		a, api := o.account.base(), o.call.API
		a.holds[api], a.retries[api] = hold{}, nil
		e.logAnswer(a.Account, o.call, o.answer, o.records)
		o.vanished = slices.DeleteFunc(o.vanished, o.isOutdated)
		for _, date := range o.vanished {
			e.logVanished(a.Account, api, date)
		}
		for _, r := range o.records {
			o.days.count(a.ledgers[api].At(r.Date), r.State)
			a.ledgers[api].Set(r.Date, r.State)
		}
		for _, day := range o.outdated {
			a.ledgers[api].Set(day.date, day.stored)
			if day.stored.Status != store.Known {
				o.days.count(day.stored, store.State{Status: store.NotReady, Damaged: day.damaged})
			}
			if day.hasOther { // by which the day cannot be without traffic
				a.ledgers[datacube.APIs-1-api].Set(day.date, day.other)
			}
		}
	}
}

func (n *dayCounts) count(before, after store.State) {
	switch {
	case after.Damaged > 0:
		n.damaged++
	case after.Status != store.Known:
		n.notReady++
	case before.Status == store.Known:
		n.confirmed++
	default:
		n.learned++
		if after.Empty {
			n.empty++
		}
	}
}

// load loads the ledgers of an account unless they are loaded, and reports whether it did.
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

// catchUp updates the ledgers with what other processes have stored, and returns the accounts concerned.
func (e *engine[A]) catchUp() (map[string]*store.Account, error) {
	began := e.now()
	changed, err := e.changes.changed(e.runCtx)
	if err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		e.changes.caughtUpAt(began)
		return nil, nil //nolint:nilnil // an empty map
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
	e.changes.caughtUpAt(began)
	for appID, account := range stored {
		e.accounts[appID].base().replace(account)
	}
	return stored, nil
}

// replace overwrites the days of the ledgers that are stored.
func (a *baseAccount) replace(stored *store.Account) { a.merge(stored, true) }

// add adds stored days that are not in the ledgers.
func (a *baseAccount) add(stored *store.Account) { a.merge(stored, false) }

func (a *baseAccount) merge(stored *store.Account, overwrite bool) {
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
			if overwrite || ledger.At(date).Status == store.NeverAsked {
				ledger.Set(date, state)
			}
		}
	}
}

// unload frees the memory of the ledgers.
func (a *baseAccount) unload() { a.ledgers, a.loaded = Ledgers{}, false }

// hold keeps a call from being made until a certain time.
type hold struct {
	since, until time.Time
	reason       snapshot.Reason
	cause        snapshot.Cause
}

// ends returns when the call may be made; a time not after now if it may be made now.
func (h hold) ends(now time.Time) time.Time {
	if isAhead(h.since, now) {
		return time.Time{} // the clock was set back, so the end is meaningless
	}
	return h.until
}

// failure classifies the error of a failed attempt and returns when to try again.
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

// hold holds the call until next, and also the account's other call if the failure concerns the account.
func (a *baseAccount) hold(api datacube.API, f failure, now, next time.Time) {
	h := hold{since: now, until: next, reason: f.reason, cause: f.cause}
	a.holds[api] = h
	for other := range a.holds {
		if f.policy.account && a.holds[other].ends(now).Before(next) {
			a.holds[other] = h
		}
	}
}
