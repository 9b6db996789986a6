package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"weixin_exporter/internal/store"
)

const (
	// leaseTime is how long a process that does not renew its slots keeps others from claiming them.
	leaseTime = 15 * time.Second
	// marginPart is which part of the lease the owner trusts less than the server: the clocks of the two may run at
	// different speeds.
	marginPart = 7
	// renewalTime is how long a renewal may take. It is less than the interval of renewals.
	renewalTime = 4 * time.Second
)

// member is this process among those that share the work of a duty; it implements store.Sharing.
type member struct {
	store *Store
	// pool has one connection of its own, so that long queries never keep the slots from being renewed.
	pool  *pgxpool.Pool
	now   func() time.Time
	duty  store.Duty
	id    string
	name  string
	lease time.Duration

	keeping sync.Mutex // held while the database is changed
	closed  bool       // belongs to keeping

	mu   sync.Mutex
	work store.Work
	// epochs are those of the slots that this process owns, as of the latest renewal.
	epochs store.Epochs
	// leaving are those of them that are no longer given out, and handed back once no one uses them.
	leaving store.SlotSet
	uses    [store.Slots]int
	// renewed is when the latest renewal that succeeded began.
	renewed time.Time
	// term grows with each renewal that succeeded too late: others may have had the slots in the meantime.
	term int64
	// status is as of then, without the connections.
	status store.SharingStatus
}

func newMember(s *Store, pool *pgxpool.Pool, o Options) *member {
	m := &member{store: s, pool: pool, now: o.Now, duty: o.Duty, id: rand.Text(), name: o.Name, lease: o.Lease}
	if m.lease <= 0 {
		m.lease = leaseTime
	}
	if m.name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown host"
		}
		m.name = fmt.Sprintf("%s, process %d since %s", host, os.Getpid(), o.Now().UTC().Format(time.RFC3339))
	}
	return m
}

// Want implements store.Sharing.
func (m *member) Want(work store.Work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.work = work
}

// Owned implements store.Sharing.
func (m *member) Owned() store.Epochs {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.trusted() {
		return store.Epochs{}
	}
	owned := m.epochs
	for slot := range m.leaving.All() {
		owned[slot] = 0
	}
	return owned
}

// Use implements store.Sharing.
func (m *member) Use(slot int) (func(), bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epochs[slot] == 0 || m.leaving.Has(slot) || !m.trusted() {
		return nil, false
	}
	m.uses[slot]++
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.uses[slot]--
	}), true
}

// trusted reports whether the server can have given the slots to no other process.
func (m *member) trusted() bool { return m.trustedFor() > 0 }

// trustedFor returns how long that will be so if they are not renewed again. They must have been renewed recently, by the clock
// that cannot be set and by the one that goes on while the machine is suspended. Without the former, a clock that was
// set back proves nothing.
func (m *member) trustedFor() time.Duration {
	if m.renewed.IsZero() {
		return 0
	}
	now := m.now()
	elapsed, byTheDate := now.Sub(m.renewed), now.Round(0).Sub(m.renewed.Round(0))
	if elapsed < 0 {
		return 0
	}
	return m.lease - m.lease/marginPart - max(elapsed, byTheDate)
}

// Sharing implements store.Sharing.
func (m *member) Sharing() store.SharingStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	status := store.SharingStatus{Shared: true, Renewed: m.renewed, Unused: store.Slots - m.work.Slots.Len()}
	if m.trusted() {
		status = m.status
		status.Peers = slices.Clone(status.Peers)
	}
	now := m.store.pool.Stat()
	status.Connections = store.Connections{
		Used: int(now.AcquiredConns() + now.ConstructingConns()), Idle: int(now.IdleConns()), Max: int(now.MaxConns()),
	}
	return status
}

// checkOwned fails if this process has a duty and does not own the slots of these accounts. Until the transaction ends
// no other process can claim them, and the owner can renew them.
func (s *Store) checkOwned(ctx context.Context, tx pgx.Tx, appIDs []string) error {
	m := s.member
	if m == nil {
		return nil
	}
	accounts := map[int16][]string{}
	for _, appID := range appIDs {
		slot := int16(store.SlotOf(appID))
		accounts[slot] = append(accounts[slot], appID)
	}
	rows, err := tx.Query(ctx, `SELECT slot, owner, epoch FROM weixin_exporter.slot WHERE duty = $1 AND slot = ANY ($2) FOR KEY SHARE`,
		string(m.duty), slices.Collect(maps.Keys(accounts)))
	if err != nil {
		return err
	}
	m.mu.Lock()
	known := m.epochs
	m.mu.Unlock()
	var slot int16
	var owner string
	var epoch int64
	err = eachRow(rows, []any{&slot, &owner, &epoch}, func() error {
		if owner == m.id && epoch == known[slot] {
			delete(accounts, slot)
		}
		return nil
	})
	if err != nil || len(accounts) == 0 {
		return err
	}
	lost := slices.Sorted(func(yield func(string) bool) {
		for _, appIDs := range accounts {
			for _, appID := range appIDs {
				if !yield(appID) {
					return
				}
			}
		}
	})
	return &store.NotOwnedError{AppIDs: slices.Compact(lost)}
}

// close hands all slots back, so that other processes can claim them at once.
func (m *member) close() error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.mu.Lock()
	m.epochs, m.renewed = store.Epochs{}, time.Time{}
	m.mu.Unlock()
	ctx := context.Background()
	err := m.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(`UPDATE weixin_exporter.slot SET owner = '', until = to_timestamp(0) WHERE duty = $1 AND owner = $2`, string(m.duty), m.id)
		batch.Queue(`DELETE FROM weixin_exporter.member WHERE id = $1`, m.id)
		return tx.SendBatch(ctx, &batch).Close()
	})
	m.pool.Close()
	if err != nil {
		return m.store.failed(ctx, "hand the accounts over to other processes", err)
	}
	return nil
}

func (m *member) inTx(ctx context.Context, work func(context.Context, pgx.Tx) error) error {
	return m.store.inTx(ctx, m.pool, renewalTime, begin(write, abandonedTime), work)
}
