// Package refresh keeps the store filled from Weixin: a pure planner says what is due, and
// the Refresher carries it out and publishes what is known.
package refresh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// publishEvery is the shortest time between two snapshots while calls are under way. Each
// names all accounts, so one for each of many answers would cost more than the answers.
const publishEvery = 100 * time.Millisecond

// retryLoadEvery is how soon reading the store is tried again where nothing can be done without.
const retryLoadEvery = 10 * time.Second

// Store is what a Refresher needs of a *store.Store. Its methods are called from one goroutine at a time.
type Store interface {
	RecordStore
	HoldStore
	Pruner
}

// HoldStore reads and saves until when failed calls are not made again.
type HoldStore interface {
	SaveHolds(ctx context.Context, holds []store.Hold) error
	Holds(ctx context.Context, appIDs ...string) ([]store.Hold, error)
}

// Pruner removes all days before the given one and returns how many there were.
type Pruner interface {
	Prune(ctx context.Context, before datacube.Date) (int64, error)
}

// Publisher shows what is known; *snapshot.Latest is one. It owns what it is given.
type Publisher interface {
	Publish(*snapshot.Snapshot)
}

// Config is what a reload can change.
type Config struct {
	Settings
	// Accounts are all accounts; names and app ids are unique.
	Accounts []Account
	// Interval is how often the refresher looks what is due. It also looks when yesterday
	// may be asked for, and after each answer.
	Interval time.Duration
	// Concurrency is how many calls are under way at once, at the most; those that have become
	// slow do not count.
	Concurrency int
	// Pace is the shortest time between two requests to Weixin on average; 0 where there is none.
	Pace time.Duration
	// RetentionDays is how many days are kept; 0 keeps all.
	RetentionDays int
}

// nextPlan returns when to look after now: an interval later, or when yesterday may be
// asked for.
func (c Config) nextPlan(now time.Time) time.Time {
	next := now.Add(c.Interval)
	if ready := datacube.DateOf(now).Start().Add(c.ReadyAt); ready.After(now) && ready.Before(next) {
		return ready
	}
	return next
}

// Options are the parts that a Refresher works with.
type Options struct {
	Store Store
	// Changes tells what other processes write into the store; nil: there are none.
	Changes   ChangeReader
	Publisher Publisher
	Logger    log.Logger
	Now       func() time.Time
	// Believed is the instant that what cannot be undone takes as now: removing days from the
	// store and forgetting what is known of them. A clock that is wrong for a while must do
	// neither. nil: Now.
	Believed func() time.Time
}

// Refresher asks Weixin for what is due, stores it and publishes it.
type Refresher struct {
	engine[*account]

	holds     HoldStore
	pruner    Pruner
	publisher Publisher
	believed  func() time.Time
	configs   chan reconfigure

	// All that follows belongs to the goroutine of Run.
	config     Config
	incomplete bool       // the ledgers lack days that may be stored, so nothing can be due
	ordered    []*account // by name
	ready      queue      // accounts that answer
	unproven   queue      // those that are ready, too, and may hang
	waiting    queue
	workers    workers
	nextSlow   time.Time // when a call under way becomes slow; zero if none will
	nextPlan   time.Time

	arrived     []result[*account] // what has ended and is still to be absorbed
	absorbAt    time.Time          // when to do so although more is under way
	unpublished bool               // something has changed that is not shown yet
	nextPublish time.Time          // when to show it although more is under way
	pruned      datacube.Date      // the day on which the store was last pruned

	causes       causes  // of failed attempts
	quotas       causes  // of failed questions for quotas
	warnedRate   float64 // the lowest rate that was warned of, in calls a second; 0: none yet
	unsavedHolds map[*account]struct{}
	unsaved      unsavedAnswers
	nextRelease  time.Time // see releaseOtherAddresses

	nextChangeCheck time.Time // when to look what others have written
}

type reconfigure struct {
	config      Config
	reloadStore bool // the store rather than the configuration
	done        chan<- error
}

// New returns a Refresher for Run. It starts nothing.
func New(o Options) *Refresher {
	if o.Believed == nil {
		o.Believed = o.Now
	}
	return &Refresher{
		engine:       newEngine[*account](reporter{o.Logger}, o.Store, o.Changes, o.Now),
		holds:        o.Store,
		pruner:       o.Store,
		publisher:    o.Publisher,
		believed:     o.Believed,
		configs:      make(chan reconfigure),
		ready:        queue{less: byUrgency},
		unproven:     queue{less: byUrgency},
		waiting:      queue{less: byWake},
		causes:       causes{reporter: reporter{o.Logger}, failing: "refresh failed", again: "refresh works again", groups: map[snapshot.Cause]*group{}},
		quotas:       causes{reporter: reporter{o.Logger}, failing: "cannot get the quota of the call", again: "the quota of the call is known again", groups: map[snapshot.Cause]*group{}},
		unsavedHolds: map[*account]struct{}{},
		unsaved:      unsavedAnswers{counts: map[string]int64{}},
	}
}

// ApplyConfig replaces the configuration of a running Refresher and returns once it is in
// force: accounts that are gone make no further call and are shown no more, those that
// stay keep what is known, and every wait ends but those that configure names. If it fails,
// nothing has changed.
func (r *Refresher) ApplyConfig(ctx context.Context, c Config) error {
	done := make(chan error, 1)
	select {
	case r.configs <- reconfigure{config: c, done: done}:
		return <-done
	case <-ctx.Done():
		return fmt.Errorf("changing the configuration of the refresher: %w", ctx.Err())
	}
}

// Run publishes what the store knows and then refreshes until the context ends. Faults of
// Weixin, and of the store while running, are logged, shown and tried again; an error is
// returned only if the store cannot be read at the start. When Run returns, no call is
// under way.
func (r *Refresher) Run(ctx context.Context, c Config) error {
	life, end := context.WithCancel(ctx)
	defer end()
	r.runCtx = life
	if err := r.changes.begin(life); err != nil && ctx.Err() == nil {
		return err
	}
	if err := r.apply(c); err != nil && ctx.Err() == nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		r.dispatch() //nolint:contextcheck // a call lives as long as its account
		if r.absorbArrived() {
			r.dispatch() //nolint:contextcheck // as above
		}
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
	end()
	for range r.workers.calls.Len() {
		<-r.results
	}
	return nil
}

// apply brings a configuration into force.
func (r *Refresher) apply(c Config) error {
	now := r.now()
	since := r.ledgersSince(c, now)
	var unknown []string
	for _, a := range c.Accounts {
		if r.accounts[a.AppID] == nil || since < r.since {
			unknown = append(unknown, a.AppID)
		}
	}
	known := map[string]*store.Account{}
	if len(unknown) > 0 {
		var err error
		if known, err = r.store.Load(r.runCtx, since, unknown...); err != nil {
			return fmt.Errorf("loading what is known: %w", err)
		}
	}
	holds, added, err := r.loadHolds(c)
	if err != nil {
		return fmt.Errorf("loading what is known: %w", err)
	}
	r.setAccounts(c, known)
	r.restore(holds, added)
	r.config, r.warnedRate = c, 0
	r.since = since
	r.planAll(now)
	r.publish()
	return nil
}

// setAccounts replaces the accounts. Those that stay keep their state and their calls under way.
func (r *Refresher) setAccounts(c Config, known map[string]*store.Account) {
	former := r.accounts
	r.accounts = make(map[string]*account, len(c.Accounts))
	r.ordered = r.ordered[:0:0]
	for _, a := range c.Accounts {
		acc := former[a.AppID]
		delete(former, a.AppID)
		if acc == nil {
			acc = newAccount(r.runCtx, a, known[a.AppID])
		} else {
			acc.configure(a, known[a.AppID], c.Quota, datacube.DateOf(r.now()))
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
}

// ledgersSince returns the first day that the ledgers are to hold: of the two clocks, the one
// that is behind decides, so that a clock that goes ahead makes nothing be forgotten.
func (r *Refresher) ledgersSince(c Config, now time.Time) datacube.Date {
	if believed := r.believed(); believed.Before(now) {
		now = believed
	}
	return c.ledgersSince(datacube.DateOf(now) - 1)
}

// extendLedgers brings the ledgers to the days that they are to hold. Where these reach further back
// than before, as after a clock was put back, what is stored of them is read: a day that is
// known must not be asked for, or counted, again. It returns false if that fails.
func (r *Refresher) extendLedgers(now time.Time) bool {
	since := r.ledgersSince(r.config, now)
	if since < r.since && len(r.ordered) > 0 {
		known, err := r.store.Load(r.runCtx, since)
		if err != nil {
			r.logLoadFailed(err, r.incomplete)
			return false
		}
		for _, acc := range r.ordered {
			acc.add(known[acc.AppID])
		}
	}
	r.since = since
	return true
}

// look finds out anew for every account whether a call is due.
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
		if !acc.running { // else its answer is still to be judged by what is known
			acc.forget(r.since)
			r.enqueue(acc, now)
		}
	}
}

// enqueue puts an account into the queue where it belongs at now.
func (r *Refresher) enqueue(acc *account, now time.Time) {
	acc.stale = false
	if r.incomplete {
		return // the next look places all
	}
	if acc.updateProblemDays(now, r.config.Settings) {
		r.unpublished = true
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

// dispatch starts the calls that are due, as many as may be under way.
func (r *Refresher) dispatch() {
	now := r.now()
	r.retrySave(now)
	if !now.Before(r.nextPlan) || r.nextPlan.After(now.Add(r.config.Interval)) {
		r.planAll(now) // the second case is a clock that was put back
	}
	r.checkChanges(now)
	for acc := r.waiting.first(); acc != nil && !acc.wake.IsZero() && !now.Before(acc.wake); acc = r.waiting.first() {
		r.enqueue(r.waiting.take(), now)
	}
	r.nextSlow = time.Time{}
	if r.storeFailing() {
		return // for what is to be stored first
	}
	for r.ready.first() != nil || r.unproven.first() != nil {
		r.nextSlow = r.workers.update(now, r.config)
		from := r.nextReady()
		if from == nil || r.workers.held() >= r.config.Concurrency {
			return
		}
		if acc := from.take(); acc.stale {
			r.enqueue(acc, now)
		} else {
			acc.underway = r.workers.begin(acc, now)
			r.start(acc, acc.next)
		}
	}
	r.nextSlow = time.Time{}
}

// untilNext returns the time until something is to be done without a result.
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
	if len(r.arrived) > 0 {
		wait = min(wait, gatherFor, r.absorbAt.Sub(now))
	}
	if r.unpublished {
		wait = min(wait, publishEvery, r.nextPublish.Sub(now))
	}
	return max(wait, 0)
}

// publishChanges shows what has changed once it is time: at once where nothing else is under
// way or was shown just now.
func (r *Refresher) publishChanges() {
	if r.unpublished && (r.workers.calls.Len() == 0 || reached(r.nextPublish, r.now(), publishEvery)) {
		r.publish()
	}
}

// publish shows the state of all accounts.
func (r *Refresher) publish() {
	s := &snapshot.Snapshot{
		Accounts: make([]*snapshot.Account, len(r.ordered)), Store: r.unsaved.problem, StoreFailures: r.unsaved.counts,
	}
	for i, acc := range r.ordered {
		acc.published = true
		s.Accounts[i] = acc.shown
	}
	r.publisher.Publish(s)
	r.nextPublish, r.unpublished = r.now().Add(publishEvery), false
}

// prune removes what is older than the retention, once a day.
func (r *Refresher) prune() {
	today := datacube.DateOf(r.believed())
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
	if removed == 0 {
		return
	}
	r.logPruned(before, removed)
	known, err := r.store.Load(r.runCtx, today)
	if err != nil {
		r.logPruneFailed(before, err)
		return
	}
	for _, acc := range r.ordered {
		acc.show(known[acc.AppID])
	}
	r.unpublished = true
}
