package weixin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"weixin_exporter/weixin/secret"
)

// RefreshTokenStore keeps the refresh token with which a third-party platform gets the access
// tokens of one account. Errors say where it is kept and do not show it.
type RefreshTokenStore interface {
	// Lock keeps other processes from exchanging the refresh token until unlock is called. It waits
	// for one that does, for a bounded time or until ctx ends. It fails where Save could not replace
	// the refresh token.
	Lock(ctx context.Context) (unlock func(), err error)
	// Load returns the refresh token.
	Load() (secret.Value, error)
	// Save replaces the refresh token. Once it has returned nil, the new one survives the
	// end of the process and of the machine; until then, the old one or the new one does.
	Save(refreshToken secret.Value) error
}

// AuthorizerOptions say on whose behalf a third-party platform calls.
type AuthorizerOptions struct {
	// ComponentAppID is the app id of the platform.
	ComponentAppID string
	// AppID is the app id of the account.
	AppID string
	// Component gives the platform's component access token. It is kept for its life; what
	// Client.Keep returned is shared with whoever else has it.
	Component TokenSource
	// RefreshToken keeps the account's authorizer refresh token. It is the source's alone.
	RefreshToken RefreshTokenStore
}

// AuthorizerToken returns the source that asks /cgi-bin/component/api_authorizer_token. The
// refresh token that comes with an access token is saved before that is handed out.
func (c *Client) AuthorizerToken(o AuthorizerOptions) TokenSource {
	a := &authorizer{
		client:         c,
		componentAppID: o.ComponentAppID,
		appID:          o.AppID,
		component:      c.keep(o.Component),
		store:          o.RefreshToken,
	}
	a.rotation.Store(&rotation{turn: make(chan struct{}, 1)})
	return a
}

type authorizer struct {
	client         *Client
	componentAppID string
	appID          string
	component      *keeper
	store          RefreshTokenStore
	rotation       atomic.Pointer[rotation]
}

// rotation is what outlives a Fetch. Sources of which one replaces the other share it, so
// that never two of them exchange the account's refresh token at a time.
type rotation struct {
	turn chan struct{} // holds an element while a Fetch is under way

	// unsaved is the refresh token that has replaced used and could not be saved; both are
	// zero where there is none. They belong to whose turn it is.
	used, unsaved secret.Value
}

// authorized is what the call answers.
type authorized struct {
	access  AccessToken
	refresh secret.Value // zero where the answer has none: the old one stays
}

// adopt shares the rotation and the component access token of from, which a replaces.
func (a *authorizer) adopt(from *authorizer) {
	a.rotation.Store(from.rotation.Load())
	if a.component != from.component {
		a.component.adopt(from.component)
	}
}

// Fetch implements TokenSource.
func (a *authorizer) Fetch(ctx context.Context) (AccessToken, error) {
	r := a.rotation.Load()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return AccessToken{}, ended(ctx, TokenAPI)
	}
	// Held from reading the refresh token to saving its successor: of two processes that use the same
	// one, the slower would save a successor that Weixin has ended already.
	unlock, err := a.store.Lock(ctx)
	if err != nil {
		return AccessToken{}, a.notLocked(ctx, err)
	}
	defer unlock()
	refresh, err := a.refreshToken(r)
	if err != nil {
		return AccessToken{}, err
	}
	var got authorized
	err = a.component.use(ctx, TokenAPI, func(component secret.Value) error {
		var err error
		got, err = a.exchange(ctx, component, refresh)
		return err
	})
	if err != nil {
		return AccessToken{}, err
	}
	if !got.refresh.IsZero() && !got.refresh.Equal(refresh) {
		// Weixin may end the old refresh token with the first use of the new access token,
		// which must therefore wait for the new refresh token to be safe.
		r.used, r.unsaved = refresh, got.refresh
		if err := a.save(r); err != nil {
			return AccessToken{}, err
		}
	}
	return got.access, nil
}

// notLocked returns the error for a refresh token that must not be used now.
func (a *authorizer) notLocked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, TokenAPI)
	}
	fault := a.fault(nil, replaceAdvice)
	if errors.Is(err, errLocked) {
		fault.Reason, fault.advice = Busy, lockedAdvice
	}
	fault.Err = fmt.Errorf("the refresh token is not used: %w", causeOf(err, nil))
	return fault
}

// fault returns an error of the store, which names it where it has a name.
func (a *authorizer) fault(err error, advice string) *Error {
	fault := &Error{API: TokenAPI, Reason: Token, Err: err, bySecret: true, advice: advice}
	if named, ok := a.store.(interface{ Name() string }); ok {
		fault.Source = named.Name()
	}
	return fault
}

// refreshToken returns the refresh token that is stored, after having stored one that could
// not be saved before. What an operator has put there since then takes precedence.
func (a *authorizer) refreshToken(r *rotation) (secret.Value, error) {
	stored, err := a.store.Load()
	if err == nil && stored.IsZero() {
		err = errors.New("there is none")
	}
	if r.unsaved.IsZero() {
		if err != nil {
			err = fmt.Errorf("reading the refresh token: %w", causeOf(err, secret.Masker{stored}))
			return secret.Value{}, a.fault(err, loadAdvice)
		}
		return stored, nil
	}
	if err == nil && !stored.Equal(r.used) && !stored.Equal(r.unsaved) {
		r.used, r.unsaved = secret.Value{}, secret.Value{}
		return stored, nil
	}
	unsaved := r.unsaved
	return unsaved, a.save(r)
}

// save stores the new refresh token. As long as it fails, no access token is handed out.
// The reason is Token, because it needs a person but can pass within minutes.
func (a *authorizer) save(r *rotation) error {
	if err := a.store.Save(r.unsaved); err != nil {
		err = fmt.Errorf("saving the new refresh token, before which no new access token is used: %w",
			causeOf(err, secret.Masker{r.used, r.unsaved}))
		return a.fault(err, saveAdvice)
	}
	r.used, r.unsaved = secret.Value{}, secret.Value{}
	return nil
}

// exchange makes the call.
func (a *authorizer) exchange(ctx context.Context, component, refresh secret.Value) (authorized, error) {
	type body struct {
		ComponentAppID string `json:"component_appid"`
		AppID          string `json:"authorizer_appid"`
		RefreshToken   string `json:"authorizer_refresh_token"`
	}
	var got authorized
	err := a.client.ask(ctx, question{
		api:    TokenAPI,
		method: http.MethodPost,
		path:   "/cgi-bin/component/api_authorizer_token",
		query:  url.Values{"component_access_token": {component.Reveal()}},
		body:   body{a.componentAppID, a.appID, refresh.Reveal()},
		hide:   secret.Masker{component, refresh},
	}, func(e envelope) error {
		var err error
		got, err = readAuthorized(e)
		return err
	})
	return got, err
}

func readAuthorized(e envelope) (authorized, error) {
	access, err := readToken("authorizer_access_token", e.AuthorizerAccessToken, e.ExpiresIn)
	if err != nil {
		return authorized{}, err
	}
	if e.AuthorizerRefreshToken == nil || string(e.AuthorizerRefreshToken) == "null" {
		return authorized{access: access}, nil
	}
	refresh, ok := parseString(e.AuthorizerRefreshToken)
	if !ok || refresh != "" && !isWord(refresh) {
		return authorized{}, errors.New("the authorizer_refresh_token of the answer is none")
	}
	return authorized{access: access, refresh: secret.New(refresh)}, nil
}
