package storetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Member is a process that shares the work of a duty.
type Member struct {
	Duty store.Duty
	// Name is that by which other members know it.
	Name string
	// Now is its clock.
	Now func() time.Time
	// Lease is how long others wait before they claim its slots; 0 is the default of the engine.
	Lease time.Duration
}

// HostClock is a clock that a test sets. It begins at Asked.
type HostClock struct{ offset atomic.Int64 }

// Now returns the time.
func (c *HostClock) Now() time.Time { return Asked().Add(time.Duration(c.offset.Load())) }

// Advance sets the clock forward, or back.
func (c *HostClock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

// member is a member that has joined.
type member struct {
	store.Store

	name  string
	clock *HostClock
}

// lease is that of the members of tests: it does not end, however slow the machine is.
const lease = time.Hour

// join lets a process join that has work in some slots.
func join(t *testing.T, p Place, name string, slots store.SlotSet) member {
	t.Helper()
	m := member{name: name, clock: &HostClock{}}
	m.Store = p.Join(t, Member{Duty: store.Refreshing, Name: name, Now: m.clock.Now, Lease: lease})
	m.Want(store.Work{Slots: slots, Accounts: 1})
	return m
}

// expire makes the lease of a member end, as if it had been suspended; its clock went on.
func (m member) expire(t *testing.T, p Place) {
	t.Helper()
	p.Expire(t, m.name)
	m.clock.Advance(lease)
}

// keep lets each member renew its slots once.
func keep(t *testing.T, members ...member) {
	t.Helper()
	for _, m := range members {
		if err := KeepSlots(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
	}
}

// KeepSlots renews the slots of a process. On a busy machine that can take longer than the engine allows, so it is repeated a
// few times, as a process repeats it at the next interval.
func KeepSlots(ctx context.Context, s store.Sharing) error {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		err := s.KeepSlots(ctx)
		if err == nil || attempt == attempts || store.KindOf(err) != store.Unreachable && store.KindOf(err) != store.Locked {
			return err
		}
	}
}

// settle lets members renew their slots until nothing has to change any more.
func settle(t *testing.T, members ...member) {
	t.Helper()
	const rounds = 3
	for range rounds {
		keep(t, members...)
	}
}

// owned returns the slots that a process owns.
func owned(s store.Sharing) store.SlotSet {
	var set store.SlotSet
	for slot, epoch := range s.Owned() {
		if epoch != 0 {
			set.Add(slot)
		}
	}
	return set
}

// checkShares checks how many slots each member owns, that no two own the same, and that none of those is left over.
func checkShares(t *testing.T, all store.SlotSet, want []int, members ...member) {
	t.Helper()
	var together store.SlotSet
	var shares []int
	for _, m := range members {
		set := owned(m)
		shares = append(shares, set.Len())
		for slot := range set.All() {
			if together.Has(slot) {
				t.Errorf("%s owns the slot %d of another one", m.name, slot)
			}
			together.Add(slot)
		}
	}
	slices.Sort(shares)
	if !slices.Equal(shares, want) || together != all {
		t.Errorf("they own %v slots, together %d, want %v", shares, together.Len(), want)
	}
}

// notOwned checks that an error names these accounts, and no others.
func notOwned(t *testing.T, err error, appIDs ...string) {
	t.Helper()
	refused, ok := errors.AsType[*store.NotOwnedError](err)
	if !ok || !slices.Equal(refused.AppIDs, appIDs) || store.KindOf(err) != store.Locked {
		t.Errorf("got %v, of the kind %s, want a refusal because of %q", err, store.KindOf(err), appIDs)
	}
}

// testWithoutADuty: a process that shares no work may do everything.
func testWithoutADuty(t *testing.T, e Engine) {
	s := e.New(t).Open(t)
	s.Want(store.WorkOf(Shop))
	if err := s.KeepSlots(t.Context()); err != nil {
		t.Fatal(err)
	}
	if set := owned(s); set != store.AllSlots() || s.Sharing().Shared {
		t.Errorf("it owns %d slots: %+v", set.Len(), s.Sharing())
	}
	release, ok := s.Use(store.SlotOf(Shop))
	if !ok {
		t.Fatal("a slot cannot be used")
	}
	release()
}

// testFairShares: members get the same number of slots, those of one that ends pass on at once, and nothing moves
// without need.
func testFairShares(t *testing.T, e Engine) {
	p := e.New(t)
	first := join(t, p, "first", store.AllSlots())
	if set := owned(first); set.Len() > 0 {
		t.Errorf("it owns %d slots that it did not claim", set.Len())
	}
	keep(t, first)
	checkShares(t, store.AllSlots(), []int{256}, first)
	second := join(t, p, "second", store.AllSlots())
	settle(t, second, first)
	checkShares(t, store.AllSlots(), []int{128, 128}, first, second)
	third := join(t, p, "third", store.AllSlots())
	settle(t, first, second, third)
	checkShares(t, store.AllSlots(), []int{85, 85, 86}, first, second, third)

	before := [...]store.Epochs{first.Owned(), second.Owned(), third.Owned()}
	settle(t, third, first, second)
	if after := [...]store.Epochs{first.Owned(), second.Owned(), third.Owned()}; after != before {
		t.Error("slots passed on without need")
	}
	s := second.Sharing()
	if !s.Shared || !s.Renewed.Equal(second.clock.Now()) || s.Owned != s.Peers[1].Slots || s.Owned+s.Others != store.Slots || s.Unowned != 0 || s.Unused != 0 {
		t.Errorf("the second one says %+v", s)
	}
	if c := s.Connections; c.Used != 0 || c.Idle < 1 || c.Max < 2 {
		t.Errorf("its connections are %+v", c)
	}
	for i, want := range []string{"first", "second", "third"} {
		if got := s.Peers[i]; got.Name != want || got.Self != (i == 1) || got.Slots < 85 || got.Accounts != 1 {
			t.Errorf("peer %d of the second one: %+v", i, got)
		}
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	keep(t, second, third)
	checkShares(t, store.AllSlots(), []int{128, 128}, second, third)
	if n := len(third.Sharing().Peers); n != 2 {
		t.Errorf("it knows %d processes after one of three has ended", n)
	}
}

// testFewSlots: with fewer slots than members, those that have one keep it.
func testFewSlots(t *testing.T, e Engine) {
	p := e.New(t)
	var few store.SlotSet
	few.Add(7)
	few.Add(200)
	first := join(t, p, "first", few)
	keep(t, first)
	checkShares(t, few, []int{2}, first)
	second := join(t, p, "second", few)
	settle(t, first, second)
	third := join(t, p, "third", few)
	members := []member{third, second, first}
	keep(t, members...)
	before := [...]store.Epochs{first.Owned(), second.Owned(), third.Owned()}
	for range 5 {
		keep(t, members...)
	}
	if after := [...]store.Epochs{first.Owned(), second.Owned(), third.Owned()}; after != before {
		t.Error("slots passed on without need")
	}
	checkShares(t, few, []int{0, 1, 1}, members...)
	if s := third.Sharing(); s.Owned != 0 || s.Others != 2 || s.Unused != 254 {
		t.Errorf("the third one says %+v", s)
	}
}

// testDifferentWork: every slot that anyone wants is owned, also if the members have different accounts.
func testDifferentWork(t *testing.T, e Engine) {
	p := e.New(t)
	var ten store.SlotSet
	for slot := range 10 {
		ten.Add(slot)
	}
	few, all, idle := join(t, p, "few", ten), join(t, p, "all", store.AllSlots()), join(t, p, "idle", store.SlotSet{})
	settle(t, idle, all, few)
	checkShares(t, store.AllSlots(), []int{0, 5, 251}, few, all, idle)

	all.Want(store.Work{Accounts: 2})
	settle(t, all, few)
	checkShares(t, ten, []int{0, 0, 10}, few, all, idle)
	if s := all.Sharing(); s.Owned+s.Others+s.Unowned != 0 || s.Unused != store.Slots || s.Peers[0].Accounts != 2 || s.Peers[1].Accounts != 1 {
		t.Errorf("without work it says %+v", s)
	}
}

// testTakeover: the slots of a member that was suspended pass on. It can then save nothing of theirs, and claims its
// share again.
func testTakeover(t *testing.T, e Engine) {
	p := e.New(t)
	first := join(t, p, "first", store.AllSlots())
	keep(t, first)
	Save(t, first, Daily(Shop, FirstDay, 1))
	second := join(t, p, "second", store.AllSlots())
	p.Expire(t, "first") // and its clock stands still, so that it believes to own the slots
	keep(t, second)
	checkShares(t, store.AllSlots(), []int{256}, second)
	former, latter := first.Owned(), second.Owned()
	for slot := range former {
		if latter[slot] <= former[slot] || former[slot] == 0 {
			t.Fatalf("the epochs of slot %d are %d and %d", slot, former[slot], latter[slot])
		}
	}
	Save(t, second, Daily(Shop, FirstDay, 2))
	_, err := first.Save(t.Context(), []store.Record{Daily(Shop, FirstDay, 3), Daily(Bot, FirstDay, 3), Daily(Shop, FirstDay+1, 3)})
	notOwned(t, err, Shop, Bot)
	notOwned(t, first.SaveHolds(t.Context(), []store.Hold{{AppID: Bot}}), Bot)
	if got := Load(t, second, FirstDay); got[Shop].Daily.Figures.Callbacks != 2 || got[Shop].Days[datacube.Daily] != 1 || got[Bot] != nil {
		t.Errorf("stored: %+v", got)
	}

	settle(t, first, second)
	checkShares(t, store.AllSlots(), []int{128, 128}, first, second)
	again, set := first.Owned(), owned(first)
	for slot := range set.All() {
		if again[slot] <= latter[slot] {
			t.Fatalf("the epochs of slot %d are %d and %d", slot, latter[slot], again[slot])
		}
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	keep(t, first)
	Save(t, first, Daily(Shop, FirstDay, 4), Daily(Bot, FirstDay, 4))
}

// testOnlyLostAccountsAreRefused: an error names the accounts without which the rest can be stored. What is true,
// no matter who records it, is recorded.
func testOnlyLostAccountsAreRefused(t *testing.T, e Engine) {
	p := e.New(t)
	shop, bot := slotsOf(Shop), slotsOf(Bot)
	s := join(t, p, "one", shop)
	keep(t, s, join(t, p, "other", bot))
	_, err := s.Save(t.Context(), []store.Record{Daily(Shop, FirstDay, 1), Daily(Bot, FirstDay, 1)})
	notOwned(t, err, Bot)
	notOwned(t, s.SaveHolds(t.Context(), []store.Hold{{AppID: Bot}, {AppID: Shop}}), Bot)
	Save(t, s, Daily(Shop, FirstDay, 1))
	if err := s.SaveHolds(t.Context(), []store.Hold{{AppID: Shop}}); err != nil {
		t.Error(err)
	}
	if got := Load(t, s, FirstDay); len(got) != 1 || got[Shop] == nil {
		t.Errorf("stored: %v", got)
	}
	// A command without a duty may write anything.
	Save(t, p.Open(t), Daily(Bot, FirstDay, 1))
	for name, write := range map[string]func() error{
		"prune":     func() error { _, err := s.Prune(t.Context(), FirstDay-1); return err },
		"time":      func() error { return s.RecordTime(t.Context(), Asked()) },
		"delivered": func() error { return s.MarkDelivered(t.Context(), "endpoint", Asked(), store.Pending{AppID: Bot}) },
		"resend":    func() error { _, err := s.Resend(t.Context(), "endpoint", FirstDay, FirstDay, Bot); return err },
	} {
		if err := write(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slotsOf returns the slots of accounts.
func slotsOf(appIDs ...string) store.SlotSet { return store.WorkOf(appIDs...).Slots }

// testUseKeepsASlot: slots in use do not pass on, no new use of them begins, and what is in use can be saved.
func testUseKeepsASlot(t *testing.T, e Engine) {
	p := e.New(t)
	first := join(t, p, "first", store.AllSlots())
	keep(t, first)
	releases := make([]func(), store.Slots)
	for slot := range releases {
		release, ok := first.Use(slot)
		if !ok {
			t.Fatalf("slot %d cannot be used", slot)
		}
		releases[slot] = release
	}
	second := join(t, p, "second", store.AllSlots())
	settle(t, second, first)
	if set := owned(first); set.Len() != 128 {
		t.Errorf("the first one works on %d slots", set.Len())
	}
	if set := owned(second); set.Len() > 0 {
		t.Errorf("%d slots have passed on while they were used", set.Len())
	}
	mine := owned(first)
	for slot := range store.Slots {
		if _, ok := first.Use(slot); ok != mine.Has(slot) {
			t.Errorf("slot %d can be used: %v", slot, ok)
		}
	}
	records := make([]store.Record, 100) // in slots of both kinds
	for i := range records {
		records[i] = Daily(AppID(i), FirstDay, 1)
	}
	Save(t, first, records...)
	const freed = 10
	given := 0
	for slot, release := range releases {
		if !mine.Has(slot) && given < freed {
			release()
			release() // only the first call counts
			given++
		}
	}
	settle(t, first, second)
	if set := owned(second); set.Len() != freed {
		t.Errorf("%d slots have passed on, want %d", set.Len(), freed)
	}
	for _, release := range releases {
		release()
	}
	settle(t, first, second)
	checkShares(t, store.AllSlots(), []int{128, 128}, first, second)
}

// testLostWhileInUse: what a process began before it lost a slot cannot be saved after another owner has ended. The process
// claims the slot again once nothing of that time is in use.
func testLostWhileInUse(t *testing.T, e Engine) {
	p := e.New(t)
	first := join(t, p, "first", store.AllSlots())
	keep(t, first)
	shop := store.SlotOf(Shop)
	release, ok := first.Use(shop)
	if !ok {
		t.Fatal("the slot cannot be used")
	}
	second := join(t, p, "second", store.AllSlots())
	p.Expire(t, "first")
	keep(t, second)
	Save(t, second, Daily(Shop, FirstDay, 2))
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	settle(t, first)
	if set := owned(first); set.Has(shop) || set.Len() != store.Slots-1 {
		t.Errorf("it owns %d slots, that in use: %v", set.Len(), set.Has(shop))
	}
	_, err := first.Save(t.Context(), []store.Record{Daily(Shop, FirstDay, 1)})
	notOwned(t, err, Shop)
	release()
	keep(t, first)
	checkShares(t, store.AllSlots(), []int{store.Slots}, first)
	if got := Load(t, first, FirstDay); got[Shop].Daily.Figures.Callbacks != 2 {
		t.Errorf("stored: %+v", got[Shop])
	}
	Save(t, first, Daily(Shop, FirstDay, 3))
}

// testDuties: each duty has its own owners.
func testDuties(t *testing.T, e Engine) {
	p := e.New(t)
	exporter := join(t, p, "exporter", store.AllSlots())
	var clock HostClock
	backfill := member{p.Join(t, Member{Duty: store.Backfilling, Name: "backfill", Now: clock.Now, Lease: lease}), "backfill", &clock}
	backfill.Want(store.Work{Slots: store.AllSlots()})
	settle(t, exporter, backfill)
	checkShares(t, store.AllSlots(), []int{256}, exporter)
	checkShares(t, store.AllSlots(), []int{256}, backfill)
	Save(t, exporter, Daily(Shop, FirstDay, 1))
	Save(t, backfill, Daily(Shop, FirstDay-1, 1))
	if s := backfill.Sharing(); len(s.Peers) != 1 || s.Peers[0].Name != "backfill" {
		t.Errorf("it shares with %+v", s.Peers)
	}
}

// testTrust: a process trusts that it owns its slots a little less long than no one else can claim them, and not at all
// after its clock was set back.
func testTrust(t *testing.T, e Engine) {
	p := e.New(t)
	const lease = 14 * time.Second // of which it trusts 12
	m := member{name: "one", clock: &HostClock{}}
	m.Store = p.Join(t, Member{Duty: store.Refreshing, Name: m.name, Now: m.clock.Now, Lease: lease})
	m.Want(store.Work{Slots: store.AllSlots()})
	for _, step := range []struct {
		after   time.Duration
		trusted bool
	}{{6 * time.Second, true}, {6*time.Second - 1, true}, {1, false}, {time.Hour, false}, {-time.Hour - 13*time.Second, false}} {
		if step.after == 6*time.Second {
			keep(t, m)
		}
		m.clock.Advance(step.after)
		_, usable := m.Use(3)
		if set := owned(m); (set.Len() > 0) != step.trusted || usable != step.trusted {
			t.Errorf("after another %v it owns %d slots; usable: %v", step.after, set.Len(), usable)
		}
	}
	keep(t, m)
	checkShares(t, store.AllSlots(), []int{256}, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	checkShares(t, store.SlotSet{}, []int{0}, m)
}
