package weixin

import (
	"context"
	"time"

	"weixin_exporter/weixin/secret"
)

// AccessTokenStore keeps the access token of one account for all processes that call for it. What cannot be stored
// or read does not keep an account from working: the store itself reports it.
type AccessTokenStore interface {
	// Load returns the token that was stored last; false if there is none, or its life has ended.
	Load(ctx context.Context) (KeptToken, bool)
	// Save replaces the token.
	Save(ctx context.Context, token KeptToken)
	// Drop removes the token if it is the refused one.
	Drop(ctx context.Context, refused secret.Value)
}

// KeptToken is an access token in an AccessTokenStore.
type KeptToken struct {
	AccessToken

	// Left is the part of its life that is left at the time of the call of Load or Save.
	Left time.Duration
}

// KeptToken returns a source that looks for the token of an account in a store before it asks source, one of StableToken,
// LegacyToken and AuthorizerToken, and puts the tokens of source there. The store is used only when the process
// itself has no usable token.
func (c *Client) KeptToken(source TokenSource, store AccessTokenStore) TokenSource {
	cache := c.cache(source)
	cache.kept = &keptTokens{store: store, now: c.now}
	if own, ok := source.(*authorizer); ok {
		own.kept = cache.kept
	}
	return cache
}

// keptTokens translates between a store, in which a life is what is left of it, and the cache. Nil has no token.
type keptTokens struct {
	store AccessTokenStore
	now   func() time.Time
}

func (k *keptTokens) load(ctx context.Context) (cachedToken, bool) {
	if k == nil {
		return cachedToken{}, false
	}
	kept, ok := k.store.Load(ctx)
	return cachedToken{AccessToken: kept.AccessToken, requested: k.now().Add(kept.Left - kept.Life)}, ok
}

// save stores a token, even after the end of the call that needed it.
func (k *keptTokens) save(ctx context.Context, token cachedToken) {
	if k == nil {
		return
	}
	if left := token.Life - k.now().Sub(token.requested); left > 0 {
		k.store.Save(context.WithoutCancel(ctx), KeptToken{token.AccessToken, left})
	}
}

func (k *keptTokens) drop(ctx context.Context, refused secret.Value) {
	if k != nil {
		k.store.Drop(context.WithoutCancel(ctx), refused)
	}
}
