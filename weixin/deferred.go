package weixin

import (
	"context"
	"sync"

	"weixin_exporter/weixin/secret"
)

// DeferredToken returns a source that cannot be made yet, e.g. because a file that it needs is missing: each
// Fetch calls makeSource until that succeeds. Until then Fetch fails for the reason Token, with an Error that
// names origin and wraps the error of makeSource, in which secrets are masked. makeSource is called by one
// goroutine at a time.
func DeferredToken(origin Origin, secrets secret.Masker, makeSource func() (TokenSource, error)) TokenSource {
	return &deferredToken{from: origin, secrets: secrets, makeSource: makeSource}
}

type deferredToken struct {
	from       Origin
	secrets    secret.Masker
	makeSource func() (TokenSource, error)

	mu   sync.Mutex  // held while makeSource runs, never during a request
	made TokenSource // nil until makeSource has succeeded
}

// Fetch implements TokenSource.
func (d *deferredToken) Fetch(ctx context.Context) (AccessToken, error) {
	source, err := d.source()
	if err != nil {
		return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Origin: d.from, Err: printable(err, d.secrets), advice: adviceHTTPConfig}
	}
	return source.Fetch(ctx)
}

func (d *deferredToken) source() (TokenSource, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil {
		made, err := d.makeSource()
		if err != nil {
			return nil, err
		}
		d.made = made
	}
	return d.made, nil
}

func (d *deferredToken) origin() Origin { return d.from }
