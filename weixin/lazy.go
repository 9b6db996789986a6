package weixin

import (
	"context"
	"sync"

	"weixin_exporter/weixin/secret"
)

// RetriedToken returns a source that is not there yet, because a file that it needs is missing, say:
// each Fetch calls retry until it gives the source. Until then Fetch fails with the error of retry,
// of reason Token, which names source and leaves out what hide hides.
func RetriedToken(source string, hide secret.Masker, retry func() (TokenSource, error)) TokenSource {
	return &retriedToken{source: source, hide: hide, retry: retry}
}

type retriedToken struct {
	source string
	hide   secret.Masker

	mu    sync.Mutex // held while retrying, never during a request
	retry func() (TokenSource, error)
	made  TokenSource // nil until there is one
}

func (r *retriedToken) Fetch(ctx context.Context) (AccessToken, error) {
	source, err := r.get()
	if err != nil {
		return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Source: r.source, Err: causeOf(err, r.hide), advice: clientAdvice}
	}
	return source.Fetch(ctx)
}

func (r *retriedToken) get() (TokenSource, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil {
		made, err := r.retry()
		if err != nil {
			return nil, err
		}
		r.made = made
	}
	return r.made, nil
}

func (r *retriedToken) name() string { return r.source }

func (r *retriedToken) gives() string { return "hands out" }
