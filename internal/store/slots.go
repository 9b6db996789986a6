package store

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Slots is the number of slots into which the accounts of a store are divided. A slot is the smallest part of the
// work that can pass from one process to another.
const Slots = 256

// SlotOf returns the slot of the account with this app ID. It never changes: processes of different versions share
// a store.
func SlotOf(appID string) int { return int(xxhash.Sum64String(appID) % Slots) }

// wordBits is the number of slots in an element of a SlotSet.
const wordBits = 64

// SlotSet is a set of slots; the zero value is empty.
type SlotSet [Slots / wordBits]uint64

// AllSlots returns the set of all slots.
func AllSlots() SlotSet {
	var s SlotSet
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}

// Has reports whether the slot is in the set.
func (s *SlotSet) Has(slot int) bool { return s[slot/wordBits]&(1<<(slot%wordBits)) != 0 }

// Add puts the slot into the set.
func (s *SlotSet) Add(slot int) { s[slot/wordBits] |= 1 << (slot % wordBits) }

// Remove takes the slot out of the set.
func (s *SlotSet) Remove(slot int) { s[slot/wordBits] &^= 1 << (slot % wordBits) }

// Len returns the number of slots in the set.
func (s *SlotSet) Len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// All returns the slots in the set, in ascending order.
func (s *SlotSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for slot := range Slots {
			if s.Has(slot) && !yield(slot) {
				return
			}
		}
	}
}

// Duty is the work that processes divide among themselves by slots. Each duty has its own owners: an exporter and a
// backfill can own the same slot.
type Duty string

// The duties.
const (
	Refreshing  Duty = "refresh"  // of exporters
	Backfilling Duty = "backfill" // of the command
)

// Work is what a process would do if it owned all slots.
type Work struct {
	// Slots are those in which it has something to do. It claims no other slots.
	Slots SlotSet
	// Accounts identifies the set of its accounts, by which processes with different ones notice each other.
	Accounts uint64
}

// WorkOf returns the work of a process with these accounts.
func WorkOf(appIDs ...string) Work {
	sorted := slices.Sorted(slices.Values(appIDs))
	w := Work{Accounts: xxhash.Sum64String(strings.Join(sorted, "\n"))}
	for _, appID := range sorted {
		w.Slots.Add(SlotOf(appID))
	}
	return w
}

// Epochs are, for each slot that a process owns, the number of its ownership; 0 for the other slots. Whenever a slot
// gets another owner its epoch grows.
type Epochs [Slots]int64

// Peer is a living process that shares the store and has the same duty.
type Peer struct {
	// Name says where the process runs: host, process ID, time of the start.
	Name string
	// Self is true for this process.
	Self bool
	// Slots is the number of slots that it owns.
	Slots int
	// Accounts is that of its Work.
	Accounts uint64
}

// SharingStatus is how the work is divided, as of the latest KeepSlots that succeeded.
type SharingStatus struct {
	// Shared is false if no other process can share the store; then the other fields are zero.
	Shared bool
	// Known is false before the first KeepSlots that succeeded, and from when the slots of this process have ended, because
	// none has succeeded for too long, until the next one. Then it owns none, and Others, Unowned and Peers are zero because
	// they are not known.
	Known bool
	// Renewed is when the latest KeepSlots that succeeded began, by the clock of this process; zero if there is none.
	Renewed time.Time
	// Owned, Others and Unowned count the slots in which this process has work: those that it owns, those that living
	// other processes own, and those that no living process owns. Unused counts the remaining ones.
	Owned, Others, Unowned, Unused int
	// Peers are all living processes, this one among them, in the order of their names.
	Peers []Peer
	// Connections are those of this process to the database, at present, without the one that renews the slots.
	Connections Connections
}

// Connections counts the connections to a database: those that are used, and those that are kept for the next use, of
// which there can be Max.
type Connections struct{ Used, Idle, Max int }

// Sharing divides the work between the processes that share a store. It is safe for concurrent use.
type Sharing interface {
	// Want sets the work of this process, and takes effect with the next KeepSlots. Without it there is none.
	Want(work Work)
	// KeepSlots tells the other processes that this one is alive, renews its slots, claims free ones up to its share of
	// the work, and hands back those that are beyond it and not in use. A slot that it lost while the slot was in use is
	// claimed again only after the release. It must be called every KeepSlotsEvery. If it fails for long enough, the slots
	// go to other processes.
	KeepSlots(ctx context.Context) error
	// Owned returns the slots for which this process may call Weixin now. It does not wait. A caller who finds an epoch that
	// is not 0 and differs from the one seen before must read the accounts of the slot from the store before a call:
	// another process has worked on them in the meantime.
	Owned() Epochs
	// Use keeps a slot from being handed to another process until release is called, which must be done once what a
	// call returned has been stored or dropped. ok is false if this process does not own the slot now; then release
	// is nil. A process that does not renew its slots loses also those in use.
	Use(slot int) (release func(), ok bool)
	// Sharing returns how the work is divided. It does not wait.
	Sharing() SharingStatus
}

// KeepSlotsEvery is how often KeepSlots must be called.
const KeepSlotsEvery = 5 * time.Second

// NotOwnedError means that nothing was stored because these accounts are in slots that another process has taken over.
// What concerns other accounts can be stored without them.
type NotOwnedError struct {
	// AppIDs are those of the accounts.
	AppIDs []string
}

// Error implements error.
func (e *NotOwnedError) Error() string {
	return fmt.Sprintf("another process has taken over %d of the accounts", len(e.AppIDs))
}

// Alone implements Sharing for a store that one process at a time works with: it owns all slots.
type Alone struct{}

// Want implements Sharing.
func (Alone) Want(Work) {}

// KeepSlots implements Sharing.
func (Alone) KeepSlots(context.Context) error { return nil }

// Owned implements Sharing.
func (Alone) Owned() Epochs {
	var e Epochs
	for slot := range e {
		e[slot] = 1
	}
	return e
}

// Use implements Sharing.
func (Alone) Use(int) (func(), bool) { return func() {}, true }

// Sharing implements Sharing.
func (Alone) Sharing() SharingStatus { return SharingStatus{} }
