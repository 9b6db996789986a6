package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

// followEvery is how often the refresher looks whether another process, such as a backfill,
// has written into its store. Before it stores answers it looks as well.
const followEvery = 20 * time.Second

// ChangeReader tells what other processes write into the store; *store.Store does.
type ChangeReader interface {
	// Version returns a number that stays the same until another process writes.
	Version(ctx context.Context) (int64, error)
	// Changed returns the app ids of the accounts about which any process has saved something
	// after a mark, and the mark up to which that is all.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
}

// watch finds out about which accounts other processes have written. Without them it costs
// next to nothing.
type watch struct {
	others ChangeReader // nil: there are none
	seen   moment
	next   moment
}

// moment is up to where the store is known.
type moment struct {
	version int64
	mark    store.Mark
}

// begin leaves out all that is in the store by now.
func (w *watch) begin(ctx context.Context) error {
	if w.others == nil {
		return nil
	}
	var err error
	if w.seen.version, err = w.others.Version(ctx); err != nil {
		return fmt.Errorf("looking who else writes: %w", err)
	}
	if _, w.seen.mark, err = w.others.Changed(ctx, 0); err != nil {
		return fmt.Errorf("looking who else writes: %w", err)
	}
	return nil
}

// changed returns the accounts that may be another than they are known to be, those saved by
// this process among them. It returns them again until they were taken.
func (w *watch) changed(ctx context.Context) ([]string, error) {
	if w.others == nil {
		return nil, nil
	}
	version, err := w.others.Version(ctx)
	if err != nil || version == w.seen.version {
		return nil, err
	}
	changed, mark, err := w.others.Changed(ctx, w.seen.mark)
	if err != nil {
		return nil, err
	}
	w.next = moment{version, mark}
	if len(changed) == 0 {
		w.taken()
	}
	return changed, nil
}

// taken says that what changed returned is known by now.
func (w *watch) taken() { w.seen = w.next }

// follow takes over what others have written, once it is time.
func (r *Refresher) follow(now time.Time) {
	if r.watch.others != nil && !r.unwritable() && reached(r.nextFollow, now, followEvery) {
		r.nextFollow = now.Add(followEvery)
		r.followOthers()
	}
}

// followOthers takes over what other processes have stored, and shows it. It does not count their revisions.
func (r *Refresher) followOthers() {
	stored, err := r.catchUp()
	if err != nil {
		if r.life.Err() == nil {
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
