package exporter

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

// stopTime is how long a stop may take, whatever hangs or is slow. With the end of the process it is 5 seconds.
const stopTime = 4500 * time.Millisecond

// keepStore renews the slots of this exporter, and reopens a store whose file was deleted or replaced, until the context
// ends.
func (x *exporter) keepStore(ctx context.Context, db store.Store) {
	ticker := time.NewTicker(x.keepSlotsEvery())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-x.reclaim:
		case <-ctx.Done():
			return
		}
		unrenewed := x.renewSlots(ctx)
		reopened, usable := x.recoverStore(ctx, db)
		if unrenewed != nil && usable && ctx.Err() == nil { // otherwise the fault of the store says it all
			x.division.failed(unrenewed)
		}
		if !reopened {
			continue
		}
		x.history.Forget()
		if err := x.refresher.ReloadStore(ctx); err != nil && ctx.Err() == nil {
			level.Error(x.Logger).Log("msg", "the store was reopened but cannot be read; restart the exporter", "err", err)
		}
	}
}

// keepSlotsEvery returns how often the slots are renewed.
func (x *exporter) keepSlotsEvery() time.Duration {
	const attempts = 3 // before the lease ends
	if x.Lease > 0 {
		return min(x.Lease/attempts, store.KeepSlotsEvery)
	}
	return store.KeepSlotsEvery
}

// recoverStore reopens the store if its file was deleted or replaced, and reports whether it did, and whether the store
// can be used. A fault is logged once as long as its kind stays the same: a server that starts gives several reasons in turn.
func (x *exporter) recoverStore(ctx context.Context, db store.Store) (bool, bool) {
	done, err := db.Recover(context.WithoutCancel(ctx))
	known := x.knownFault()
	switch {
	case err != nil && (known == nil || store.KindOf(known) != store.KindOf(err)):
		level.Error(x.Logger).Log("msg", "the store cannot be used", "err", err)
	case err == nil && known != nil && done == "":
		level.Info(x.Logger).Log("msg", "the store can be used again")
	}
	x.storeFault.Store(&err)
	if done != "" {
		level.Error(x.Logger).Log("msg", "the file of the store had changed; the store was reopened", "found", done)
	}
	return done != "", err == nil
}

// knownFault returns why the store cannot be used, as was found at most some seconds ago; nil if it can. Unlike the store's
// own Fault it never waits for the disk, so that metrics and pages do not either.
func (x *exporter) knownFault() error {
	if fault := x.storeFault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// withinStopTime runs work and returns its error. Once stopTime has passed since the end of the context, it returns without
// waiting for work.
func withinStopTime(ctx context.Context, work func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit := time.NewTimer(stopTime)
	defer limit.Stop()
	select {
	case err := <-ended:
		return err
	case <-limit.C:
		return fmt.Errorf("stopped without closing the store, which loses nothing that was stored: it was still being read or written"+
			" after %v; check the disk or the server that it is on", stopTime)
	}
}
