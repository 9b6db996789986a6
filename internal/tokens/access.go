package tokens

import (
	"context"
	"crypto/sha256"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// access is what is sealed of an access token.
type access struct {
	Token plainText     `json:"token"`
	Life  time.Duration `json:"life"`
	// Credentials is a hash of what the token was obtained with.
	Credentials []byte `json:"credentials"`
}

// accessTokens implements weixin.AccessTokenStore.
type accessTokens struct {
	keeper      *Keeper
	key         store.TokenKey
	credentials [sha256.Size]byte
}

// Access returns the store of the access token of an account. A token that was obtained with other credentials is
// not returned. They include everything that decides whether the token is the account's: its host, and how it
// is obtained.
func (k *Keeper) Access(appID string, credentials secret.Value) weixin.AccessTokenStore {
	return &accessTokens{k, store.TokenKey{AppID: appID, Kind: store.AccessToken}, sha256.Sum256([]byte(credentials.Reveal()))}
}

// Load implements weixin.AccessTokenStore.
func (a *accessTokens) Load(ctx context.Context) (weixin.KeptToken, bool) {
	var kept weixin.KeptToken
	a.do(ctx, func(ctx context.Context) error {
		row, found, err := a.load(ctx)
		if err == nil && [sha256.Size]byte(found.Credentials) == a.credentials {
			kept = weixin.KeptToken{AccessToken: weixin.AccessToken{Text: found.Token.Value, Life: found.Life}, Left: row.Left}
		}
		return err
	})
	return kept, !kept.Text.IsZero()
}

// load returns the token in the store; with zeros for credentials if there is none.
func (a *accessTokens) load(ctx context.Context) (store.SealedToken, access, error) {
	var found access
	row, _, err := a.keeper.load(ctx, a.key, &found)
	if len(found.Credentials) != sha256.Size {
		found = access{Credentials: make([]byte, sha256.Size)}
	}
	return row, found, err
}

// Save implements weixin.AccessTokenStore.
func (a *accessTokens) Save(ctx context.Context, token weixin.KeptToken) {
	left := token.Left - accessTime // storing it may take that long
	if left <= 0 {
		return
	}
	a.do(ctx, func(ctx context.Context) error {
		content := access{plainText{token.Text}, token.Life, a.credentials[:]}
		for range replacements {
			row, err := a.keeper.Store.LoadToken(ctx, a.key) // it need not be opened
			if err != nil {
				return err
			}
			if done, err := a.keeper.replace(ctx, a.key, row, content, left); done || err != nil {
				return err
			}
		}
		return nil // others keep storing theirs, which are as good
	})
}

// Drop implements weixin.AccessTokenStore.
func (a *accessTokens) Drop(ctx context.Context, refused secret.Value) {
	a.do(ctx, func(ctx context.Context) error {
		row, found, err := a.load(ctx)
		if err != nil || !found.Token.Equal(refused) || refused.IsZero() {
			return err
		}
		_, err = a.keeper.Store.ReplaceToken(ctx, a.key, row.Revision, nil, 0)
		return err // one that has replaced it meanwhile stays
	})
}

// do carries out an access within a bounded time and reports its failure.
func (a *accessTokens) do(ctx context.Context, access func(context.Context) error) {
	limited, cancel := context.WithTimeout(ctx, accessTime)
	defer cancel()
	err := access(limited)
	if err != nil && ctx.Err() != nil {
		return // the caller has ended, which says nothing about the store
	}
	a.keeper.State.observe(a.key.AppID, err)
}
