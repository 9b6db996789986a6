package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
)

// abandonedTime is how long the server waits for the next statement of a transaction that claims slots: others wait for
// it to renew those slots, if they were theirs.
const abandonedTime = renewalTime / 2

// KeepSlots implements store.Sharing.
func (m *member) KeepSlots(ctx context.Context) error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	if m.closed {
		return errors.New(m.store.name + ": renew the accounts of this process: the store is closed")
	}
	m.mu.Lock()
	work := m.work
	m.mu.Unlock()
	began := m.now()
	var r *round
	err := m.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		r = &round{member: m, work: work}
		if err := r.renew(ctx, tx); err != nil {
			return err
		}
		m.mu.Lock()
		r.divide()
		m.epochs, m.leaving = r.epochs(), r.leaving
		m.mu.Unlock()
		return r.change(ctx, tx)
	})
	if err != nil {
		return m.store.failed(ctx, "renew the accounts of this process", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.trusted() {
		m.term++
	}
	m.epochs, m.renewed = r.epochs(), began
	m.status = r.status()
	m.status.Renewed = began
	return nil
}

// round is one renewal, within one transaction. The database says what this process owns: it cannot know what became
// of a transaction whose end was not reported.
type round struct {
	member *member
	work   store.Work
	peers  []peer // the living members, those that joined first at the beginning
	slots  [store.Slots]slot
	// leaving are the own slots beyond the share; returned are those of them that no one uses.
	leaving, returned store.SlotSet
	claims            []claim
}

// peer is a living member.
type peer struct {
	id, name string
	accounts uint64
	wanted   store.SlotSet
}

// slot is who owns a slot; free is true if it can be claimed.
type slot struct {
	owner string
	epoch int64
	free  bool
}

// claim is how many of some slots this process claims.
type claim struct {
	slots []int16
	n     int
}

// renew tells that this process lives, renews its slots and reads how the slots are divided.
func (r *round) renew(ctx context.Context, tx pgx.Tx) error {
	m := r.member
	duty, lease := string(m.duty), millis(m.lease)
	var batch pgx.Batch
	batch.Queue(`
		INSERT INTO weixin_exporter.member (id, duty, name, accounts, wanted, joined, until)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + $6::interval)
		ON CONFLICT (id) DO UPDATE SET accounts = excluded.accounts, wanted = excluded.wanted, until = excluded.until`,
		m.id, duty, m.name, int64(r.work.Accounts), packSlots(&r.work.Slots), lease)
	batch.Queue(`UPDATE weixin_exporter.slot SET until = clock_timestamp() + $3::interval WHERE duty = $1 AND owner = $2`, duty, m.id, lease)
	batch.Queue(`DELETE FROM weixin_exporter.member WHERE id IN (
		SELECT id FROM weixin_exporter.member WHERE until < clock_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED)`)
	batch.Queue(`SELECT id, name, accounts, wanted FROM weixin_exporter.member
		WHERE duty = $1 AND until >= clock_timestamp() ORDER BY joined, id`, duty).Query(r.readPeers)
	batch.Queue(`SELECT slot, owner, epoch, until < clock_timestamp() FROM weixin_exporter.slot WHERE duty = $1`, duty).Query(r.readSlots)
	return tx.SendBatch(ctx, &batch).Close()
}

func (r *round) readPeers(rows pgx.Rows) error {
	var p peer
	var accounts int64
	var wanted []byte
	return eachRow(rows, []any{&p.id, &p.name, &accounts, &wanted}, func() error {
		p.accounts, p.wanted = uint64(accounts), unpackSlots(wanted)
		r.peers = append(r.peers, p)
		return nil
	})
}

func (r *round) readSlots(rows pgx.Rows) error {
	var number int16
	var s slot
	return eachRow(rows, []any{&number, &s.owner, &s.epoch, &s.free}, func() error {
		r.slots[number] = s
		return nil
	})
}

// divide decides which slots this process hands back and claims. Slots that the same members want are divided evenly
// among them, so that none of them is left over; of the remainder those get one that joined first, so that no slot passes
// on without need. A slot that was lost while it was in use is not claimed before it is released: what is in use is older
// than what another owner may have stored, and could be saved under the new epoch. The caller holds the mutex of the member.
func (r *round) divide() {
	m := r.member
	groups := map[string][]int{}
	for number := range r.work.Slots.All() {
		wanters := r.wanters(number)
		groups[wanters] = append(groups[wanters], number)
	}
	for number := range r.slots {
		if r.owns(number) && !r.work.Slots.Has(number) {
			r.leaving.Add(number)
		}
	}
	for wanters, group := range groups {
		var own []int
		var free []int16
		for _, number := range group {
			switch {
			case r.owns(number):
				own = append(own, number)
			case r.slots[number].free && m.uses[number] == 0:
				free = append(free, int16(number))
			}
		}
		share := r.share(wanters, len(group))
		if need := share - len(own); need > 0 && len(free) > 0 {
			r.claims = append(r.claims, claim{free, need})
		}
		// Slots that no one uses can pass on at once.
		slices.SortStableFunc(own, func(a, b int) int { return cmp.Compare(m.uses[b], m.uses[a]) })
		for _, number := range own[min(share, len(own)):] {
			r.leaving.Add(number)
		}
	}
	for number := range r.leaving.All() {
		if m.uses[number] == 0 {
			r.returned.Add(number)
		}
	}
}

func (r *round) owns(number int) bool { return r.slots[number].owner == r.member.id }

// wanters says for each living member whether it wants a slot.
func (r *round) wanters(number int) string {
	wants := make([]byte, len(r.peers))
	for i := range r.peers {
		if r.peers[i].wanted.Has(number) {
			wants[i] = 1
		}
	}
	return string(wants)
}

// share returns how many of n slots that the same members want are for this process.
func (r *round) share(wanters string, n int) int {
	members, before := 0, 0 // those that want them, and how many of those joined before this one
	for i := range r.peers {
		if r.peers[i].id == r.member.id {
			before = members
		}
		members += int(wanters[i])
	}
	if members == 0 {
		return 0 // this one's lease has ended in the meantime; it claims something next time
	}
	share := n / members
	if before < n%members {
		share++
	}
	return share
}

// change hands back and claims slots. It passes over slots in which another process is about to save something.
func (r *round) change(ctx context.Context, tx pgx.Tx) error {
	m := r.member
	var batch pgx.Batch
	if r.returned.Len() > 0 {
		var numbers []int16
		for number := range r.returned.All() {
			numbers = append(numbers, int16(number))
		}
		batch.Queue(`UPDATE weixin_exporter.slot SET owner = '', until = to_timestamp(0) WHERE duty = $1 AND owner = $2 AND slot = ANY ($3)`,
			string(m.duty), m.id, numbers)
	}
	for _, c := range r.claims {
		var number int16
		s := slot{owner: m.id}
		batch.Queue(`
			WITH free AS (
				SELECT slot FROM weixin_exporter.slot WHERE duty = $1 AND slot = ANY ($2) AND until < clock_timestamp()
				ORDER BY random() LIMIT $3 FOR UPDATE SKIP LOCKED)
			UPDATE weixin_exporter.slot SET owner = $4, epoch = epoch + 1, until = clock_timestamp() + $5::interval
			FROM free WHERE slot.duty = $1 AND slot.slot = free.slot RETURNING slot.slot, epoch`,
			string(m.duty), c.slots, c.n, m.id, millis(m.lease)).Query(func(rows pgx.Rows) error {
			return eachRow(rows, []any{&number, &s.epoch}, func() error {
				r.slots[number] = s
				return nil
			})
		})
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	for number := range r.returned.All() {
		r.slots[number] = slot{free: true}
	}
	return nil
}

// epochs returns those of the slots that this process owns now.
func (r *round) epochs() store.Epochs {
	var e store.Epochs
	for number := range r.slots {
		if r.owns(number) {
			e[number] = r.slots[number].epoch
		}
	}
	return e
}

// status returns how the slots are divided now.
func (r *round) status() store.SharingStatus {
	s := store.SharingStatus{Shared: true, Known: true, Unused: store.Slots - r.work.Slots.Len()}
	owned := map[string]int{}
	for number := range r.slots {
		if !r.slots[number].free {
			owned[r.slots[number].owner]++
		}
	}
	for number := range r.work.Slots.All() {
		switch {
		case r.slots[number].free:
			s.Unowned++
		case r.owns(number):
			s.Owned++
		default:
			s.Others++
		}
	}
	for _, p := range r.peers {
		s.Peers = append(s.Peers, store.Peer{Name: p.name, Self: p.id == r.member.id, Slots: owned[p.id], Accounts: p.accounts})
	}
	slices.SortStableFunc(s.Peers, func(a, b store.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// packSlots returns a set of slots as it is stored.
func packSlots(s *store.SlotSet) []byte {
	packed := make([]byte, store.Slots/8)
	for number := range s.All() {
		packed[number/8] |= 1 << (number % 8)
	}
	return packed
}

// unpackSlots is the reverse of packSlots.
func unpackSlots(packed []byte) store.SlotSet {
	var s store.SlotSet
	for number := range min(store.Slots, 8*len(packed)) {
		if packed[number/8]&(1<<(number%8)) != 0 {
			s.Add(number)
		}
	}
	return s
}
