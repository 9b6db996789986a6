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

// RefreshTokenStore stores the refresh token with which a third-party platform gets the access
// tokens of one account. Its errors say where it is stored and do not show it.
type RefreshTokenStore interface {
	// Lock prevents other processes from exchanging the refresh token until unlock is called. It waits
	// for one that does, for a bounded time or until ctx ends. It fails if Save could not replace the
	// refresh token.
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
	// Component returns the platform's component access token. It is cached for its life; a source
	// of Client.SharedToken is shared with its other users.
	Component TokenSource
	// RefreshToken stores the account's authorizer refresh token. No other source may use it.
	RefreshToken RefreshTokenStore
}

// AuthorizerToken returns the source that calls /cgi-bin/component/api_authorizer_token (获取授权账号调用令牌,
// in the documents of Third-party Platforms). The refresh token that comes with an access token is saved
// before the access token is returned.
func (c *Client) AuthorizerToken(o AuthorizerOptions) TokenSource {
	a := &authorizer{
		client:         c,
		componentAppID: o.ComponentAppID,
		appID:          o.AppID,
		component:      c.cache(o.Component),
		store:          o.RefreshToken,
	}
	a.rotation.Store(&rotation{turn: make(chan struct{}, 1)})
	return a
}

type authorizer struct {
	client         *Client
	componentAppID string
	appID          string
	component      *tokenCache
	store          RefreshTokenStore
	rotation       atomic.Pointer[rotation]
}

// rotation is the state of a refresh token between two Fetches. A source that replaces another one shares
// its rotation, so that no two of them exchange the account's refresh token at the same time.
type rotation struct {
	turn chan struct{} // has an element while a Fetch is under way

	// unsaved is the refresh token that has replaced used and could not be saved; both are
	// zero if there is none. They belong to the Fetch under way.
	used, unsaved secret.Value
}

// authorized is the response of the call.
type authorized struct {
	access  AccessToken
	refresh secret.Value // zero if the response has none: the old one stays valid
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
	// Locked from reading the refresh token to saving its successor: of two processes that use the same
	// one, the slower would save a successor that Weixin has already revoked.
	unlock, err := a.store.Lock(ctx)
	if err != nil {
		return AccessToken{}, a.lockError(ctx, err)
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
		// Weixin may revoke the old refresh token with the first use of the new access token,
		// so the new refresh token must be saved before.
		r.used, r.unsaved = refresh, got.refresh
		if err := a.save(r); err != nil {
			return AccessToken{}, err
		}
	}
	return got.access, nil
}

// lockError returns the error for a refresh token that could not be locked, and so must not be used.
func (a *authorizer) lockError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, TokenAPI)
	}
	failed := a.storeError(fmt.Errorf("the refresh token is not used: %w", printable(err, nil)), adviceRefreshReplace)
	if errors.Is(err, errLocked) {
		failed.Reason, failed.advice = Busy, adviceRefreshLocked
	}
	return failed
}

// storeError returns an error of the store, with its origin if it has one.
func (a *authorizer) storeError(err error, advice string) *Error {
	failed := &Error{API: TokenAPI, Reason: Token, Err: err, bySecret: true, advice: advice}
	if stored, ok := a.store.(interface{ Origin() Origin }); ok {
		failed.Origin = stored.Origin()
	}
	return failed
}

// refreshToken returns the stored refresh token, after saving one that could not be saved before, unless
// an operator has replaced the stored one since then.
func (a *authorizer) refreshToken(r *rotation) (secret.Value, error) {
	stored, err := a.store.Load()
	if err == nil && stored.IsZero() {
		err = errors.New("the store has none")
	}
	if r.unsaved.IsZero() {
		if err != nil {
			err = fmt.Errorf("reading the refresh token: %w", printable(err, secret.Masker{stored}))
			return secret.Value{}, a.storeError(err, adviceRefreshLoad)
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

// save stores the new refresh token. As long as this fails, no access token is returned.
// The reason is Token, since it needs an operator but may be fixed within minutes.
func (a *authorizer) save(r *rotation) error {
	if err := a.store.Save(r.unsaved); err != nil {
		err = fmt.Errorf("saving the new refresh token, before which no new access token is used: %w",
			printable(err, secret.Masker{r.used, r.unsaved}))
		return a.storeError(err, adviceRefreshSave)
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
	err := a.client.do(ctx, call{
		api:     TokenAPI,
		method:  http.MethodPost,
		path:    "/cgi-bin/component/api_authorizer_token",
		query:   url.Values{"component_access_token": {component.Reveal()}},
		body:    body{a.componentAppID, a.appID, refresh.Reveal()},
		secrets: secret.Masker{component, refresh},
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
		return authorized{}, errors.New("the authorizer_refresh_token of the response is not a token")
	}
	return authorized{access: access, refresh: secret.New(refresh)}, nil
}
