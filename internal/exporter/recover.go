package exporter

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

// hangInterval is how often a stopping exporter checks whether the disk hangs. The first check is at once, so that it ends
// within 5 seconds, of which the check takes 4.
const hangInterval = time.Second

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
// can be used. A fault is logged once as long as it stays the same.
func (x *exporter) recoverStore(ctx context.Context, db store.Store) (bool, bool) {
	done, err := db.Recover(context.WithoutCancel(ctx))
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != x.storeFault {
		level.Error(x.Logger).Log("msg", "the store cannot be used", "err", err)
	}
	if fault == "" && x.storeFault != "" && done == "" {
		level.Info(x.Logger).Log("msg", "the store can be used again")
	}
	x.storeFault = fault
	if done != "" {
		level.Error(x.Logger).Log("msg", "the file of the store had changed; the store was reopened", "found", done)
	}
	return done != "", err == nil
}

// untilDiskHangs runs work and returns its error. After the end of the context it returns without waiting
// for work if the disk of the store hangs.
func (x *exporter) untilDiskHangs(ctx context.Context, db store.Store, work func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ticker := time.NewTicker(hangInterval)
	defer ticker.Stop()
	for {
		if err := db.CheckDisk(); err != nil {
			return fmt.Errorf("stopped without closing the store, which loses nothing: %w", err)
		}
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
		}
	}
}
