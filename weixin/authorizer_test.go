package weixin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

const (
	thePlatform  = "wx5f9b72855c43096f"
	firstRefresh = "sim-token-refresh@@@1"
)

// platform is an API that exchanges an account's refresh token and accepts its access tokens. Every exchange
// returns another pair.
type platform struct {
	mu        sync.Mutex
	component string // the valid component access token
	errcode   int    // the errcode for others
	refresh   string // the valid refresh token
	number    int    // of the pairs returned so far
	keep      bool   // returns the same refresh token again
	exchanges int    // calls, including refused ones
}

func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path != "/cgi-bin/component/api_authorizer_token" {
		if r.URL.Query().Get("access_token") == fmt.Sprint("sim-token-access-", p.number) {
			return respond(200, `{"list":[]}`), nil
		}
		return respond(200, `{"errcode":40001,"errmsg":"invalid credential"}`), nil
	}
	p.exchanges++
	var body map[string]string
	if r.Method != http.MethodPost || json.Unmarshal([]byte(bodyOf(r)), &body) != nil || len(body) != 3 ||
		body["component_appid"] != thePlatform || body["authorizer_appid"] != theAppID {
		return respond(200, `{"errcode":47001,"errmsg":"data format error"}`), nil
	}
	switch refresh := body["authorizer_refresh_token"]; {
	case r.URL.Query().Get("component_access_token") != p.component:
		return respond(200, fmt.Sprintf(`{"errcode":%d,"errmsg":"refused: %s %s rid: 5f9b7285"}`, p.errcode, r.URL.RawQuery, refresh)), nil
	case refresh != p.refresh:
		return respond(200, `{"errcode":61023,"errmsg":"refresh_token is invalid `+refresh+`"}`), nil
	}
	p.number++
	if !p.keep {
		p.refresh = fmt.Sprint("sim-token-refresh@@@", p.number+1)
	}
	return respond(200, fmt.Sprintf(
		`{"authorizer_access_token":"sim-token-access-%d","expires_in":7200,"authorizer_refresh_token":%q,"func_info":[]}`,
		p.number, p.refresh)), nil
}

// memory is a RefreshTokenStore in memory that can fail.
type memory struct {
	mu      sync.Mutex
	text    string
	loadErr error
	saveErr error
	saved   []string

	beforeSave func(context.Context) error // nil: nothing
}

func (m *memory) Lock(ctx context.Context) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func (m *memory) Load(context.Context) (secret.Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return secret.New(m.text), m.loadErr
}

func (m *memory) Save(ctx context.Context, used, successor secret.Value) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.beforeSave != nil {
		if err := m.beforeSave(ctx); err != nil {
			return err
		}
	}
	if m.text != "" && m.text != used.Reveal() && m.text != successor.Reveal() {
		return &weixin.RefreshTokenError{Fault: weixin.RefreshTokenReplaced, Err: errors.New("another one is stored")}
	}
	m.saved = append(m.saved, successor.Reveal())
	if m.saveErr == nil {
		m.text = successor.Reveal()
	}
	return m.saveErr
}

// onPlatform returns a platform, a store with the first refresh token, and a client of both.
func onPlatform() (*platform, *memory, *weixin.Client) {
	api := &platform{component: "sim-token-1", errcode: 42001, refresh: firstRefresh}
	return api, &memory{text: firstRefresh}, clientOn(api)
}

func authorizerOf(c *weixin.Client, component weixin.TokenSource, store weixin.RefreshTokenStore) weixin.TokenSource {
	return authorizerFor(c, theAppID, component, store)
}

func authorizerFor(c *weixin.Client, appID string, component weixin.TokenSource, store weixin.RefreshTokenStore) weixin.TokenSource {
	return c.AuthorizerToken(weixin.AuthorizerOptions{
		ComponentAppID: thePlatform, AppID: appID, Component: component, RefreshToken: store,
	})
}

func TestAuthorizerToken(t *testing.T) {
	api, store, client := onPlatform()
	component := &numbered{life: 2 * time.Hour}
	source := authorizerOf(client, component, store)
	for round := 1; round <= 3; round++ {
		token, err := source.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !token.Text.Equal(secret.New(fmt.Sprint("sim-token-access-", round))) || token.Life != 2*time.Hour {
			t.Errorf("round %d: another token, or life %s", round, token.Life)
		}
		if len(store.saved) != round || store.text != api.refresh {
			t.Errorf("round %d: %d refresh tokens saved, the last one valid: %t", round, len(store.saved), store.text == api.refresh)
		}
	}
	if component.fetched() != 1 || api.exchanges != 3 {
		t.Errorf("%d component tokens fetched, %d exchanges; want 1 and 3", component.fetched(), api.exchanges)
	}
	api.keep = true
	if _, err := source.Fetch(t.Context()); err != nil || len(store.saved) != 3 {
		t.Errorf("the same refresh token: %v, %d saved; want 3", err, len(store.saved))
	}
}

func TestAuthorizerTokenIsObservedAsToken(t *testing.T) {
	api, store, _ := onPlatform()
	var seen observations
	waits := 0
	client := clientOn(api, func(o *weixin.Options) {
		o.Observe = seen.observe
		o.Limiter = limiterFunc(func(context.Context) error { waits++; return nil })
	})
	if err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), store))); err != nil {
		t.Fatal(err)
	}
	got := seen.all()
	if len(got) != 2 || got[0] != (weixin.Request{API: "token", Errcode: "0"}) || waits != 2 {
		t.Errorf("observed %+v, %d waits", got, waits)
	}
}

func TestRefusedComponentTokenIsRenewedOnce(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		api, store, client := onPlatform()
		api.component, api.errcode = "sim-token-2", code
		component := &numbered{life: 2 * time.Hour}
		if _, err := authorizerOf(client, component, store).Fetch(t.Context()); err != nil || component.fetched() != 2 || api.exchanges != 2 {
			t.Errorf("%d: %v after %d component tokens and %d exchanges; want 2 and 2", code, err, component.fetched(), api.exchanges)
		}

		api, store, client = onPlatform()
		api.component, api.errcode = "sim-token-none", code
		component = &numbered{life: 2 * time.Hour}
		_, err := authorizerOf(client, component, store).Fetch(t.Context())
		wantReason(t, err, weixin.Token, fmt.Sprintf("asking Weixin for an access token: errcode %d: refused: component_access_token=<secret> <secret> (rid 5f9b7285)", code))
		wantClean(t, err)
		if component.fetched() != 2 || api.exchanges != 2 || len(store.saved) != 0 {
			t.Errorf("%d: %d component tokens and %d exchanges; want 2 and 2", code, component.fetched(), api.exchanges)
		}
	}
}

func TestComponentSourceThatStillHoldsTheRefusedToken(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "component"), "sim-token-0")
	api, store, client := onPlatform()
	account := client.Account(authorizerOf(client, weixin.FileToken(path, weixin.TokenFormat{}), store))
	err := hour(t.Context(), account)
	wantReason(t, err, weixin.Token, "; the file "+path+" still has the token that Weixin refused")
	wantClean(t, err)
	wantOrigin(t, err, "the file "+path, "Renew the token in the file "+path)
	if api.exchanges != 1 {
		t.Errorf("%d exchanges, want 1", api.exchanges)
	}
	wantOrigin(t, hour(t.Context(), client.Account(authorizerOf(client, client.SharedToken(weixin.FileToken(path, weixin.TokenFormat{})), store))),
		"the file "+path, "Renew the token in the file "+path)

	write(t, path, "")
	err = hour(t.Context(), account)
	wantReason(t, err, weixin.Token, "getting an access token from the file "+path+": found an empty text")

	write(t, path, `"sim-token-1"`)
	if err := hour(t.Context(), account); err != nil {
		t.Error(err)
	}
}

func TestRefusalsOfThePlatform(t *testing.T) {
	for code, reason := range map[int]weixin.Reason{
		61003: weixin.Permission, 61004: weixin.Permission, 61011: weixin.Permission, 41001: weixin.Bug, -1: weixin.Busy, 40013: weixin.Config,
	} {
		api, store, client := onPlatform()
		api.component, api.errcode = "sim-token-none", code
		component := &numbered{life: 2 * time.Hour}
		err := hour(t.Context(), client.Account(authorizerOf(client, component, store)))
		wantReason(t, err, reason, fmt.Sprintf("errcode %d: refused", code))
		wantClean(t, err)
		if component.fetched() != 1 || api.exchanges != 1 {
			t.Errorf("%d: %d component tokens and %d exchanges; want one of each", code, component.fetched(), api.exchanges)
		}
	}
	_, store, client := onPlatform()
	store.text = "sim-token-refresh@@@other"
	err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), store)))
	wantReason(t, err, weixin.Permission, "errcode 61023: refresh_token is invalid <secret>")
	wantClean(t, err)
}

func TestOddAuthorizerAnswers(t *testing.T) {
	const access = `"authorizer_access_token":"` + theToken + `","expires_in":7200`
	for body, says := range map[string]string{
		`{}`: "no authorizer_access_token",
		`{"access_token":"` + theToken + `","expires_in":7200}`:              "no authorizer_access_token",
		`{"authorizer_access_token":"` + theToken + `"}`:                     "how long the authorizer_access_token is valid",
		`{` + access + `,"authorizer_refresh_token":17}`:                     "the authorizer_refresh_token of the response is not a token",
		`{` + access + `,"authorizer_refresh_token":"` + theToken + `\n x"}`: "the authorizer_refresh_token of the response is not a token",
		`<html>` + theToken: "is not a JSON object",
		`{` + access + `,"authorizer_refresh_token":null}`: "",
		`{` + access + `,"authorizer_refresh_token":""}`:   "",
		`{` + access + `}`: "",
	} {
		store := &memory{text: firstRefresh}
		token, err := authorizerOf(clientOn(always(200, body)), fixed("sim-token-1"), store).Fetch(t.Context())
		if says == "" {
			if err != nil || !token.Text.Equal(secret.New(theToken)) {
				t.Errorf("%.60q: %v", body, err)
			}
		} else {
			wantReason(t, err, weixin.Busy, says)
			wantClean(t, err)
		}
		if len(store.saved) != 0 || says != "" && !token.Text.IsZero() {
			t.Errorf("%.60q: saved %d, or a token beside the error", body, len(store.saved))
		}
	}
}

func TestRefreshTokenThatCannotBeRead(t *testing.T) {
	for name, store := range map[string]*memory{
		"missing": {loadErr: fmt.Errorf("the file /run/refresh: %w", fs.ErrNotExist)},
		"none":    {},
		"quoted":  {text: firstRefresh, loadErr: errors.New("what is this: " + firstRefresh)},
	} {
		api, _, client := onPlatform()
		err := hour(t.Context(), client.Account(authorizerOf(client, fixed("sim-token-1"), store)))
		wantReason(t, err, weixin.Token, "asking Weixin for an access token: reading the refresh token: ")
		wantClean(t, err)
		wantOrigin(t, err, "", "Put the account's authorizer refresh token into the file")
		if api.exchanges != 0 || name == "missing" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %d exchanges, or the cause of %v is lost", name, api.exchanges, err)
		}
	}
}

func TestRefreshTokenThatCannotBeSaved(t *testing.T) {
	full := errors.New("no space left on device")
	api, store, client := onPlatform()
	store.saveErr = full
	account := client.Account(authorizerOf(client, fixed("sim-token-1"), store))
	for round := 1; round <= 3; round++ {
		err := hour(t.Context(), account)
		wantReason(t, err, weixin.Token,
			"asking Weixin for an access token: saving the new refresh token, before which no new access token is used: no space left on device")
		wantClean(t, err)
		wantOrigin(t, err, "", "Make the file that the error names writable")
		// The same one is saved again, and no further ones are requested.
		if !errors.Is(err, full) || len(store.saved) != round || store.saved[round-1] != "sim-token-refresh@@@2" || api.exchanges != 1 {
			t.Errorf("round %d: %v, %d times saved, %d exchanges", round, err, len(store.saved), api.exchanges)
		}
	}

	// A reload does not lose it.
	next := client.Account(authorizerOf(client, fixed("sim-token-1"), store))
	next.AdoptToken(account)
	store.saveErr = nil
	if err := hour(t.Context(), next); err != nil || store.text != "sim-token-refresh@@@3" || api.exchanges != 2 {
		t.Errorf("once it can be saved: %v after %d exchanges", err, api.exchanges)
	}
	if len(store.saved) != 5 || store.saved[3] != "sim-token-refresh@@@2" {
		t.Errorf("%d times saved, want the unsaved one, and then the next", len(store.saved))
	}
	if err := hour(t.Context(), next); err != nil || len(store.saved) != 5 {
		t.Errorf("a later call: %v, %d times saved", err, len(store.saved))
	}
}

func TestUnsavedRefreshTokenAndWhatIsStoredMeanwhile(t *testing.T) {
	failing := errors.New("read-only file system")
	tests := map[string]struct {
		change    func(*memory)
		exchanged string // the refresh token of the second exchange
		saved     int
	}{
		"stored all the same": {func(m *memory) { m.text = "sim-token-refresh@@@2" }, "sim-token-refresh@@@2", 3},
		"gone":                {func(m *memory) { m.text, m.loadErr = "", fs.ErrNotExist }, "sim-token-refresh@@@2", 3},
		"emptied":             {func(m *memory) { m.text = "" }, "sim-token-refresh@@@2", 3},
		"replaced by a person": {func(m *memory) { m.text = "sim-token-refresh@@@person" },
			"sim-token-refresh@@@person", 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			api, store, client := onPlatform()
			source := authorizerOf(client, fixed("sim-token-1"), store)
			store.saveErr = failing
			if _, err := source.Fetch(t.Context()); !errors.Is(err, failing) {
				t.Fatal(err)
			}
			store.saveErr = nil
			test.change(store)
			api.refresh = test.exchanged
			if _, err := source.Fetch(t.Context()); err != nil || len(store.saved) != test.saved || store.text != "sim-token-refresh@@@3" {
				t.Errorf("%v, %d times saved, want %d", err, len(store.saved), test.saved)
			}
		})
	}
}

func TestStoreThatQuotesWhatItCannotSave(t *testing.T) {
	_, store, client := onPlatform()
	store.saveErr = errors.New("cannot replace " + firstRefresh + "\nby sim-token-refresh@@@2")
	_, err := authorizerOf(client, fixed("sim-token-1"), store).Fetch(t.Context())
	wantReason(t, err, weixin.Token, "cannot replace <secret> by <secret>")
	wantClean(t, err)
}

// TestOneExchangeAtATime has many fetch at once, from a source and from the one that replaces it.
func TestOneExchangeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, store, _ := onPlatform()
		under := 0
		var mu sync.Mutex
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			under++
			if under > 1 {
				t.Error("two exchanges at the same time")
			}
			mu.Unlock()
			<-time.After(time.Second) // fake clock: the others arrive meanwhile
			mu.Lock()
			under--
			mu.Unlock()
			return api.RoundTrip(r)
		})
		client := clientOn(slow)
		source := authorizerOf(client, fixed("sim-token-1"), store)
		replacement := authorizerOf(client, fixed("sim-token-1"), store)
		client.Account(replacement).AdoptToken(client.Account(source))
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				if _, err := []weixin.TokenSource{source, replacement}[i%2].Fetch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			synctest.Wait()
			_, err := source.Fetch(ctx)
			wantEnd(t, err, context.DeadlineExceeded)
		})
		group.Wait()
		if api.exchanges < 10 || len(store.saved) != api.number || store.text != api.refresh {
			t.Errorf("%d exchanges, %d times saved", api.exchanges, len(store.saved))
		}
	})
}

func TestAdoptTokenOfAnAuthorizer(t *testing.T) {
	api, store, client := onPlatform()
	component := &numbered{life: 2 * time.Hour}
	before := client.Account(authorizerOf(client, component, store))
	if err := hour(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after := client.Account(authorizerOf(client, component, store))
	after.AdoptToken(before)
	if err := hour(t.Context(), after); err != nil || api.exchanges != 1 {
		t.Errorf("%v, %d exchanges; want 1", err, api.exchanges)
	}
	api.number = 100 // the access token has become invalid; the component access token is cached
	if err := hour(t.Context(), after); err != nil || api.exchanges != 2 || component.fetched() != 1 {
		t.Errorf("%v, %d exchanges, %d component tokens; want 2 and 1", err, api.exchanges, component.fetched())
	}
}

// TestFilesOfAnAuthorizer has all tokens in files, as an operator does.
func TestFilesOfAnAuthorizer(t *testing.T) {
	dir := t.TempDir()
	component := write(t, filepath.Join(dir, "component"), `{"access_token":"sim-token-1","expires_in":7200}`)
	refresh := write(t, filepath.Join(dir, "refresh"), firstRefresh+"\n")
	api, _, client := onPlatform()
	for round := 1; round <= 3; round++ { // each a start of the program
		account := client.Account(authorizerOf(client, weixin.FileToken(component, weixin.TokenFormat{}), weixin.NewRefreshTokenFile(refresh)))
		if err := hour(t.Context(), account); err != nil || api.exchanges != round {
			t.Errorf("round %d: %v, %d exchanges", round, err, api.exchanges)
		}
		if read(t, refresh) != api.refresh+"\n" {
			t.Errorf("round %d: the file does not have the valid refresh token", round)
		}
	}
	err := hour(t.Context(), client.Account(authorizerOf(client, weixin.FileToken(component, weixin.TokenFormat{}), weixin.NewRefreshTokenFile(component))))
	wantReason(t, err, weixin.Token, "reading the refresh token: the file "+component+": found JSON of another form instead of a token")
	if strings.Count(err.Error(), component) != 1 {
		t.Errorf("%v names the file more than once", err)
	}
}
