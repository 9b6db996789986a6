package weixin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// sharedStore is an AccessTokenStore in memory, as several processes have it.
type sharedStore struct {
	mu       sync.Mutex
	kept     weixin.KeptToken
	until    time.Time
	away     bool
	accesses int
}

func (s *sharedStore) Load(context.Context) (weixin.KeptToken, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accesses++
	kept := s.kept
	kept.Left = time.Until(s.until)
	if s.away || kept.Text.IsZero() || kept.Left <= 0 {
		return weixin.KeptToken{}, false
	}
	return kept, true
}

func (s *sharedStore) Save(_ context.Context, token weixin.KeptToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accesses++
	if !s.away {
		s.kept, s.until = token, time.Now().Add(token.Left)
	}
}

func (s *sharedStore) Drop(_ context.Context, refused secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accesses++
	if !s.away && s.kept.Text.Equal(refused) {
		s.kept = weixin.KeptToken{}
	}
}

// counted is an API that issues tokens of two hours and counts the requests for them. It accepts the latest one alone.
type counted struct {
	mu     sync.Mutex
	issued int
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path == "/cgi-bin/token" {
		c.issued++
		return respond(200, fmt.Sprintf(`{"access_token":"sim-token-%d","expires_in":7200}`, c.issued)), nil
	}
	if r.URL.Query().Get("access_token") != fmt.Sprint("sim-token-", c.issued) {
		return respond(200, `{"errcode":40001,"errmsg":"invalid credential"}`), nil
	}
	return respond(200, `{"list":[]}`), nil
}

func (c *counted) tokens() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issued
}

// process returns the account as another process has it, whose clock is off.
func process(api http.RoundTripper, store weixin.AccessTokenStore, off time.Duration) *weixin.Account {
	client := clientOn(api, func(o *weixin.Options) { o.Now = func() time.Time { return time.Now().Add(off) } })
	source := client.LegacyToken(weixin.Credentials{AppID: theAppID, AppSecret: secret.New("sim-secret-kept")})
	return client.Account(client.KeptToken(source, store))
}

func mustCall(t *testing.T, accounts ...*weixin.Account) {
	t.Helper()
	for i, account := range accounts {
		if err := hour(t.Context(), account); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
}

// TestKeptToken: processes share a token for its life, whatever their clocks say, and use the store only when they
// have none.
func TestKeptToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var api counted
		var store sharedStore
		first, second := process(&api, &store, 0), process(&api, &store, -72*time.Hour)
		mustCall(t, first, second, first, second)
		if api.tokens() != 1 || store.accesses != 3 { // looked for, saved, found
			t.Errorf("%d tokens, %d accesses; want 1 and 3", api.tokens(), store.accesses)
		}
		<-time.After(2*time.Hour - 61*time.Second)
		mustCall(t, first, second, process(&api, &store, time.Hour))
		if api.tokens() != 1 {
			t.Errorf("%d tokens, want 1", api.tokens())
		}
		<-time.After(2 * time.Second) // less than a minute is left
		mustCall(t, process(&api, &store, time.Hour), first, second)
		if api.tokens() != 2 {
			t.Errorf("%d tokens after the life of the first one, want 2", api.tokens())
		}
	})
}

// TestRefusedTokenIsDroppedFromTheStore, but not the one that has replaced it.
func TestRefusedTokenIsDroppedFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var api counted
		var store sharedStore
		first, second := process(&api, &store, 0), process(&api, &store, 0)
		mustCall(t, first, second)
		api.mu.Lock()
		api.issued++ // another service has replaced the token
		api.mu.Unlock()
		mustCall(t, first, second, first, second, process(&api, &store, 0))
		if api.tokens() != 3 || !store.kept.Text.Equal(secret.New("sim-token-3")) {
			t.Errorf("%d tokens, want 3, or another one is kept", api.tokens())
		}
	})
}

// TestWithoutTheStore each process goes on with its own token.
func TestWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var api counted
		store := sharedStore{away: true}
		account := process(&api, &store, 0)
		mustCall(t, account, account, account)
		if api.tokens() != 1 || store.accesses != 2 {
			t.Errorf("%d tokens, %d accesses; want 1 and 2", api.tokens(), store.accesses)
		}
	})
}

// sharedMemory is memory with a lock that several processes use; lost makes it end at once.
type sharedMemory struct {
	memory

	lock chan struct{}
	lost bool
}

func (m *sharedMemory) Lock(ctx context.Context) (context.Context, func(), error) {
	select {
	case m.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	locked, cancel := context.WithCancel(ctx)
	if m.lost {
		cancel()
	}
	return locked, func() { cancel(); <-m.lock }, nil
}

// TestOneExchangeForAllProcesses: who has waited for the refresh token uses the access token of the other process.
func TestOneExchangeForAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &platform{component: "sim-token-1", errcode: 42001, refresh: firstRefresh}
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-time.After(time.Second) // fake clock: the others arrive meanwhile
			return api.RoundTrip(r)
		})
		var store sharedStore
		refresh := &sharedMemory{memory: memory{text: firstRefresh}, lock: make(chan struct{}, 1)}
		var all sync.WaitGroup
		for range 3 {
			client := clientOn(slow)
			account := client.Account(client.KeptToken(authorizerOf(client, fixed("sim-token-1"), refresh), &store))
			all.Go(func() { mustCall(t, account, account) })
		}
		all.Wait()
		if api.exchanges != 1 || refresh.text != api.refresh {
			t.Errorf("%d exchanges, want 1, or another refresh token is stored", api.exchanges)
		}
	})
}

// TestLockThatEnds: the exchange ends with the lock, and the reason is Busy.
func TestLockThatEnds(t *testing.T) {
	api, _, client := onPlatform()
	refresh := &sharedMemory{memory: memory{text: firstRefresh}, lock: make(chan struct{}, 1), lost: true}
	err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), refresh)))
	wantReason(t, err, weixin.Busy, "the lock of the refresh token ended before it was exchanged")
	refresh.lost = false
	if err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), refresh))); err != nil || api.exchanges == 0 {
		t.Errorf("the next attempt: %v", err)
	}
}

// TestSuccessorThatIsLate: what was stored during the exchange stays, and the next attempt uses it.
func TestSuccessorThatIsLate(t *testing.T) {
	api, store, _ := onPlatform()
	late := roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := api.RoundTrip(r)
		if store.text == firstRefresh {
			store.text, api.refresh = "sim-token-refresh@@@person", "sim-token-refresh@@@person"
		}
		return answer, err
	})
	client := clientOn(late)
	account := client.Account(authorizerOf(client, fixed("sim-token-1"), store))
	err := hour(t.Context(), account)
	wantReason(t, err, weixin.Busy, "saving the new refresh token")
	wantClean(t, err)
	wantOrigin(t, err, "", "Another refresh token was stored")
	if err := hour(t.Context(), account); err != nil || len(store.saved) != 1 || store.text != "sim-token-refresh@@@3" {
		t.Errorf("the next attempt: %v, saved %q", err, store.saved)
	}
}

// TestSavedAfterTheEndOfTheCall: a successor is stored although the call that needed it has ended.
func TestSavedAfterTheEndOfTheCall(t *testing.T) {
	api, store, _ := onPlatform()
	ctx, cancel := context.WithCancel(t.Context())
	client := clientOn(roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := api.RoundTrip(r)
		store.beforeSave = func(saving context.Context) error { cancel(); return saving.Err() }
		return answer, err
	}))
	_, err := authorizerOf(client, fixed("sim-token-1"), store).Fetch(ctx)
	if store.text != api.refresh || len(store.saved) != 1 {
		t.Errorf("saved %d times: %v", len(store.saved), err)
	}
}

// TestFaultsOfADatabase: the advice fits where the refresh token is. A database that is away is asked again soon.
func TestFaultsOfADatabase(t *testing.T) {
	away := &weixin.RefreshTokenError{Fault: weixin.RefreshTokenDatabase, Err: errors.New("store: no answer")}
	sealed := &weixin.RefreshTokenError{Fault: weixin.RefreshTokenSealed, Err: errors.New("another key")}
	for advice, c := range map[string]struct {
		store  *memory
		reason weixin.Reason
	}{
		"Make the database that the error names usable":                         {&memory{loadErr: away}, weixin.Busy},
		"Make the database that the error names writable before this program":   {&memory{text: firstRefresh, saveErr: away}, weixin.Busy},
		"Add the key with which the token was sealed to store.sealing_key_file": {&memory{loadErr: fmt.Errorf("reading: %w", sealed)}, weixin.Token},
	} {
		_, _, client := onPlatform()
		err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), c.store)))
		wantReason(t, err, c.reason, "refresh token")
		wantOrigin(t, err, "", advice)
	}
}

// TestFileThatWasReplaced keeps what it holds.
func TestFileThatWasReplaced(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "refresh"), "sim-token-refresh@@@person")
	file := weixin.NewRefreshTokenFile(path)
	err := file.Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh))
	failed, ok := errors.AsType[*weixin.RefreshTokenError](err)
	if !ok || failed.Fault != weixin.RefreshTokenReplaced || read(t, path) != "sim-token-refresh@@@person" {
		t.Errorf("got %v, and the file has %q", err, read(t, path))
	}
	wantClean(t, err)
}
