package tokens_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

var one, two = keyText("ab"), keyText("cd")

// faultOf returns the fault of an error.
func faultOf(err error) weixin.RefreshTokenFault {
	if failed, ok := errors.AsType[*weixin.RefreshTokenError](err); ok {
		return failed.Fault
	}
	return ""
}

// mustBeClean checks that a text shows no token and no key.
func (w *world) mustBeClean(t *testing.T, text string) {
	t.Helper()
	for _, hidden := range append(w.Secrets(), "abababab", "cdcdcdcd", "sim-token-", "sim-secret-") {
		if strings.Contains(text, hidden) {
			t.Error("a token or a key is shown")
		}
	}
}

// fetch exchanges the refresh token. It tries again only if others had the lock for too long.
func fetch(t *testing.T, p *process) {
	t.Helper()
	_, err := p.source.Fetch(t.Context())
	for weixin.ReasonOf(err) == weixin.Busy && strings.Contains(err.Error(), "another process is exchanging") {
		_, err = p.source.Fetch(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestRotation: three processes exchange the refresh token 200 times. None is lost, and none is exchanged twice.
func TestRotation(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w *world) { //nolint:thelper // the test itself
		seed := w.file(t, "refresh", w.RefreshToken(theAppID)+"\n")
		processes := []*process{w.start(t, one, seed), w.start(t, one, seed), w.start(t, one, seed)}
		const rounds = 67
		for range rounds {
			var all sync.WaitGroup
			for _, p := range processes {
				all.Go(func() { fetch(t, p) })
			}
			all.Wait()
			if t.Failed() {
				return
			}
		}
		if all, same := w.exchanges(); all != 3*rounds || same != 1 {
			t.Errorf("%d exchanges, %d of the same refresh token; want %d and 1", all, same, 3*rounds)
		}
		if w.stored(t, one) != w.RefreshToken(theAppID) {
			t.Error("the stored refresh token is not the last one")
		}
		mustCall(t, processes[0].account) // with a token that revokes all former refresh tokens
		fetch(t, processes[1])
		w.mustBeClean(t, w.dump(t))
	})
}

// TestCrashBetweenExchangeAndSave: the next process waits for the end of the lock and exchanges the same refresh token; the
// first one, which was only suspended, changes nothing.
func TestCrashBetweenExchangeAndSave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	seed := w.file(t, "refresh", w.RefreshToken(theAppID))
	first, second := w.start(t, one, seed), w.start(t, one, seed)
	w.onExchange(func() { first.store.cut.Store(true) })
	_, err := first.source.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "saving the new refresh token") {
		t.Fatalf("saved although it was cut off: %v", err)
	}
	w.mustBeClean(t, err.Error())
	w.onExchange(nil)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { _, err := second.source.Fetch(ctx); waiting <- err }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("did not wait for the lock: %v", err)
	}
	w.run(t, `UPDATE weixin_exporter.token SET locked_until = clock_timestamp()`)
	fetch(t, second)
	if all, same := w.exchanges(); all != 2 || same != 2 {
		t.Errorf("%d exchanges, %d of the same refresh token; want 2 and 2", all, same)
	}
	latest := w.stored(t, one)
	first.store.cut.Store(false)
	mustCall(t, second.account)
	fetch(t, first)
	if latest == w.stored(t, one) || w.stored(t, one) != w.RefreshToken(theAppID) {
		t.Error("the stored refresh token is not the last one")
	}
}

// TestCrashOfAnExporter in the middle of an exchange: the one that takes over its slots exchanges the same refresh token at once.
// The first one, which was only suspended, changes nothing, and does not use a lock that it had before.
func TestCrashOfAnExporter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	var clock storetest.HostClock
	keep := func(db *postgres.Store) {
		t.Helper()
		if err := storetest.KeepSlots(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	exporter := func(name string) (*postgres.Store, *process) {
		db := w.open(t, postgres.Options{Duty: store.Refreshing, Name: name, Now: clock.Now, Lease: time.Hour})
		keep(db)
		return db, w.startOn(t, db, one, w.file(t, "refresh", w.RefreshToken(theAppID)))
	}
	db, first := exporter("first")
	locked, unlock, err := first.refresh.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	other, second := exporter("second")
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { _, err := second.source.Fetch(ctx); waiting <- err }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) || locked.Err() != nil {
		t.Errorf("did not wait for the lock: %v", err)
	}
	clock.Advance(time.Hour)
	keep(other)
	w.run(t, `UPDATE weixin_exporter.member SET until = to_timestamp(0) WHERE name = 'first'`)
	fetch(t, second)
	if <-locked.Done(); !errors.Is(locked.Err(), context.Canceled) {
		t.Errorf("the first one could exchange until the lock itself would have ended: %v", locked.Err())
	}
	keep(db)
	latest := w.stored(t, one)
	if err := first.refresh.Save(t.Context(), secret.New("sim-token-used"), secret.New("sim-token-late")); faultOf(err) != weixin.RefreshTokenReplaced {
		t.Errorf("the first one has stored another refresh token: %v", err)
	}
	if all, same := w.exchanges(); all != 1 || same != 1 || w.stored(t, one) != latest {
		t.Errorf("%d exchanges, %d of the same refresh token; want 1 and 1", all, same)
	}
}

// TestLockThatWasNotEnded, because the connection broke when it began or ended: its own process does not wait for its end, and
// others do not if it can be ended soon.
func TestLockThatWasNotEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	seed := w.file(t, "refresh", w.RefreshToken(theAppID))
	first, second := w.start(t, one, seed), w.start(t, one, seed)
	once := func(p *process) {
		t.Helper()
		if _, err := p.source.Fetch(t.Context()); err != nil {
			t.Error(err)
		}
	}
	first.store.lost.Store(true)
	if _, err := first.source.Fetch(t.Context()); weixin.ReasonOf(err) != weixin.Busy {
		t.Errorf("exchanged without knowing of the lock: %v", err)
	}
	first.store.lost.Store(false)
	once(first)
	for _, failures := range []int32{1, 3} {
		first.store.broken.Store(failures)
		once(first)
		once(second)
	}
	if all, same := w.exchanges(); all != 5 || same != 1 {
		t.Errorf("%d exchanges, %d of the same refresh token; want 5 and 1", all, same)
	}
}

// TestSuccessorIsStoredWithoutTheLock, as long as no one else has stored another one.
func TestSuccessorIsStoredWithoutTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	used := w.RefreshToken(theAppID)
	p := w.start(t, one, w.file(t, "refresh", used))
	if _, err := p.refresh.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	save := func(from, to string) error { return p.refresh.Save(t.Context(), secret.New(from), secret.New(to)) }
	if err := errors.Join(save(used, "sim-token-next"), save(used, "sim-token-next")); err != nil || w.stored(t, one) != "sim-token-next" {
		t.Errorf("not stored: %v", err)
	}
	err := save(used, "sim-token-other")
	if faultOf(err) != weixin.RefreshTokenReplaced || w.stored(t, one) != "sim-token-next" {
		t.Fatalf("a newer one was replaced: %v", err)
	}
	w.mustBeClean(t, err.Error())
	w.run(t, `DELETE FROM weixin_exporter.token`)
	if err := save("sim-token-next", "sim-token-last"); err != nil || w.stored(t, one) != "sim-token-last" {
		t.Errorf("not stored after the row was deleted: %v", err)
	}
}

// TestSeeds: a file is heard once, whichever machine has it.
func TestSeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	first := w.RefreshToken(theAppID)
	paths := []string{w.file(t, "a", first+"\n"), w.file(t, "b", first), filepath.Join(w.folder, "none")}
	machines := make([]*process, len(paths))
	for i, path := range paths {
		machines[i] = w.start(t, one, path)
	}
	if _, err := machines[2].refresh.Load(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "the database has none, and the file "+paths[2]+": no such file") {
		t.Errorf("neither a file nor a token in the database: %v", err)
	}
	for range 2 {
		for _, m := range machines {
			fetch(t, m)
		}
	}
	latest := w.stored(t, one)
	if all, same := w.exchanges(); all != 6 || same != 1 || latest != w.RefreshToken(theAppID) {
		t.Errorf("%d exchanges, %d of the same refresh token", all, same)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil || string(content) != first+"\n" {
		t.Errorf("the file was changed: %v", err)
	}
	mustLoad := func(m *process, want string) {
		t.Helper()
		if got, err := m.refresh.Load(t.Context()); err != nil || got.Reveal() != want {
			t.Errorf("another refresh token: %v", err)
		}
	}
	// After a new authorization the operator writes a file on one machine. The others have the old one.
	w.file(t, "b", "sim-token-person")
	mustLoad(machines[0], latest)
	mustLoad(machines[1], "sim-token-person")
	for _, m := range machines {
		mustLoad(m, "sim-token-person")
	}
	w.file(t, "a", "not a token")
	w.file(t, "b", first)
	for _, m := range machines {
		mustLoad(m, "sim-token-person")
	}
	// The content of a file that is the current one is remembered, too.
	if err := machines[0].refresh.Save(t.Context(), secret.New("sim-token-person"), secret.New("sim-token-1")); err != nil {
		t.Fatal(err)
	}
	w.file(t, "a", "sim-token-1")
	mustLoad(machines[0], "sim-token-1")
	if err := machines[0].refresh.Save(t.Context(), secret.New("sim-token-1"), secret.New("sim-token-2")); err != nil {
		t.Fatal(err)
	}
	mustLoad(machines[0], "sim-token-2")
	w.mustBeClean(t, w.dump(t))
}

// TestKeysAreRotated without losing a token or hearing an old file again.
func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	seed := w.file(t, "refresh", w.RefreshToken(theAppID))
	fetch(t, w.start(t, one, seed))
	latest := w.stored(t, one)
	for _, keys := range []string{one, one + two, two + one, two} {
		if got, err := w.start(t, keys, seed).refresh.Load(t.Context()); err != nil || got.Reveal() != latest {
			t.Errorf("another refresh token: %v", err)
		}
	}
	_, err := w.start(t, one, seed).refresh.Load(t.Context())
	want := "the refresh token of " + theAppID + " in the database cannot be opened: sealed with a key that is not in " + filepath.Join(w.folder, "keys")
	if faultOf(err) != weixin.RefreshTokenSealed || !strings.Contains(err.Error(), want) {
		t.Errorf("with a key that was removed: %v", err)
	}
	w.mustBeClean(t, err.Error())
	if err := w.start(t, one, seed).refresh.Save(t.Context(), secret.New(latest), secret.New("sim-token-x")); faultOf(err) != weixin.RefreshTokenSealed {
		t.Errorf("replaced what cannot be opened: %v", err)
	}
	fetch(t, w.start(t, two, seed))
}

// TestRowsThatWereSwapped: what was sealed for another account or kind is not opened.
func TestRowsThatWereSwapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	p := w.start(t, one, w.file(t, "refresh", w.RefreshToken(theAppID)))
	fetch(t, p)
	w.run(t, `INSERT INTO weixin_exporter.token (app_id, kind, sealed, revision) SELECT 'wx2', kind, sealed, 1 FROM weixin_exporter.token`)
	_, err := p.Refresh("wx2", filepath.Join(w.folder, "none")).Load(t.Context())
	if faultOf(err) != weixin.RefreshTokenSealed || !strings.Contains(err.Error(), "is damaged, or belongs to something else") {
		t.Errorf("opened a row of another account: %v", err)
	}
}

// TestDatabaseThatIsAway: nothing is exchanged whose successor could not be stored.
func TestDatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	p := w.start(t, one, w.file(t, "refresh", w.RefreshToken(theAppID)))
	p.store.cut.Store(true)
	err := call(t, p.account)
	failed, ok := errors.AsType[*weixin.Error](err)
	if !ok || failed.Reason != weixin.Busy || !strings.Contains(failed.Advice().String(), "Make the database that the error names usable") {
		t.Errorf("got %v", err)
	}
	if all, _ := w.exchanges(); all != 0 {
		t.Errorf("%d exchanges without the database", all)
	}
	p.store.cut.Store(false)
	mustCall(t, p.account)
}
