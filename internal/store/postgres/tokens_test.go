package postgres_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

func key(appID string) store.TokenKey { return store.TokenKey{AppID: appID, Kind: store.RefreshToken} }

// eachWay runs a test with a connection to the server, and through pgbouncer.
func eachWay(t *testing.T, test func(t *testing.T, open func() store.Tokens)) {
	t.Helper()
	for _, pooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("pooled=%t", pooled), func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t)
			url := server.URL(database)
			if pooled {
				url = newPooler(t).URL(database)
			}
			test(t, func() store.Tokens {
				s, err := postgres.Open(t.Context(), secret.NewURL(url), postgres.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s
			})
		})
	}
}

func load(t *testing.T, s store.Tokens, k store.TokenKey) store.SealedToken {
	t.Helper()
	token, err := s.LoadToken(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func replace(t *testing.T, s store.Tokens, k store.TokenKey, revision int64, sealed string, life time.Duration) bool {
	t.Helper()
	var text []byte
	if sealed != "" {
		text = []byte(sealed)
	}
	done, err := s.ReplaceToken(t.Context(), k, revision, text, life)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func lock(t *testing.T, s store.Tokens, k store.TokenKey, owner string, life time.Duration) bool {
	t.Helper()
	lasts, err := s.LockToken(t.Context(), k, owner, life)
	if err != nil {
		t.Fatal(err)
	}
	return lasts != nil
}

// TestReplaceToken: a token is only replaced by one who has seen it.
func TestReplaceToken(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, open func() store.Tokens) { //nolint:thelper // the test itself
		first, second := open(), open()
		if got := load(t, first, key("a")); got.Sealed != nil || got.Revision != 0 || got.Left != 0 {
			t.Errorf("an empty database has %+v", got)
		}
		if replace(t, first, key("a"), 5, "other", 0) || load(t, first, key("a")).Revision != 0 {
			t.Error("a revision that there never was is replaced")
		}
		if !lock(t, first, key("a"), "x", time.Minute) || !replace(t, second, key("a"), 0, "one", 0) {
			t.Error("the first token, of which only the lock was there, is not stored")
		}
		if replace(t, first, key("a"), 0, "other", 0) {
			t.Error("a token replaces one that was not seen")
		}
		got := load(t, first, key("a"))
		if string(got.Sealed) != "one" || got.Revision != 1 || got.Left != 0 {
			t.Errorf("stored %+v", got)
		}
		if !replace(t, first, key("a"), 1, "two", 0) || replace(t, second, key("a"), 1, "other", 0) {
			t.Error("the same token is replaced by none, or by two")
		}
		if !replace(t, second, key("a"), 2, "", 0) || load(t, first, key("a")).Sealed != nil || replace(t, first, key("a"), 0, "other", 0) {
			t.Error("a removed token is there, or never was")
		}
		if !replace(t, second, key("a"), 3, "three", 0) {
			t.Error("a removed token is not replaced")
		}
		for _, other := range []store.TokenKey{key("b"), {AppID: "a", Kind: store.AccessToken}} {
			if got := load(t, first, other); got.Sealed != nil || got.Revision != 0 {
				t.Errorf("%v: %+v", other, got)
			}
		}
	})
}

// TestTokenExpires by the clock of the server.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := open(t, database)
	replace(t, s, key("a"), 0, "token", time.Hour)
	if got := load(t, s, key("a")); got.Left <= 50*time.Minute || got.Left > time.Hour {
		t.Errorf("%v is left of an hour", got.Left)
	}
	run(t, database, `UPDATE weixin_exporter.token SET expires = clock_timestamp()`)
	if got := load(t, s, key("a")); got.Sealed != nil || got.Left != 0 || got.Revision != 1 {
		t.Errorf("after its end: %+v", got)
	}
	if !replace(t, s, key("a"), 1, "next", 0) || load(t, s, key("a")).Left != 0 {
		t.Error("an expired token is not replaced, or one without an end has one")
	}
}

// TestExpiredTokensAreRemoved when an exporter starts, but no refresh token.
func TestExpiredTokensAreRemoved(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := open(t, database)
	access := store.TokenKey{AppID: "a", Kind: store.AccessToken}
	recent := store.TokenKey{AppID: "b", Kind: store.AccessToken}
	for _, k := range []store.TokenKey{access, recent, key("a")} {
		replace(t, s, k, 0, "token", time.Hour)
	}
	run(t, database, `UPDATE weixin_exporter.token SET expires = expires - interval '24 hours'`, // not one of them for a day yet
		`UPDATE weixin_exporter.token SET expires = expires - interval '2 hours' WHERE app_id = 'a'`)
	revisions := func() [3]int64 {
		return [3]int64{load(t, s, access).Revision, load(t, s, recent).Revision, load(t, s, key("a")).Revision}
	}
	open(t, database)
	if got, want := revisions(), [3]int64{1, 1, 1}; got != want {
		t.Errorf("after the start of a command there are the revisions %v, want %v", got, want)
	}
	var clock storetest.HostClock
	join(t, server.URL(database), &clock, "exporter", time.Hour)
	if got, want := revisions(), [3]int64{0, 1, 1}; got != want {
		t.Errorf("after the start of an exporter there are the revisions %v, want %v", got, want)
	}
	if !replace(t, s, access, 0, "next", time.Hour) {
		t.Error("the token of an account that is back is not stored")
	}
}

// TestLockToken: one owner at a time has the lock, and that of one who does not return ends.
func TestLockToken(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, open func() store.Tokens) { //nolint:thelper // as above
		first, second := open(), open()
		if !lock(t, first, key("a"), "x", time.Hour) || lock(t, second, key("a"), "y", time.Hour) || !lock(t, second, key("b"), "y", time.Hour) {
			t.Error("not one owner for each token")
		}
		if err := second.UnlockToken(t.Context(), key("a"), "y"); err != nil || lock(t, second, key("a"), "y", time.Hour) {
			t.Errorf("unlocked by another one: %v", err)
		}
		if err := first.UnlockToken(t.Context(), key("a"), "x"); err != nil || !lock(t, second, key("a"), "y", time.Millisecond) {
			t.Errorf("not unlocked: %v", err)
		}
		for !lock(t, first, key("a"), "z", time.Hour) { // until the millisecond has passed
			continue
		}
		if err := second.UnlockToken(t.Context(), key("a"), "y"); err != nil || lock(t, second, key("a"), "y", time.Hour) {
			t.Errorf("one whose lock has ended has unlocked that of the next: %v", err)
		}
	})
}

// TestLockOfAMember: the lock of a process ends when others can claim its slots, and the process knows that before.
func TestLockOfAMember(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	url := server.URL(database)
	var clock storetest.HostClock
	const lease = 14 * time.Second // 12 s of them are trusted
	first, second := join(t, url, &clock, "first", lease), join(t, url, &clock, "second", time.Hour)
	command := open(t, database)
	keep(t, first, second)
	mustLock := func(s store.Tokens, owner string) store.Lasts {
		t.Helper()
		lasts, err := s.LockToken(t.Context(), key("a"), owner, time.Hour)
		if err != nil || lasts == nil {
			t.Fatalf("%s cannot lock: %v", owner, err)
		}
		return lasts
	}
	lasts := mustLock(first, "x")
	for _, step := range []struct {
		after time.Duration
		renew bool
		left  time.Duration
	}{{0, false, 12 * time.Second}, {5 * time.Second, false, 7 * time.Second}, {6 * time.Second, true, 12 * time.Second}, {11 * time.Second, false, time.Second}} {
		clock.Advance(step.after)
		if step.renew {
			keep(t, first)
		}
		if left := lasts(); left != step.left || lock(t, second, key("a"), "y", time.Hour) || lock(t, command, key("a"), "z", time.Hour) {
			t.Errorf("after another %v the lock lasts %v, want %v, or others can lock", step.after, left, step.left)
		}
	}
	clock.Advance(time.Second)
	if left := lasts(); left != 0 {
		t.Errorf("without a renewal the lock lasts %v", left)
	}
	expire(t, database, "first")
	next := mustLock(second, "y")
	keep(t, first)
	if left := lasts(); left != 0 || lock(t, first, key("a"), "x", time.Hour) {
		t.Errorf("a renewal that came too late restores the lock for %v", left)
	}
	if err := first.UnlockToken(t.Context(), key("a"), "x"); err != nil || lock(t, command, key("a"), "z", time.Hour) || next() == 0 {
		t.Errorf("one whose lock has ended has unlocked that of the next: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	forever := mustLock(command, "z")
	clock.Advance(time.Hour)
	keep(t, first)
	if lock(t, first, key("a"), "x", time.Hour) || forever() < time.Hour {
		t.Error("the lock of a process without a duty ends before its time")
	}
}

// TestManyReplaceAToken: of all that have seen the same token, one replaces it.
func TestManyReplaceAToken(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, open func() store.Tokens) { //nolint:thelper // as above
		stores := []store.Tokens{open(), open(), open()}
		for revision := range int64(20) {
			var done atomic.Int32
			var all sync.WaitGroup
			for i, s := range stores {
				all.Go(func() {
					if replace(t, s, key("a"), revision, strconv.Itoa(i), 0) {
						done.Add(1)
					}
				})
			}
			all.Wait()
			if done.Load() != 1 {
				t.Fatalf("revision %d was replaced %d times", revision, done.Load())
			}
		}
	})
}

// TestTokenErrors: an error says what failed, and shows nothing of the token.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := open(t, database)
	run(t, database, `DROP TABLE weixin_exporter.token`)
	const sealed = "sim-token-sealed"
	_, loading := s.LoadToken(t.Context(), key("wx1"))
	_, replacing := s.ReplaceToken(t.Context(), key("wx1"), 0, []byte(sealed), 0)
	_, locking := s.LockToken(t.Context(), key("wx1"), "x", time.Hour)
	for doing, err := range map[string]error{
		"load the": loading, "store the": replacing, "lock the": locking, "unlock the": s.UnlockToken(t.Context(), key("wx1"), "x"),
	} {
		want := doing + ` refresh token of wx1: a part of the schema "weixin_exporter" is missing`
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), sealed) {
			t.Errorf("%s: %v", doing, err)
		}
	}
}
