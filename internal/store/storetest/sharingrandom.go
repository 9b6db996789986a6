package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"weixin_exporter/internal/store"
)

// testRandomMembers lets five members join, stop, die and be suspended, some with a clock that stands still meanwhile. No
// two of them can save the responses of one account, and no two whose clocks go on own the same slot.
func testRandomMembers(t *testing.T, e Engine) {
	const seed, steps, most = 20261129, 100, 5
	r := random{t: t, rand: rand.New(rand.NewPCG(seed, 0)), place: e.New(t)}
	for range steps {
		switch n := r.rand.IntN(20); {
		case len(r.members) == 0 || n < 3 && len(r.members) < most:
			r.join()
		case n < 12:
			m := r.pick()
			keep(t, m.member)
			m.wrong = false
		case n < 14:
			r.suspend()
		case n < 15:
			r.end()
		default:
			r.use()
		}
		r.check()
	}
	for _, m := range r.members {
		for _, release := range m.releases {
			release()
		}
	}
	if len(r.members) == 0 {
		r.join()
	}
	members := make([]member, len(r.members))
	for i, m := range r.members {
		members[i] = m.member
	}
	for range 2 { // those that were suspended come back first
		settle(t, members...)
	}
	shares := make([]int, len(members))
	for i := range store.Slots {
		shares[i%len(shares)]++
	}
	slices.Sort(shares)
	checkShares(t, store.AllSlots(), shares, members...)
}

// random is a random sequence of events.
type random struct {
	t       *testing.T
	rand    *rand.Rand
	place   Place
	members []*randomMember
	joined  int
	version int64
}

type randomMember struct {
	member

	wrong    bool // it was suspended, and its clock stood still
	releases []func()
}

func (r *random) pick() *randomMember { return r.members[r.rand.IntN(len(r.members))] }

func (r *random) join() {
	r.joined++
	m := &randomMember{member: join(r.t, r.place, fmt.Sprintf("member %d", r.joined), store.AllSlots())}
	keep(r.t, m.member)
	r.members = append(r.members, m)
}

// suspend lets the lease of a member end.
func (r *random) suspend() {
	m := r.pick()
	if r.rand.IntN(2) == 0 {
		m.expire(r.t, r.place)
		return
	}
	r.place.Expire(r.t, m.name)
	m.wrong = true
}

// end lets a member stop, or die without handing anything back.
func (r *random) end() {
	i := r.rand.IntN(len(r.members))
	if m := r.members[i]; r.rand.IntN(2) == 0 {
		if err := m.Close(); err != nil {
			r.t.Fatal(err)
		}
	} else {
		r.place.Expire(r.t, m.name)
	}
	r.members = slices.Delete(r.members, i, i+1)
}

// use lets a member use a slot, or end a use.
func (r *random) use() {
	m := r.pick()
	if len(m.releases) > 3 {
		m.releases[0]()
		m.releases = m.releases[1:]
		return
	}
	if release, ok := m.Use(r.rand.IntN(store.Slots)); ok {
		m.releases = append(m.releases, release)
	}
}

// check lets all members save something of the same account.
func (r *random) check() {
	appID := AppID(r.rand.IntN(1000))
	var saved []string
	var owners store.SlotSet
	for _, i := range r.rand.Perm(len(r.members)) {
		m := r.members[i]
		r.version++
		_, err := m.Save(r.t.Context(), []store.Record{Daily(appID, FirstDay, r.version)})
		if err == nil {
			saved = append(saved, m.name)
		} else {
			notOwned(r.t, err, appID)
		}
		if m.wrong {
			continue
		}
		set := owned(m)
		for slot := range set.All() {
			if owners.Has(slot) {
				r.t.Fatalf("%s owns the slot %d of another one", m.name, slot)
			}
			owners.Add(slot)
		}
	}
	if len(saved) > 1 {
		r.t.Fatalf("%q have all saved responses of one account", saved)
	}
}

// testMembersAtTheSameTime: members that claim and save at the same time do not make each other fail.
func testMembersAtTheSameTime(t *testing.T, e Engine) {
	p := e.New(t)
	const members, rounds = 3, 10
	all := make([]member, members)
	for i := range all {
		all[i] = join(t, p, fmt.Sprintf("member %d", i), store.AllSlots())
	}
	var working sync.WaitGroup
	for i, m := range all {
		working.Go(func() {
			for range rounds {
				if err := m.KeepSlots(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		working.Go(func() {
			for n := range rounds {
				_, err := m.Save(t.Context(), []store.Record{Daily(AppID(10*n+i), FirstDay, 1)})
				if _, refused := errors.AsType[*store.NotOwnedError](err); err != nil && !refused {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	settle(t, all...)
	checkShares(t, store.AllSlots(), []int{85, 85, 86}, all...)
}
