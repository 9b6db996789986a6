package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// join opens the store at a URL for an exporter that has work in all slots.
func join(tb testing.TB, url string, clock *storetest.HostClock, name string, lease time.Duration) *postgres.Store {
	tb.Helper()
	s := openAt(tb, secret.NewURL(url), postgres.Options{Duty: store.Refreshing, Now: clock.Now, Name: name, Lease: lease})
	s.Want(store.Work{Slots: store.AllSlots()})
	return s
}

func keep(tb testing.TB, stores ...*postgres.Store) {
	tb.Helper()
	for _, s := range stores {
		if err := storetest.KeepSlots(tb.Context(), s); err != nil {
			tb.Fatal(err)
		}
	}
}

// slotsOf returns how many slots a process owns.
func slotsOf(s *postgres.Store) int {
	n := 0
	for _, epoch := range s.Owned() {
		if epoch != 0 {
			n++
		}
	}
	return n
}

// TestSlotsThatCannotBeRenewed: a process trusts them a little less long than they last, and goes on with them if no one
// has claimed them.
func TestSlotsThatCannotBeRenewed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	proxy := postgrestest.NewProxy(t, server)
	var clock storetest.HostClock
	s := join(t, proxy.URL(database), &clock, "", 14*time.Second)
	keep(t, s)
	before, renewed := s.Owned(), s.Sharing().Renewed
	proxy.BreakAfter(0)
	for _, step := range []struct {
		after time.Duration
		owned int
	}{{6 * time.Second, store.Slots}, {5 * time.Second, store.Slots}, {time.Second, 0}, {time.Hour, 0}} {
		clock.Advance(step.after)
		if err := s.KeepSlots(t.Context()); store.KindOf(err) != store.Unreachable || s.Fault() == nil {
			t.Errorf("renewed without a connection: %v, of the kind %s", err, store.KindOf(err))
		}
		status := s.Sharing()
		if n := slotsOf(s); n != step.owned || status.Owned != step.owned || !status.Renewed.Equal(renewed) {
			t.Errorf("after another %v it owns %d slots, and says %d, renewed at %v", step.after, n, status.Owned, status.Renewed)
		}
		// What was true then is not true for ever: others may have joined, and claimed all.
		if known := step.owned > 0; status.Known != known || (len(status.Peers) > 0) != known || status.Others+status.Unowned+status.Unused > 0 {
			t.Errorf("after another %v it says %+v", step.after, status)
		}
	}
	proxy.BreakAfter(-1)
	keep(t, s)
	if diff := cmp.Diff(before, s.Owned()); diff != "" || !s.Sharing().Renewed.Equal(clock.Now()) || s.Sharing().Owned != store.Slots {
		t.Errorf("with a connection again (-before +after):\n%s", diff)
	}
}

// TestABrokenRenewal: wherever the connection breaks, no two processes own the same slot, and none is left over.
func TestABrokenRenewal(t *testing.T) {
	t.Parallel()
	broken := 0
	for writes := 0; ; writes++ {
		database := newDatabase(t)
		proxy := postgrestest.NewProxy(t, server)
		var clock storetest.HostClock
		url := server.URL(database)
		first, second := join(t, proxy.URL(database), &clock, "first", time.Hour), join(t, url, &clock, "second", time.Hour)
		keep(t, first, second) // the first one must hand back half of its slots
		proxy.BreakAfter(writes)
		err := first.KeepSlots(t.Context())
		proxy.BreakAfter(-1)
		for range 3 {
			keep(t, second)
			former, latter := first.Owned(), second.Owned()
			for slot := range former {
				if former[slot] != 0 && latter[slot] != 0 {
					t.Fatalf("after %d writes both own the slot %d", writes, slot)
				}
			}
			keep(t, first)
		}
		if n, m := slotsOf(first), slotsOf(second); n != store.Slots/2 || m != store.Slots/2 {
			t.Errorf("after %d writes they own %d and %d slots", writes, n, m)
		}
		if err == nil {
			break
		}
		broken++
	}
	if broken < 3 {
		t.Errorf("broken at %d points only", broken)
	}
}

// TestASaveKeepsSlotsFromBeingClaimed: no one claims the slot of an account between the check and the end of a save, and
// its owner can renew it meanwhile.
func TestASaveKeepsSlotsFromBeingClaimed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	var clock storetest.HostClock
	first := openAt(t, secret.NewURL(server.URL(database)), postgres.Options{
		Duty: store.Refreshing, Now: clock.Now, Name: "first", Lease: time.Hour, BusyTimeout: time.Hour,
	})
	first.Want(store.Work{Slots: store.AllSlots()})
	second := join(t, server.URL(database), &clock, "second", time.Hour)
	keep(t, first)
	storetest.Save(t, first, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	shop := store.SlotOf(storetest.Shop)
	other := connect(t, database)
	tx, err := other.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), `UPDATE weixin_exporter.account SET changed = changed`)
	}
	if err != nil {
		t.Fatal(err)
	}
	saved := make(chan error, 1)
	go func() {
		_, err := first.Save(t.Context(), []store.Record{storetest.Daily(storetest.Shop, storetest.FirstDay, 2)})
		saved <- err
	}()
	waitForLocks(t, connect(t, database), 1)
	keep(t, first)
	expire(t, database, "first")
	keep(t, second)
	if owned := second.Owned(); slotsOf(second) != store.Slots-1 || owned[shop] != 0 {
		t.Errorf("it claimed %d slots, that of the save: %v", slotsOf(second), owned[shop] != 0)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; err != nil {
		t.Error(err)
	}
	keep(t, second)
	if owned := second.Owned(); owned[shop] == 0 {
		t.Error("the slot was not claimed after the save")
	}
}

// waitForLocks waits until n statements wait for locks in the database of a connection.
func waitForLocks(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	for waiting := 0; waiting < n; {
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestQueriesDoNotKeepSlotsFromBeingRenewed: the renewal has a connection of its own.
func TestQueriesDoNotKeepSlotsFromBeingRenewed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	var clock storetest.HostClock
	s := join(t, server.URL(database)+"&pool_max_conns=1", &clock, "", time.Hour)
	storetest.ReadFigures(t, s, func(*store.FigureReader) { keep(t, s) })
	if n := slotsOf(s); n != store.Slots {
		t.Errorf("it owns %d slots", n)
	}
}

// TestAllConnectionsInUse: what queries and writes can use is used up, whatever the renewal of the slots has.
func TestAllConnectionsInUse(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	var clock storetest.HostClock
	s := join(t, server.URL(database)+"&pool_max_conns=1", &clock, "", time.Hour)
	keep(t, s)
	storetest.ReadFigures(t, s, func(*store.FigureReader) {
		if got := s.Sharing().Connections; got != (store.Connections{Used: 1, Max: 1}) {
			t.Errorf("during a query: %+v", got)
		}
	})
	if got := s.Sharing().Connections; got != (store.Connections{Idle: 1, Max: 1}) {
		t.Errorf("afterwards: %+v", got)
	}
}

// TestAClosedMember: what was handed back cannot be claimed again by the same process.
func TestAClosedMember(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	var clock storetest.HostClock
	s := join(t, server.URL(database), &clock, "", time.Hour)
	keep(t, s)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepSlots(t.Context()); err == nil {
		t.Error("a closed store renews its slots")
	}
	var members, owned int
	err := connect(t, database).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM weixin_exporter.member),
		(SELECT count(*) FROM weixin_exporter.slot WHERE owner <> '')`).Scan(&members, &owned)
	if err != nil || members != 0 || owned != 0 {
		t.Errorf("there are %d members and %d owned slots: %v", members, owned, err)
	}
}
