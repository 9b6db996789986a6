package weixin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"weixin_exporter/weixin/secret"
)

// RefreshTokenStore stores the refresh token with which a third-party platform gets the access
// tokens of one account. Its errors say where it is stored and do not show it; a *RefreshTokenError also says
// what to do.
type RefreshTokenStore interface {
	// Lock prevents other processes from exchanging the refresh token until unlock is called. It waits
	// for one that does, for a bounded time or until ctx ends. It fails if Save could not replace the
	// refresh token. The context that it returns is ctx, or one that ends before the lock does: until then the
	// refresh token may be exchanged.
	Lock(ctx context.Context) (locked context.Context, unlock func(), err error)
	// Load returns the refresh token. It is called with the lock.
	Load(ctx context.Context) (secret.Value, error)
	// Save replaces the refresh token that was used by its successor. Once it has returned nil, the successor
	// survives the end of the process and of the machine; until then, the old one or the successor does. If
	// another one than these two is stored, it stays, and the error is a *RefreshTokenError with RefreshTokenReplaced.
	// Save needs no lock, since that may have ended during the exchange.
	Save(ctx context.Context, used, successor secret.Value) error
}

// RefreshTokenError is an error of a RefreshTokenStore of which more is known.
type RefreshTokenError struct {
	Fault RefreshTokenFault
	Err   error
}

// Error implements error.
func (e *RefreshTokenError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RefreshTokenError) Unwrap() error { return e.Err }

// RefreshTokenFault says what keeps a refresh token from being used.
type RefreshTokenFault string

// The faults.
const (
	// RefreshTokenLocked means that another process did not unlock the refresh token in time.
	RefreshTokenLocked RefreshTokenFault = "locked"
	// RefreshTokenReplaced means that someone else has stored another refresh token.
	RefreshTokenReplaced RefreshTokenFault = "replaced"
	// RefreshTokenDatabase means that the database of the refresh token cannot be used.
	RefreshTokenDatabase RefreshTokenFault = "database"
	// RefreshTokenSealed means that the refresh token is sealed and cannot be opened.
	RefreshTokenSealed RefreshTokenFault = "sealed"
)

// faultOf returns the fault of an error; "" if it is not known.
func faultOf(err error) RefreshTokenFault {
	if failed, ok := errors.AsType[*RefreshTokenError](err); ok {
		return failed.Fault
	}
	return ""
}

// saveTime bounds how long saving a refresh token may take, even after the end of the call that needed it.
const saveTime = 10 * time.Second

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
	kept           *keptTokens // nil if the access token is not shared between processes
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
	got, err := a.fetch(ctx)
	return got.AccessToken, err
}

// fetch returns the access token that another process has got while this one waited, or gets another one.
func (a *authorizer) fetch(ctx context.Context) (cachedToken, error) {
	r := a.rotation.Load()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return cachedToken{}, ended(ctx, TokenAPI)
	}
	// Others need the lock, and it may end before the limiter lets a request through.
	if err := a.client.wait(ctx, TokenAPI); err != nil {
		return cachedToken{}, err
	}
	// Locked from reading the refresh token to saving its successor: of two processes that use the same
	// one, the slower would save a successor that Weixin has already revoked.
	locked, unlock, err := a.store.Lock(ctx)
	if err != nil {
		return cachedToken{}, a.lockError(ctx, err)
	}
	defer unlock()
	if token, ok := a.kept.load(locked); ok && token.usable(a.client.now()) {
		return token, nil
	}
	token, err := a.next(ctx, locked, r)
	if err != nil && lockEnded(ctx, locked, err) {
		err = &Error{API: TokenAPI, Reason: Busy, Err: errors.New("the lock of the refresh token ended before it was exchanged")}
	}
	return token, err
}

// lockEnded reports whether err says only that the context of a lock has ended, or ends before the turn for a further
// request, while ctx lasts. An *Error says more, such as that a successor is not saved.
func lockEnded(ctx, locked context.Context, err error) bool {
	if _, known := errors.AsType[*Error](err); known || ctx.Err() != nil {
		return false
	}
	if locked.Err() != nil {
		return true
	}
	end, limited := locked.Deadline()
	last, bounded := ctx.Deadline()
	return limited && (!bounded || end.Before(last)) && errors.Is(err, context.DeadlineExceeded)
}

// next exchanges the refresh token while it is locked. The turn for one request has been taken.
func (a *authorizer) next(ctx, locked context.Context, r *rotation) (cachedToken, error) {
	refresh, err := a.refreshToken(locked, r)
	if err != nil {
		return cachedToken{}, err
	}
	requested := a.client.now()
	var got authorized
	turn := true
	err = a.component.use(locked, TokenAPI, func(component secret.Value) error {
		var err error
		got, err = a.exchange(locked, component, refresh, turn)
		turn = false
		return err
	})
	if err != nil {
		return cachedToken{}, err
	}
	if !got.refresh.IsZero() && !got.refresh.Equal(refresh) {
		// Weixin may revoke the old refresh token with the first use of the new access token,
		// so the new refresh token must be saved before.
		r.used, r.unsaved = refresh, got.refresh
		if err := a.save(ctx, r); err != nil {
			return cachedToken{}, err
		}
	}
	token := cachedToken{AccessToken: got.access, requested: requested}
	a.kept.save(ctx, token) // with the lock, so that the next process that gets it finds the token
	return token, nil
}

// lockError returns the error for a refresh token that could not be locked, and so must not be used.
func (a *authorizer) lockError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, TokenAPI)
	}
	return a.storeError("the refresh token is not used", err, nil, adviceRefreshReplace)
}

// storeError returns an error of the store, with its origin if it has one, and the advice unless the error itself
// says more.
func (a *authorizer) storeError(doing string, err error, secrets secret.Masker, advice string) *Error {
	failed := &Error{API: TokenAPI, Reason: Token, Err: fmt.Errorf("%s: %w", doing, printable(err, secrets)), bySecret: true, advice: advice}
	if stored, ok := a.store.(interface{ Origin() Origin }); ok {
		failed.Origin = stored.Origin()
	}
	switch faultOf(err) {
	case RefreshTokenLocked:
		failed.Reason, failed.advice = Busy, adviceRefreshLocked
	case RefreshTokenReplaced:
		failed.Reason, failed.advice = Busy, adviceRefreshReplaced
	case RefreshTokenSealed:
		failed.advice = adviceRefreshSealed
	case RefreshTokenDatabase:
		// It will be back, and then no time is to be lost.
		failed.Reason, failed.advice = Busy, adviceRefreshDatabase
		if advice == adviceRefreshSave {
			failed.advice = adviceRefreshUnsaved
		}
	}
	return failed
}

// refreshToken returns the stored refresh token, after saving one that could not be saved before, unless
// another one has been stored since then.
func (a *authorizer) refreshToken(ctx context.Context, r *rotation) (secret.Value, error) {
	if unsaved := r.unsaved; !unsaved.IsZero() {
		if err := a.save(ctx, r); err == nil || !r.unsaved.IsZero() {
			return unsaved, err
		}
	}
	stored, err := a.store.Load(ctx)
	if err == nil && stored.IsZero() {
		err = errors.New("the store has none")
	}
	switch {
	case err == nil:
		return stored, nil
	case ctx.Err() != nil:
		return secret.Value{}, ended(ctx, TokenAPI)
	default:
		return secret.Value{}, a.storeError("reading the refresh token", err, secret.Masker{stored}, adviceRefreshLoad)
	}
}

// save stores the new refresh token, even after the end of the call that needed it, unless another one has been
// stored. As long as this fails, no access token is returned. The reason is Token, since it needs an operator but
// may be fixed within minutes.
func (a *authorizer) save(ctx context.Context, r *rotation) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	err := a.store.Save(ctx, r.used, r.unsaved)
	tokens := secret.Masker{r.used, r.unsaved}
	if err == nil || faultOf(err) == RefreshTokenReplaced {
		r.used, r.unsaved = secret.Value{}, secret.Value{}
	}
	if err != nil {
		return a.storeError("saving the new refresh token, before which no new access token is used", err, tokens, adviceRefreshSave)
	}
	return nil
}

// exchange makes the call; turn says that the limiter has let it through.
func (a *authorizer) exchange(ctx context.Context, component, refresh secret.Value, turn bool) (authorized, error) {
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
		turn:    turn,
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
