package remotewrite_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/store"
)

// owner owns the slots that the test gives it.
type owner struct {
	mu     sync.Mutex
	epochs store.Epochs
	last   int64
}

// Owned implements remotewrite.Sharing.
func (o *owner) Owned() store.Epochs {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.epochs
}

// has makes it the owner of the slots of these accounts, and of no others.
func (o *owner) has(appIDs ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	former := o.epochs
	o.epochs = store.Epochs{}
	for _, appID := range appIDs {
		slot := store.SlotOf(appID)
		if o.epochs[slot] = former[slot]; former[slot] == 0 {
			o.last++
			o.epochs[slot] = o.last
		}
	}
}

// TestOnlyOwnedSlotsAreSent: accounts in slots of other processes are neither sent nor counted. Those of a slot that was gained
// are sent soon, although nothing new was stored.
func TestOnlyOwnedSlotsAreSent(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		o := &owner{}
		f.sharing = o
		r := newReceiver(t)
		f.save(shop, 1, days(3)...)
		f.save(bot, 1, days(3)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Minute)
		f.mustCount("one", 0, 0, nil)
		o.has(shop)
		f.wait(20 * time.Second)
		f.mustHave(r, "shop", 1, days(3)...)
		f.mustCount("one", 3*perDay, 0, nil)
		o.has(bot)
		f.save(shop, 2, days(3)...)
		f.wait(20 * time.Second)
		f.mustHave(r, "bot", 1, days(3)...)
		f.mustCount("one", 6*perDay, 0, nil)
		if n := r.count(); n != 6*perDay {
			t.Errorf("%d samples arrived, want %d", n, 6*perDay)
		}
	})
}

// TestSlotLostWhileReceiverIsDown: what is left is not sent by the former owner, nor counted.
func TestSlotLostWhileReceiverIsDown(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		o := &owner{}
		o.has(shop, bot)
		f.sharing = o
		r := newReceiver(t)
		r.set(refuseAll(http.StatusServiceUnavailable, "later"))
		f.save(shop, 1, days(3)...)
		f.save(bot, 1, days(3)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(20 * time.Second)
		f.mustCount("one", 0, 6*perDay, nil)
		o.has(bot)
		f.wait(20 * time.Second)
		f.mustCount("one", 0, 3*perDay, nil)
		r.set(nil)
		f.wait(5 * time.Minute)
		f.mustHave(r, "bot", 1, days(3)...)
		f.mustCount("one", 3*perDay, 0, nil)
		if n := r.count(); n != 3*perDay {
			t.Errorf("%d samples arrived, want %d", n, 3*perDay)
		}
	})
}

// TestSlotLostForAMoment: a slot that is owned again under the same epoch is not forgotten.
func TestSlotLostForAMoment(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		o := &owner{}
		o.has(shop, bot)
		f.sharing = &flickering{owner: o}
		r := newReceiver(t)
		f.save(shop, 1, days(3)...)
		f.save(bot, 1, days(3)...)
		f.start(f.endpoint("one", r, nil))
		f.wait(time.Minute)
		f.mustHave(r, "shop", 1, days(3)...)
		f.mustHave(r, "bot", 1, days(3)...)
		f.mustCount("one", 6*perDay, 0, nil)
	})
}

// flickering says for a moment, soon after the first look, that nothing is owned.
type flickering struct {
	*owner

	asked int
	mu    sync.Mutex
}

// Owned implements remotewrite.Sharing.
func (f *flickering) Owned() store.Epochs {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked++; f.asked >= 3 && f.asked <= 5 {
		return store.Epochs{}
	}
	return f.owner.Owned()
}

// inWindows owns slots for a part of each period.
type inWindows struct {
	*owner

	begin          time.Time
	period, window time.Duration
}

// Owned implements remotewrite.Sharing.
func (w inWindows) Owned() store.Epochs {
	if elapsed := time.Since(w.begin); elapsed < 0 || elapsed%w.period >= w.window {
		return store.Epochs{}
	}
	return w.owner.Owned()
}

// TestSlotsOwnedNowAndThen: a sender whose slots come and go, in whatever step with its polls, sends all of them. A renewal that
// succeeds leaves the owner eight seconds at the least: six sevenths of a lease of 15, less the four that it may take.
func TestSlotsOwnedNowAndThen(t *testing.T) {
	t.Parallel()
	for _, period := range []time.Duration{10 * time.Second, 15 * time.Second} { // multiples of the interval of polls
		for phase := time.Duration(0); phase < period; phase += 1700 * time.Millisecond {
			t.Run(period.String()+" "+phase.String(), func(t *testing.T) {
				t.Parallel()
				withFixture(t, func(f *fixture) {
					o := &owner{}
					o.has(shop, bot)
					f.sharing = inWindows{o, time.Now().Add(phase - period), period, 8 * time.Second}
					r := newReceiver(t)
					f.save(shop, 1, days(3)...)
					f.save(bot, 1, days(3)...)
					f.start(f.endpoint("one", r, nil))
					f.wait(2 * period)
					f.mustHave(r, "shop", 1, days(3)...)
					f.mustHave(r, "bot", 1, days(3)...)
					if n := r.count(); n != 6*perDay {
						t.Errorf("%d samples arrived, want %d", n, 6*perDay)
					}
				})
			})
		}
	}
}
