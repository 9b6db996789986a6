package refresh

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const (
	// keepSlotsFor is how long a backfill goes on although it cannot renew its slots.
	keepSlotsFor = time.Minute
	// clockSkew is by how much the clocks of two backfills may differ.
	clockSkew = 5 * time.Minute
)

// wantSlots claims the slots that have accounts which are not finished.
func (b *Backfill) wantSlots() {
	b.wanted = store.SlotSet{}
	for slot, accounts := range b.unfinished {
		if accounts > 0 {
			b.wanted.Add(slot)
		}
	}
	b.sharing.Want(store.Work{Slots: b.wanted, Accounts: b.allAccounts})
	b.noteShare()
}

// keepSlots renews the slots and claims those that others have handed back.
func (b *Backfill) keepSlots(now time.Time) {
	if !reached(b.nextKeep, now, store.KeepSlotsEvery) {
		return
	}
	b.nextKeep = now.Add(store.KeepSlotsEvery)
	err := b.sharing.KeepSlots(b.runCtx)
	switch {
	case err == nil:
		b.keepFails = time.Time{}
	case b.keepFails.IsZero():
		b.keepFails = now
		level.Warn(b.logger).Log("msg", "cannot tell other backfills that this one is running, retrying", "err", err)
	case now.Sub(b.keepFails) >= keepSlotsFor:
		b.err = fmt.Errorf("telling other backfills that this one is running: %w", err)
	}
}

// followSlots puts back the accounts of slots that were lost. The ledgers of accounts in slots that were gained are loaded
// when they are started: what another backfill has done is then known.
func (b *Backfill) followSlots() {
	current := b.slots.current()
	if current == b.slots.ready && !b.slots.outdated {
		return
	}
	b.slots.ready, b.slots.outdated = current, false
	for _, acc := range slices.Clone(b.active) {
		if !acc.running && b.isOutdated(acc) {
			b.putBack(acc)
		}
	}
	b.noteShare()
}

// putBack makes an account wait until its slot is owned again. Another backfill may work on it meanwhile.
func (b *Backfill) putBack(acc *backfillAccount) {
	b.deactivate(acc)
	b.todo = slices.Insert(b.todo, 0, acc)
}

// isOutdated reports whether another backfill may have worked on an active account since its ledgers were loaded.
func (b *Backfill) isOutdated(acc *backfillAccount) bool {
	return !b.slots.isReady(acc.slot) || acc.loaded && acc.loadedIn != b.slots.ready[acc.slot]
}

// noteShare sets the rate of requests by the part of the work that this backfill does.
func (b *Backfill) noteShare() {
	if part := b.slots.share(&b.wanted); b.setShare != nil && part != b.part {
		b.part = part
		b.setShare(part)
	}
}

// unrequested returns a function that reports whether a day is still to be requested, given a ledger. What another backfill
// has requested since this one began is not requested again if the answer could be understood.
func (b *Backfill) unrequested(l Ledger) func(datacube.Date) bool {
	wanted := b.plan.wanted(l)
	if !b.slots.shared() {
		return wanted
	}
	latest := b.now().Add(clockSkew)
	return func(date datacube.Date) bool {
		s := l.At(date)
		return wanted(date) && (s.Damaged > 0 || s.AskedAt.Before(b.began) || s.AskedAt.After(latest))
	}
}
