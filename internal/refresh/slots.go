package refresh

import (
	"errors"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
)

const (
	// checkSlotsEvery is how often the refresher looks which slots it owns while it makes no call.
	checkSlotsEvery = time.Second
	// retryTakeOverEvery is how soon a failed attempt to read the accounts of new slots is repeated.
	retryTakeOverEvery = 5 * time.Second
)

// Sharing says for which accounts this process may call Weixin; store.Sharing implements it.
type Sharing interface {
	// Owned returns the epochs of the slots for which calls may be made now, 0 for the others.
	Owned() store.Epochs
	// Use keeps a slot from being handed to another process until release is called. ok is false if it is not owned.
	Use(slot int) (release func(), ok bool)
	// Sharing says whether other processes can share the store.
	Sharing() store.SharingStatus
}

// slots tracks for which slots calls may be made.
type slots struct {
	sharing Sharing
	// ready are the epochs of the slots whose accounts have been read from the store since the slots were gained; 0 for
	// all others. No other process has called Weixin for these accounts since then.
	ready store.Epochs
	// refused are epochs in which the store has refused to save: they are over, even if Owned does not say so yet.
	refused store.Epochs
	// outdated is true if a slot was removed from ready because it could not be used.
	outdated bool
}

// current returns the epochs of the slots that are owned.
func (s *slots) current() store.Epochs {
	owned := s.sharing.Owned()
	for slot, epoch := range owned {
		if epoch == s.refused[slot] {
			owned[slot] = 0
		}
	}
	return owned
}

// isReady reports whether calls may be made for the accounts of a slot.
func (s *slots) isReady(slot int) bool { return s.ready[slot] != 0 }

// use is Sharing.Use, but it fails as well if the slot has had another owner since its accounts were read.
func (s *slots) use(slot int) (func(), bool) {
	release, ok := s.sharing.Use(slot)
	if ok && s.sharing.Owned()[slot] == s.ready[slot] {
		return release, true
	}
	if ok {
		release()
	}
	s.ready[slot], s.outdated = 0, true
	return nil, false
}

// isOver reports whether an account's slot is known to have had another owner since its last call was started: then what
// the call returned is older than what that owner has stored.
func (s *slots) isOver(a *baseAccount, current *store.Epochs) bool {
	return current[a.slot] != 0 && current[a.slot] != a.epoch
}

// refuse notes that the store has refused to save what an account's last call returned.
func (s *slots) refuse(a *baseAccount) {
	s.refused[a.slot] = max(s.refused[a.slot], a.epoch)
	if s.ready[a.slot] == a.epoch {
		s.ready[a.slot], s.outdated = 0, true
	}
}

// shared reports whether other processes can share the store.
func (s *slots) shared() bool { return s.sharing.Sharing().Shared }

// share returns the part of the wanted slots that is ready, from 0 to 1.
func (s *slots) share(wanted *store.SlotSet) float64 {
	total, own := 0, 0
	for slot := range wanted.All() {
		total++
		if s.isReady(slot) {
			own++
		}
	}
	if total == 0 {
		return 0
	}
	return float64(own) / float64(total)
}

// notOwned returns the accounts for which the store refused to save; nil if err is another error.
func notOwned(err error) []string {
	if refused, ok := errors.AsType[*store.NotOwnedError](err); ok {
		return refused.AppIDs
	}
	return nil
}

// followSlots finds out which slots were gained and lost. No call is made for the accounts of a slot that was gained before
// they have been read from the store.
func (r *Refresher) followSlots(now time.Time) {
	current := r.slots.current()
	var gained store.SlotSet
	for slot, epoch := range current {
		if epoch != 0 && epoch != r.slots.ready[slot] {
			gained.Add(slot)
		}
	}
	if gained.Len() > 0 && (!reached(r.nextTakeOver, now, retryTakeOverEvery) || !r.takeOver(&gained, now)) {
		for slot := range gained.All() {
			current[slot] = 0
		}
	}
	if current == r.slots.ready && !r.slots.outdated {
		return
	}
	r.slots.ready, r.slots.outdated = current, false
	r.noteShare()
	r.nextPlan, r.unpublished = now, true // planAll finds out what this means for each account
}

// takeOver reads the accounts of slots that were gained from the store, also until when calls must not be made. It returns
// false if that fails.
func (r *Refresher) takeOver(gained *store.SlotSet, now time.Time) bool {
	var accounts []*account
	for _, acc := range r.ordered {
		if gained.Has(acc.slot) {
			accounts = append(accounts, acc)
		}
	}
	if len(accounts) == 0 {
		return true
	}
	err := r.reread(accounts)
	var holds []store.Hold
	added := make(map[string]bool, len(accounts))
	if err == nil {
		appIDs := make([]string, len(accounts))
		for i, acc := range accounts {
			appIDs[i], added[acc.AppID] = acc.AppID, true
		}
		holds, err = r.holds.Holds(r.runCtx, appIDs...)
	}
	if err != nil {
		r.nextTakeOver = now.Add(retryTakeOverEvery)
		if r.runCtx.Err() == nil {
			r.logTakeOverFailed(len(accounts), err, r.takeOverFails)
			r.takeOverFails = true
		}
		return false
	}
	r.takeOverFails = false
	for _, acc := range accounts {
		r.setAside(acc)
	}
	r.restore(holds, added)
	level.Debug(r.logger).Log("msg", "took over accounts", "accounts", len(accounts))
	return true
}

// setAside ends what this process knows of an account's attempts, because another one may make its calls. What is shown
// of it is then what is stored: other processes tell only what they store.
func (r *Refresher) setAside(a *account) {
	r.leave(a)
	a.forgetAttempts()
	if a.showStored() {
		r.unpublished = true
	}
}

// noteShare sets the rate of requests and the pace by the part of the work that this process does.
func (r *Refresher) noteShare() {
	var wanted store.SlotSet
	for _, acc := range r.ordered {
		wanted.Add(acc.slot)
	}
	share := r.slots.share(&wanted)
	r.pace = 0
	if share > 0 {
		r.pace = time.Duration(float64(r.config.Pace) / share)
	}
	if r.config.SetShare != nil {
		r.config.SetShare(share)
	}
}

// releaseUsed lets slots of ended calls be handed to other processes once all that the calls returned has been stored or
// dropped.
func (r *Refresher) releaseUsed() {
	if r.storeFailing() {
		return
	}
	for i, release := range r.used {
		release()
		r.used[i] = nil
	}
	r.used = r.used[:0]
}
