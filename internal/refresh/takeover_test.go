package refresh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/store"
)

// TestTakeoverWithin20Seconds: whenever an exporter is killed, and whenever the other one renews its slots, the other one has all
// slots 20 seconds later, and until 15 seconds after the last renewal of the first none of them is taken from it.
func TestTakeoverWithin20Seconds(t *testing.T) {
	t.Parallel()
	const step = 700 * time.Millisecond
	for after := time.Duration(0); after < store.KeepSlotsEvery; after += step { // the other one joins
		for killed := time.Duration(0); killed < store.KeepSlotsEvery; killed += step {
			synctest.Test(t, func(t *testing.T) {
				w := newFleet(t, "2026-03-10 07:59", 6)
				w.config.HistoryDays = 1
				table := newTable()
				one := w.join(table)
				<-time.After(after)
				two := w.join(table)
				setClock(t, "2026-03-10 07:59:50")
				<-time.After(killed)
				shared := len(owned(two))
				if shared == 0 || shared == len(w.config.Accounts) {
					t.Fatalf("the other one has %d slots", shared)
				}
				one.kill()
				<-time.After(leaseTime - store.KeepSlotsEvery - time.Millisecond)
				if n := len(owned(two)); n != shared {
					t.Errorf("it has %d slots instead of %d while the lease lasts", n, shared)
				}
				<-time.After(20*time.Second - leaseTime + store.KeepSlotsEvery + time.Millisecond)
				synctest.Wait()
				if n, want := len(owned(two)), two.wanted.Len(); n != want {
					t.Errorf("joined after %v, killed at %v: it has %d of %d slots after 20 seconds", after, killed, n, want)
				}
				setClock(t, "2026-03-10 08:00:30")
				w.wantAll("2026-03-09", two)
			})
		}
	}
}

// owned returns the slots of an exporter.
func owned(x *exporter) []int {
	var slots []int
	for slot, epoch := range x.Owned() {
		if epoch != 0 {
			slots = append(slots, slot)
		}
	}
	return slots
}
