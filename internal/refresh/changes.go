package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

// checkChangesEvery is how often the refresher looks whether another process, such as a backfill,
// has written into its store. Before it stores answers it looks as well.
const checkChangesEvery = 20 * time.Second

// ChangeReader tells what other processes write into the store; *store.Store does.
type ChangeReader interface {
	// Version returns a number that stays the same until another process writes.
	Version(ctx context.Context) (int64, error)
	// Changed returns the app ids of the accounts about which any process has saved something
	// after a mark, and the mark up to which that is all.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
}

// changeWatcher finds out about which accounts other processes have written. Without them it costs
// next to nothing.
type changeWatcher struct {
	reader ChangeReader // nil: there are none
	seen   position
	next   position
}

// position is up to where the store is known.
type position struct {
	version int64
	mark    store.Mark
}

// begin leaves out all that is in the store by now.
func (w *changeWatcher) begin(ctx context.Context) error {
	if w.reader == nil {
		return nil
	}
	var err error
	if w.seen.version, err = w.reader.Version(ctx); err != nil {
		return fmt.Errorf("looking who else writes: %w", err)
	}
	if _, w.seen.mark, err = w.reader.Changed(ctx, 0); err != nil {
		return fmt.Errorf("looking who else writes: %w", err)
	}
	return nil
}

// changed returns the accounts that may be another than they are known to be, those saved by
// this process among them. It returns them again until they were taken.
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

// acknowledge says that what changed returned is known by now.
func (w *changeWatcher) acknowledge() { w.seen = w.next }

// checkChanges takes over what others have written, once it is time.
func (r *Refresher) checkChanges(now time.Time) {
	if r.changes.reader != nil && !r.storeFailing() && reached(r.nextChangeCheck, now, checkChangesEvery) {
		r.nextChangeCheck = now.Add(checkChangesEvery)
		r.applyChanges()
	}
}

// applyChanges takes over what other processes have stored, and shows it. It does not count their revisions.
func (r *Refresher) applyChanges() {
	stored, err := r.catchUp()
	if err != nil {
		if r.runCtx.Err() == nil {
			level.Error(r.logger).Log("msg", "cannot take over what another process has stored; trying again soon", "err", err)
		}
		return
	}
	for appID, account := range stored {
		r.accounts[appID].show(account)
		r.accounts[appID].stale = true
	}
	if len(stored) > 0 {
		r.unpublished = true
		level.Debug(r.logger).Log("msg", "taken over what is stored, because another process has written into it", "accounts", len(stored))
	}
}
