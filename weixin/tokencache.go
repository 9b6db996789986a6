package weixin

import (
	"context"
	"errors"
	"sync"
	"time"

	"weixin_exporter/weixin/secret"
)

// A token is renewed when less of its life is left than this or a tenth of it, whichever is
// shorter.
const maxReserve = time.Minute

// tokenCache is a TokenSource that reuses the token of another one for its life, fetches one token at a
// time, and drops the one that Weixin refuses. It is safe for concurrent use.
type tokenCache struct {
	source TokenSource
	now    func() time.Time

	shared bool        // by the accounts of a platform
	kept   *keptTokens // nil if the token is not shared between processes

	mu     sync.Mutex // held for moments only, never during a request
	cached cachedToken
	fetch  *fetch // the one under way; nil if there is none
	pause  pause  // of a shared source
}

// cachedToken is a token with the time from which its life is counted.
type cachedToken struct {
	AccessToken

	requested time.Time // before the request for it was sent
}

// usable reports whether enough of the token's life is left.
func (c *cachedToken) usable(now time.Time) bool {
	if c.Text.IsZero() {
		return false
	}
	left := c.Life - now.Sub(c.requested)
	return left >= min(maxReserve, c.Life/10)
}

// fetch is one Fetch of the source, whose result several callers share.
type fetch struct {
	done chan struct{} // closed when the fields below are set
	text secret.Value
	err  error
	// aborted means that the context of the caller that made the request has ended: the error is not
	// for other callers.
	aborted bool
}

// SharedToken returns a source that reuses the token of source for its life and fetches one at a time, for
// several accounts: those of a platform share its component access token. Account and AuthorizerToken cache
// the tokens of any other source by themselves.
//
// The returned source also pauses after a failure, for a growing time of up to a minute: meanwhile it
// returns that error to all callers, with Shared set, and makes no request.
func (c *Client) SharedToken(source TokenSource) TokenSource {
	cache := c.cache(source)
	cache.shared = true
	return cache
}

func (c *Client) cache(source TokenSource) *tokenCache {
	if shared, ok := source.(*tokenCache); ok {
		return shared
	}
	return &tokenCache{source: source, now: c.now}
}

// Fetch implements TokenSource. It returns a Life of 0, so that callers do not cache the token as well.
func (c *tokenCache) Fetch(ctx context.Context) (AccessToken, error) {
	text, err := c.token(ctx, TokenAPI)
	return AccessToken{Text: text}, err
}

// adopt takes over the cached token of from, unless c has one already.
func (c *tokenCache) adopt(from *tokenCache) {
	from.mu.Lock()
	cached := from.cached
	from.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cached.Text.IsZero() {
		return
	}
	c.cached = cached
	own, ok := c.source.(*authorizer)
	if other, same := from.source.(*authorizer); ok && same && own != other {
		own.adopt(other)
	}
}

// use makes a call with the token. If Weixin refuses the token, the call is repeated once with
// a renewed one, unless the source returns the refused one again.
func (c *tokenCache) use(ctx context.Context, api API, call func(secret.Value) error) error {
	token, err := c.token(ctx, api)
	if err != nil {
		return err
	}
	err = call(token)
	if ReasonOf(err) == Token {
		c.drop(ctx, token)
		err = c.repeat(ctx, api, token, err, call)
	}
	c.observe(ctx, err)
	return err
}

// repeat repeats a call for which the token was refused with a renewed one.
func (c *tokenCache) repeat(
	ctx context.Context, api API, token secret.Value, refusal error, call func(secret.Value) error,
) error {
	renewed, err := c.token(ctx, api)
	if err != nil {
		return err
	}
	if renewed.Equal(token) {
		c.drop(ctx, token)
		return c.refused(refusal, SameToken)
	}
	err = call(renewed)
	if ReasonOf(err) == Token {
		c.drop(ctx, renewed)
		return c.refused(err, OtherTokenRefused)
	}
	return err
}

// refused returns a copy of the error of a refused token that says what the source did to renew it.
func (c *tokenCache) refused(err error, note Note) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	noted := *refusal
	noted.Note = note
	if source, ok := c.source.(originator); ok {
		noted.Origin, noted.advice = source.origin(), adviceOtherTokens
		if note == SameToken {
			noted.advice = adviceSameToken
		}
	}
	return &noted
}

// drop removes the token that Weixin refused, but not one that has replaced it meanwhile.
func (c *tokenCache) drop(ctx context.Context, refused secret.Value) {
	c.mu.Lock()
	if c.cached.Text.Equal(refused) {
		c.cached = cachedToken{}
	}
	c.mu.Unlock()
	c.kept.drop(ctx, refused)
}

// token returns the cached token, or fetches one. Of several callers that need one at the same
// time, one fetches it with its own context, and the others wait for the result or for the
// end of their contexts.
func (c *tokenCache) token(ctx context.Context, api API) (secret.Value, error) {
	for {
		c.mu.Lock()
		if err := c.pause.repeat(c.now()); err != nil {
			c.mu.Unlock()
			return secret.Value{}, err
		}
		if c.cached.usable(c.now()) {
			text := c.cached.Text
			c.mu.Unlock()
			return text, nil
		}
		f := c.fetch
		if f == nil {
			f = &fetch{done: make(chan struct{})}
			c.fetch = f
			c.mu.Unlock()
			c.complete(ctx, f)
			return f.text, f.err
		}
		c.mu.Unlock()

		select {
		case <-f.done:
			if !f.aborted {
				return f.text, f.err
			}
		case <-ctx.Done():
			return secret.Value{}, ended(ctx, api)
		}
	}
}

// complete carries out c.fetch, whose result other callers may be waiting for.
func (c *tokenCache) complete(ctx context.Context, f *fetch) {
	token, err := c.obtain(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.cached = cachedToken{}
		if token.Life > 0 {
			c.cached = token
		}
	}
	f.text, f.err, f.aborted = token.Text, err, err != nil && ctx.Err() != nil
	if c.shared && err != nil && !f.aborted {
		c.pause.begin(err, c.now())
	}
	c.fetch = nil
	close(f.done)
}

// obtain returns the token that another process has kept, or a new one of the source.
func (c *tokenCache) obtain(ctx context.Context) (cachedToken, error) {
	if token, ok := c.kept.load(ctx); ok && token.usable(c.now()) {
		return token, nil
	}
	if own, ok := c.source.(*authorizer); ok {
		return own.fetch(ctx) // it keeps the token itself, while the refresh token is locked
	}
	requested := c.now()
	text, err := c.source.Fetch(ctx)
	token := cachedToken{AccessToken: text, requested: requested}
	if err == nil {
		c.kept.save(ctx, token)
	}
	return token, err
}
