package refresh_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
)

const (
	leaseTime = 15 * time.Second
	trustTime = 13 * time.Second
)

// table stands for the slots that the processes of a store divide among themselves.
type table struct {
	mu      sync.Mutex
	members map[*member]bool
	owner   [store.Slots]*member
	epoch   [store.Slots]int64
}

func newTable() *table { return &table{members: map[*member]bool{}} }

// member is the part of one process in a table. It implements store.Sharing.
type member struct {
	table *table

	// The fields below are protected by table.mu.
	wanted store.SlotSet
	told   time.Time // when the table last heard of the process, and the other way round
	owned  store.Epochs
	uses   [store.Slots]int
	cut    bool // the process does not reach the table
}

func (t *table) join() *member { return &member{table: t} }

// Want implements store.Sharing.
func (m *member) Want(work store.Work) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.wanted = work.Slots
}

// KeepSlots implements store.Sharing.
func (m *member) KeepSlots(context.Context) error {
	t := m.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.cut {
		return errors.New("the table is away")
	}
	m.told = time.Now()
	t.members[m] = true
	working := 0
	for other := range t.members {
		if m.told.Sub(other.told) >= leaseTime {
			t.forget(other)
		} else if other.wanted.Len() > 0 {
			working++
		}
	}
	share := 0
	if working > 0 {
		share = (m.wanted.Len() + working - 1) / working
	}
	for slot := range store.Slots {
		switch {
		case t.owner[slot] != m:
			m.owned[slot] = 0
		case m.wanted.Has(slot) && share > 0:
			m.owned[slot] = t.epoch[slot]
			share--
		default:
			m.owned[slot] = 0
			if m.uses[slot] == 0 {
				t.owner[slot] = nil
			}
		}
	}
	for _, slot := range rand.Perm(store.Slots) {
		if t.owner[slot] == nil && m.uses[slot] == 0 && m.wanted.Has(slot) && share > 0 {
			t.claim(slot, m)
			share--
		}
	}
	return nil
}

// claim makes a member the owner of a slot.
func (t *table) claim(slot int, m *member) {
	t.owner[slot] = m
	t.epoch[slot]++
	m.owned[slot] = t.epoch[slot]
}

// forget takes all slots away from a member that has not been heard of, which does not notice.
func (t *table) forget(m *member) {
	delete(t.members, m)
	for slot := range t.owner {
		if t.owner[slot] == m {
			t.owner[slot] = nil
		}
	}
}

// leave hands all slots of the member back.
func (m *member) leave() {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.table.forget(m)
	m.owned = store.Epochs{}
}

// steal gives a slot to another member, which knows, while this one does not.
func (m *member) steal(slot int, to *member) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.table.claim(slot, to)
}

// reach says whether the process reaches the table.
func (m *member) reach(can bool) {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.cut = !can
}

// Owned implements store.Sharing.
func (m *member) Owned() store.Epochs {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	if time.Since(m.told) >= trustTime {
		return store.Epochs{}
	}
	return m.owned
}

// Use implements store.Sharing.
func (m *member) Use(slot int) (func(), bool) {
	if m.Owned()[slot] == 0 {
		return nil, false
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.uses[slot]++
	return sync.OnceFunc(func() {
		m.table.mu.Lock()
		defer m.table.mu.Unlock()
		m.uses[slot]--
	}), true
}

// using returns the number of slots in use.
func (m *member) using() int {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	n := 0
	for _, uses := range m.uses {
		n += uses
	}
	return n
}

// Sharing implements store.Sharing.
func (m *member) Sharing() store.SharingStatus { return store.SharingStatus{Shared: true} }

// fenced is a store that refuses what a member stores for slots of others.
type fenced struct {
	*sqlite.Store
	member *member
	// fault makes accesses fail; it may be nil.
	fault func(access string) error
}

func (f fenced) fails(access string) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(access)
}

// check fails if one of the accounts is in a slot of another member. The table must be locked.
func (f fenced) check(appIDs map[string]bool) error {
	refused := &store.NotOwnedError{}
	for appID := range appIDs {
		if f.member.table.owner[store.SlotOf(appID)] != f.member {
			refused.AppIDs = append(refused.AppIDs, appID)
		}
	}
	if len(refused.AppIDs) > 0 {
		return refused
	}
	return nil
}

// Save implements refresh.RecordStore.
func (f fenced) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	if err := f.fails("save"); err != nil {
		return nil, err
	}
	f.member.table.mu.Lock()
	defer f.member.table.mu.Unlock()
	appIDs := map[string]bool{}
	for i := range records {
		appIDs[records[i].AppID] = true
	}
	if err := f.check(appIDs); err != nil {
		return nil, err
	}
	return f.Store.Save(ctx, records)
}

// SaveHolds implements refresh.HoldStore.
func (f fenced) SaveHolds(ctx context.Context, holds []store.Hold) error {
	if err := f.fails("holds"); err != nil {
		return err
	}
	f.member.table.mu.Lock()
	defer f.member.table.mu.Unlock()
	appIDs := map[string]bool{}
	for i := range holds {
		appIDs[holds[i].AppID] = true
	}
	if err := f.check(appIDs); err != nil {
		return err
	}
	return f.Store.SaveHolds(ctx, holds)
}

// Holds implements refresh.HoldStore.
func (f fenced) Holds(ctx context.Context, appIDs ...string) ([]store.Hold, error) {
	if err := f.fails("read"); err != nil {
		return nil, err
	}
	return f.Store.Holds(ctx, appIDs...)
}
