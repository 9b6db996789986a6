// Package refresh fills the store from Weixin. A pure planner computes which calls are due; the Refresher makes them,
// stores the answers and publishes snapshots. A Backfill fills a range of older days.
package refresh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// publishEvery is the minimum time between two snapshots while calls are running. A snapshot refers to all accounts, so
// one for each answer would cost more than the answers.
const publishEvery = 100 * time.Millisecond

// retryLoadEvery is how soon a failed load of the ledgers is retried.
const retryLoadEvery = 10 * time.Second

// Store is what a Refresher needs of a store.Store. Its methods are called from one goroutine at a time.
type Store interface {
	RecordStore
	HoldStore
	Pruner
}

// HoldStore loads and saves until when calls are not made after a failure.
type HoldStore interface {
	SaveHolds(ctx context.Context, holds []store.Hold) error
	Holds(ctx context.Context, appIDs ...string) ([]store.Hold, error)
}

// Pruner removes all days before the given one and returns their number.
type Pruner interface {
	Prune(ctx context.Context, before datacube.Date) (int64, error)
}

// Publisher makes snapshots available to readers; *snapshot.Latest implements it. It owns the snapshot.
type Publisher interface {
	Publish(*snapshot.Snapshot)
}

// Config is the part of the configuration that a reload can change.
type Config struct {
	Settings
	// Accounts are all accounts; names and app ids must be unique.
	Accounts []Account
	// Interval is how often all accounts are planned. Planning also takes place at ReadyAt, and for an account after
	// each of its answers.
	Interval time.Duration
	// Concurrency is the maximum number of running calls; slow calls do not count.
	Concurrency int
	// Pace is the average minimum time between two requests to Weixin of all exporters that share the store; 0: no
	// limit.
	Pace time.Duration
	// SetShare is called with the part of all slots with accounts that this Refresher owns, from 0 to 1: when the
	// configuration is applied, and when that part changes. It divides the rate of requests between the exporters that
	// share the store. Calls may be waiting for the rate even when the part is 0. nil: the rate is not divided.
	SetShare func(part float64)
	// RetentionDays is how many days are kept in the store; 0: all.
	RetentionDays int
}

// nextPlan returns when to plan after now: an interval later, or at ReadyAt.
func (c Config) nextPlan(now time.Time) time.Time {
	next := now.Add(c.Interval)
	if ready := datacube.DateOf(now).Start().Add(c.ReadyAt); ready.After(now) && ready.Before(next) {
		return ready
	}
	return next
}

// Options are the dependencies of a Refresher.
type Options struct {
	Store Store
	// Changes reports what other processes write to the store; nil if there are none.
	Changes   ChangeReader
	Publisher Publisher
	Logger    log.Logger
	Now       func() time.Time
	// TrustedNow is a time that does not follow a host's clock that is temporarily wrong. The earlier one of it and Now
	// decides what must be certain: that days can be removed from the store and from the ledgers, and that a day without
	// rows had no traffic. nil: Now alone.
	TrustedNow func() time.Time
	// Sharing says for which accounts the Refresher may make calls. The other accounts are shown as other exporters have
	// stored them: their days, latest figures and last successes, but none of the failures, problems and quotas, which only
	// the exporter that makes the calls knows. What a Refresher counts are the results of its own calls. nil means
	// store.Alone.
	Sharing Sharing
}

// Refresher requests what is due, stores it and publishes it.
type Refresher struct {
	engine[*account]

	holds     HoldStore
	pruner    Pruner
	publisher Publisher
	configs   chan reconfigure

	// The fields below belong to the goroutine of Run.
	config     Config
	incomplete bool       // the ledgers lack days that may be stored, so nothing can be planned
	ordered    []*account // by name
	generation uint64     // of ordered, as in snapshots; 0 until there are accounts
	ready      queue      // accounts with a call due
	unproven   queue      // the same, but none of their calls has succeeded lately
	waiting    queue
	workers    workers
	pace       time.Duration // Config.Pace for this process alone; 0: no limit
	used       []func()      // releases the slots of ended calls; see releaseUsed
	nextSlow   time.Time     // when a running call becomes slow; zero if none will
	nextPlan   time.Time

	arrived     []result[*account] // calls that have ended and must be absorbed
	unstored    int                // how many of them have an answer to store
	absorbAt    time.Time          // when to absorb them even if others are running
	unpublished bool               // there are changes since the last snapshot
	nextPublish time.Time          // when to publish them even if calls are running
	pruned      datacube.Date      // the day on which the store was last pruned

	causes       causes  // of failed attempts
	quotas       causes  // of failed requests for quotas
	warnedRate   float64 // the lowest rate that was logged, in calls per second; 0: none
	unsavedHolds map[*account]struct{}
	unsaved      unsavedAnswers
	nextRelease  time.Time // see releaseOtherAddresses

	nextTakeOver  time.Time // when to retry a takeover that failed
	takeOverFails bool

	activity        atomic.Pointer[Activity]
	nextChangeCheck time.Time // when to check for changes by other processes
}

type reconfigure struct {
	config      Config
	reloadStore bool // instead of the configuration
	done        chan<- error
}

// New returns a Refresher. It starts nothing.
func New(o Options) *Refresher {
	return &Refresher{
		engine:       newEngine[*account](reporter{o.Logger}, o.Store, o.Changes, o.Sharing, o.Now, o.TrustedNow),
		holds:        o.Store,
		pruner:       o.Store,
		publisher:    o.Publisher,
		configs:      make(chan reconfigure),
		ready:        queue{less: byUrgency},
		unproven:     queue{less: byUrgency},
		waiting:      queue{less: byWake},
		causes:       causes{reporter: reporter{o.Logger}, failing: "refresh failed", again: "refresh recovered", groups: map[snapshot.Cause]*group{}},
		quotas:       causes{reporter: reporter{o.Logger}, failing: "cannot get the quota of the call", again: "quota of the call available again", groups: map[snapshot.Cause]*group{}},
		unsavedHolds: map[*account]struct{}{},
		unsaved:      unsavedAnswers{counts: map[string]int64{}},
	}
}

// ApplyConfig replaces the configuration of a running Refresher and returns when it is in force. Removed accounts make no
// further calls and are no longer shown, the others keep their state, and holds end except those that account.configure
// names. If it fails, nothing has changed.
func (r *Refresher) ApplyConfig(ctx context.Context, c Config) error {
	done := make(chan error, 1)
	select {
	case r.configs <- reconfigure{config: c, done: done}:
		return <-done
	case <-ctx.Done():
		return fmt.Errorf("applying the configuration to the refresher: %w", ctx.Err())
	}
}

// Run publishes what is stored and then refreshes until the context ends. While running, failures of Weixin and of the store
// are logged, shown and retried; Run returns an error only if the store cannot be read at the start. When it returns, no
// call is running.
func (r *Refresher) Run(ctx context.Context, c Config) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, end) })()
	r.runCtx = life
	r.slots.ready = r.slots.current() // before their accounts are read
	if err := r.changes.begin(life, r.now()); err != nil && ctx.Err() == nil {
		return err
	}
	if err := r.apply(c); err != nil && ctx.Err() == nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		r.dispatch() //nolint:contextcheck // a call has the context of its account
		if r.absorbArrived() {
			r.dispatch() //nolint:contextcheck // as above
		}
		r.noteActivity()
		r.writeCauses()
		r.publishChanges()
		timer.Reset(r.untilNext())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case res := <-r.results:
			r.collect(res)
		case change := <-r.configs:
			if change.reloadStore {
				change.done <- r.reloadStore()
				continue
			}
			change.done <- r.apply(change.config)
		}
	}
	r.finish()
	end()
	for range r.workers.calls.Len() {
		res := <-r.results
		res.release()
	}
	for _, release := range r.used {
		release()
	}
	return nil
}

// apply applies a configuration.
func (r *Refresher) apply(c Config) error {
	now := r.now()
	since := r.ledgersSince(c, now)
	var missing []string
	for _, a := range c.Accounts {
		if r.accounts[a.AppID] == nil || since < r.since {
			missing = append(missing, a.AppID)
		}
	}
	stored := map[string]*store.Account{}
	if len(missing) > 0 {
		var err error
		if stored, err = r.store.Load(r.runCtx, since, missing...); err != nil {
			return fmt.Errorf("loading the accounts: %w", err)
		}
	}
	holds, added, err := r.loadHolds(c)
	if err != nil {
		return fmt.Errorf("loading the holds of accounts: %w", err)
	}
	r.setAccounts(c, stored)
	r.restore(holds, added)
	r.config, r.warnedRate = c, 0
	r.since = since
	r.noteShare()
	r.planAll(now)
	r.publish()
	return nil
}

// setAccounts replaces the accounts. Those that stay keep their state and their running calls.
func (r *Refresher) setAccounts(c Config, stored map[string]*store.Account) {
	former, shown := r.accounts, identities(r.ordered)
	r.accounts = make(map[string]*account, len(c.Accounts))
	r.ordered = r.ordered[:0:0]
	for _, a := range c.Accounts {
		acc := former[a.AppID]
		delete(former, a.AppID)
		if acc == nil {
			acc = newAccount(r.runCtx, a, stored[a.AppID])
		} else {
			acc.configure(a, stored[a.AppID], c.Quota, datacube.DateOf(r.now()))
		}
		r.accounts[a.AppID] = acc
		r.ordered = append(r.ordered, acc)
	}
	for _, gone := range former {
		gone.cancel()
		gone.removed = true
		r.leave(gone)
	}
	slices.SortFunc(r.ordered, func(a, b *account) int { return strings.Compare(a.Name, b.Name) })
	for i, acc := range r.ordered {
		acc.index = i
	}
	if !slices.Equal(shown, identities(r.ordered)) {
		r.generation++
	}
}

// ledgersSince returns the first day that must be in the ledgers. It uses the earlier of the two clocks, so that a clock
// that is ahead does not remove days.
func (r *Refresher) ledgersSince(c Config, now time.Time) datacube.Date {
	return c.ledgersSince(datacube.DateOf(earlier(now, r.trustedNow())) - 1)
}

// extendLedgers sets the first day of the ledgers. If it is earlier than before, for example because a clock was set back, the
// stored days are loaded: known days must not be requested or counted again. It returns false if that fails.
func (r *Refresher) extendLedgers(now time.Time) bool {
	since := r.ledgersSince(r.config, now)
	if since < r.since && len(r.ordered) > 0 {
		stored, err := r.store.Load(r.runCtx, since)
		if err != nil {
			r.logLoadFailed(err, r.incomplete)
			return false
		}
		for _, acc := range r.ordered {
			acc.add(stored[acc.AppID])
		}
	}
	r.since = since
	return true
}

// planAll plans all accounts.
func (r *Refresher) planAll(now time.Time) {
	r.nextPlan = r.config.nextPlan(now)
	r.prune()
	r.causes.review(now)
	r.quotas.review(now)
	r.ready.clear()
	r.unproven.clear()
	r.waiting.clear()
	if r.incomplete = !r.extendLedgers(now); r.incomplete {
		r.nextPlan = now.Add(retryLoadEvery)
		return
	}
	for _, acc := range r.ordered {
		if !acc.running { // otherwise its answer must still be interpreted by the ledgers
			acc.forget(r.since)
			r.enqueue(acc, now)
		}
	}
}

// enqueue plans an account and puts it into its queue. One whose calls other processes make is in no queue and is shown as
// it is stored.
func (r *Refresher) enqueue(acc *account, now time.Time) {
	acc.stale = false
	if r.incomplete {
		return // the next planAll enqueues all
	}
	if acc.updateProblemDays(now, r.config.Settings) {
		r.unpublished = true
	}
	if !r.slots.isReady(acc.slot) {
		r.setAside(acc)
		return
	}
	call, due, wake := acc.plan(now, r.config.Settings)
	if due {
		acc.next = call
		if acc.unproven() {
			r.unproven.add(acc)
			return
		}
		r.ready.add(acc)
		return
	}
	acc.wake = wake
	r.waiting.add(acc)
}

// dispatch starts calls that are due, up to the limit.
func (r *Refresher) dispatch() {
	now := r.now()
	r.retrySave(now)
	if !r.storeFailing() {
		r.followSlots(now)
	}
	if !now.Before(r.nextPlan) || r.nextPlan.After(now.Add(r.config.Interval)) {
		r.planAll(now) // the second case: the clock was set back
	}
	r.checkChanges(now)
	for acc := r.waiting.first(); acc != nil && !acc.wake.IsZero() && !now.Before(acc.wake); acc = r.waiting.first() {
		r.enqueue(r.waiting.take(), now)
	}
	r.nextSlow = time.Time{}
	if r.storeFailing() {
		return // until all answers are stored
	}
	for r.ready.first() != nil || r.unproven.first() != nil {
		r.nextSlow = r.workers.update(now, r.config, r.pace)
		from := r.nextReady()
		if from == nil || r.workers.held() >= r.config.Concurrency {
			return
		}
		acc := from.take()
		if acc.stale {
			r.enqueue(acc, now)
			continue
		}
		// If the slot cannot be used, it was lost just now: followSlots will notice, and whether it is gained again.
		if release, ok := r.slots.use(acc.slot); ok {
			acc.underway = r.workers.begin(acc, now)
			r.start(acc, acc.next, release)
		}
	}
	r.nextSlow = time.Time{}
}

// untilNext returns how long to wait unless a call ends before.
func (r *Refresher) untilNext() time.Duration {
	now := r.now()
	next := r.nextPlan
	if r.changes.reader != nil && !r.storeFailing() && r.nextChangeCheck.Before(next) {
		next = r.nextChangeCheck
	}
	if acc := r.waiting.first(); acc != nil && !acc.wake.IsZero() && acc.wake.Before(next) {
		next = acc.wake
	}
	for _, at := range []time.Time{r.nextSlow, r.causes.due(now), r.quotas.due(now)} {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if r.storeFailing() && r.unsaved.next.Before(next) {
		next = r.unsaved.next
	}
	wait := next.Sub(now)
	if !r.storeFailing() && r.slots.shared() {
		wait = min(wait, checkSlotsEvery)
	}
	if len(r.arrived) > 0 {
		wait = min(wait, gatherFor, r.absorbAt.Sub(now))
	}
	if r.unpublished {
		wait = min(wait, publishEvery, r.nextPublish.Sub(now))
	}
	return max(wait, 0)
}

// publishChanges publishes changes: at once if no call is running or the last snapshot is old enough.
func (r *Refresher) publishChanges() {
	if r.unpublished && (r.workers.calls.Len() == 0 || reached(r.nextPublish, r.now(), publishEvery)) {
		r.publish()
	}
}

// publish publishes the state of all accounts.
func (r *Refresher) publish() {
	s := &snapshot.Snapshot{
		Accounts: make([]*snapshot.Account, len(r.ordered)), Generation: r.generation,
		Store: r.unsaved.problem, StoreFailures: r.unsaved.counts,
	}
	for i, acc := range r.ordered {
		acc.published = true
		s.Accounts[i] = acc.shown
	}
	r.publisher.Publish(s)
	r.nextPublish, r.unpublished = r.now().Add(publishEvery), false
}

// prune removes days beyond the retention, once a day. It uses the earlier of the two clocks, so that one that is ahead does not
// remove days.
func (r *Refresher) prune() {
	today := datacube.DateOf(r.certain())
	if r.config.RetentionDays == 0 || r.pruned == today || r.storeFailing() {
		return
	}
	before := today - datacube.Date(r.config.RetentionDays)
	removed, err := r.pruner.Prune(r.runCtx, before)
	if err != nil {
		r.logPruneFailed(before, err)
		return
	}
	r.pruned = today
	if removed > 0 {
		r.logPruned(before, removed)
	} else if !r.slots.shared() { // otherwise another exporter may have removed the days
		return
	}
	stored, err := r.store.Load(r.runCtx, today)
	if err != nil {
		r.logPruneFailed(before, err)
		return
	}
	for _, acc := range r.ordered {
		acc.show(stored[acc.AppID])
	}
	r.unpublished = true
}
