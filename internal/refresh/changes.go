package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

// The refresher checks this often whether another process has written to its store: a backfill, or another exporter if
// they share the store. It also checks before it stores answers.
const (
	checkChangesEvery = 20 * time.Second
	checkSharedEvery  = 2 * time.Second
)

// ChangeReader reports what other processes write to the store; store.Store implements it.
type ChangeReader interface {
	// Version returns a number that changes only when another process writes.
	Version(ctx context.Context) (int64, error)
	// Changed returns the app ids of the accounts for which any process has saved something after a mark, and the
	// mark up to which the list is complete.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
}

// changeWatcher finds the accounts for which other processes have written. It is cheap if there are none.
type changeWatcher struct {
	reader ChangeReader // nil: there are no other processes
	seen   position
	next   position
	// caughtUp is when changes were last read and applied; zero without reader.
	caughtUp time.Time
	// failing is true from a check that failed, which was logged, to the next one that succeeds.
	failing bool
}

// position is a position in the sequence of changes.
type position struct {
	version int64
	mark    store.Mark
}

// begin skips all changes made up to now.
func (w *changeWatcher) begin(ctx context.Context, now time.Time) error {
	if w.reader == nil {
		return nil
	}
	var err error
	if w.seen.version, err = w.reader.Version(ctx); err != nil {
		return fmt.Errorf("reading the changes of the store: %w", err)
	}
	if _, w.seen.mark, err = w.reader.Changed(ctx, 0); err != nil {
		return fmt.Errorf("reading the changes of the store: %w", err)
	}
	w.caughtUp = now
	return nil
}

// changed returns the accounts that may have changed since the last position, including those saved by this process.
// It returns them again until acknowledge is called.
func (w *changeWatcher) changed(ctx context.Context) ([]string, error) {
	if w.reader == nil {
		return nil, nil
	}
	version, err := w.reader.Version(ctx)
	if err != nil || version == w.seen.version {
		return nil, err
	}
	changed, mark, err := w.reader.Changed(ctx, w.seen.mark)
	if err != nil {
		return nil, err
	}
	w.next = position{version, mark}
	if len(changed) == 0 {
		w.acknowledge()
	}
	return changed, nil
}

// acknowledge notes that the changes last returned have been applied.
func (w *changeWatcher) acknowledge() { w.seen = w.next }

// caughtUpAt notes that all changes made up to a time have been applied.
func (w *changeWatcher) caughtUpAt(at time.Time) {
	if w.reader != nil {
		w.caughtUp = at
	}
}

// changesEvery returns how often the refresher checks for changes.
func (r *Refresher) changesEvery() time.Duration {
	if r.slots.shared() {
		return checkSharedEvery
	}
	return checkChangesEvery
}

// checkChanges applies the changes of other processes if it is time to check.
func (r *Refresher) checkChanges(now time.Time) {
	every := r.changesEvery()
	if r.changes.reader != nil && !r.storeFailing() && reached(r.nextChangeCheck, now, every) {
		r.nextChangeCheck = now.Add(every)
		r.applyChanges()
	}
}

// applyChanges updates ledgers and snapshot with what other processes have stored. It does not count their revisions.
func (r *Refresher) applyChanges() {
	stored, err := r.catchUp()
	if err != nil {
		if r.runCtx.Err() == nil && !r.changes.failing {
			r.changes.failing = true
			level.Error(r.logger).Log("msg", "cannot read what another process has stored, retrying", "err", err)
		}
		return
	}
	if r.changes.failing {
		r.changes.failing = false
		level.Info(r.logger).Log("msg", "what other processes store is read again")
	}
	for appID, account := range stored {
		acc := r.accounts[appID]
		acc.show(account)
		acc.stale = true
		if !r.slots.isReady(acc.slot) && !acc.running {
			r.enqueue(acc, r.now()) // which shows what is stored
		}
	}
	if len(stored) > 0 {
		r.unpublished = true
		level.Debug(r.logger).Log("msg", "read what another process has stored", "accounts", len(stored))
	}
}
