package exporter

import (
	"context"
	"fmt"
	"time"

	"github.com/go-kit/log"
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
	unread := reloading{logger: x.Logger, reload: x.refresher.ReloadStore}
	left := leftOut{logger: x.Logger}
	for {
		select {
		case <-ticker.C:
		case <-x.reclaim:
		case <-ctx.Done():
			return
		}
		unrenewed := x.renewSlots(ctx)
		replaced, usable := x.recoverStore(ctx, db)
		if unrenewed != nil && usable && ctx.Err() == nil { // otherwise the fault of the store says it all
			x.division.failed(unrenewed)
		}
		if replaced {
			x.history.Forget()
		}
		unread.keep(ctx, replaced, usable)
		left.log(db.Damage())
	}
}

// reloading reads a store whose content was replaced, again until that succeeds: what is known is that of the previous content.
type reloading struct {
	logger log.Logger
	reload func(context.Context) error
	due    bool
	failed error // of the last attempt since the content was replaced; nil before the first one
}

// keep reads the store if that is due and it can be used. Failures are logged once as long as their kind stays the same.
func (r *reloading) keep(ctx context.Context, replaced, usable bool) {
	if replaced {
		r.due, r.failed = true, nil
	}
	if !r.due || !usable {
		return
	}
	err := r.reload(ctx)
	switch {
	case err == nil && r.failed != nil:
		level.Info(r.logger).Log("msg", "the store has been read again")
	case err != nil && ctx.Err() == nil && (r.failed == nil || store.KindOf(r.failed) != store.KindOf(err)):
		level.Error(r.logger).Log("msg", "the store holds something else than before but cannot be read; until it can, what was known before stays", "err", err)
	}
	r.due, r.failed = err != nil, err
}

// leftOut logs which days are neither shown nor sent since they are damaged.
type leftOut struct {
	logger log.Logger
	logged string // the damage; "" if there is none
}

// log logs damage once as long as it stays the same.
func (l *leftOut) log(damage error) {
	text := ""
	if damage != nil {
		text = damage.Error()
	}
	switch {
	case text == l.logged:
		return
	case text != "":
		level.Error(l.logger).Log("msg", "damaged days are left out of what is shown and sent", "err", damage)
	default:
		level.Info(l.logger).Log("msg", "no damaged days are left out any more")
	}
	l.logged = text
}

// keepSlotsEvery returns how often the slots are renewed.
func (x *exporter) keepSlotsEvery() time.Duration {
	const attempts = 3 // before the lease ends
	if x.Lease > 0 {
		return min(x.Lease/attempts, store.KeepSlotsEvery)
	}
	return store.KeepSlotsEvery
}

// recoverStore recovers the store, and reports whether its content was replaced and whether it can be used. A fault is logged
// once as long as its kind stays the same: a server that starts gives several reasons in turn.
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
		level.Error(x.Logger).Log("msg", "the store holds something else than before; it is read again", "found", done)
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
