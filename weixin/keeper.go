package weixin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weixin_exporter/weixin/secret"
)

// A token is renewed when no more of its life is left than this or a tenth of it, whichever
// is shorter.
const maxReserve = time.Minute

// keeper keeps the token of a source for its life, fetches one at a time, and forgets the one
// that Weixin refuses. It is safe for concurrent use.
type keeper struct {
	source TokenSource
	now    func() time.Time

	shared bool // by the accounts of a platform

	mu     sync.Mutex // held for moments only, never during a request
	kept   keptToken
	flight *flight // the fetch that is under way; nil if none is
	failed failure // of a shared source
}

// keptToken is a token with the time from which its life is counted.
type keptToken struct {
	AccessToken
	asked time.Time // before the request for it was sent
}

// flight is one fetch of a token, of which others wait for the result.
type flight struct {
	done chan struct{} // closed when the fields below are set
	text secret.Value
	err  error
	// aborted says that the context of the goroutine that fetched has ended: its error is
	// nobody else's.
	aborted bool
}

// origin is what a source has whose tokens come from elsewhere than Weixin.
type origin interface {
	// name says where the tokens come from, e.g. "the file /run/token".
	name() string
	// gives is the verb for what is found there: name "holds" or "hands out" a token.
	gives() string
}

// Keep returns a source that keeps the token of source for its life and fetches one at a time,
// for callers that share it: the accounts of a platform its component access token. Account and
// AuthorizerToken keep the tokens of every other source by themselves.
//
// The source that it returns also remembers a failure: for a growing time, up to a minute, all
// that share it get that error, with Shared set, and no request is made for them.
func (c *Client) Keep(source TokenSource) TokenSource {
	k := c.keep(source)
	k.shared = true
	return k
}

func (c *Client) keep(source TokenSource) *keeper {
	if shared, ok := source.(*keeper); ok {
		return shared
	}
	return &keeper{source: source, now: c.now}
}

// Fetch returns the kept token with a Life of 0: the keeping is done here.
func (k *keeper) Fetch(ctx context.Context) (AccessToken, error) {
	text, err := k.token(ctx, TokenAPI)
	return AccessToken{Text: text}, err
}

// adopt takes over what from keeps, unless k keeps a token already.
func (k *keeper) adopt(from *keeper) {
	from.mu.Lock()
	kept := from.kept
	from.mu.Unlock()

	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.kept.Text.IsZero() {
		return
	}
	k.kept = kept
	mine, ok := k.source.(*authorizer)
	if other, same := from.source.(*authorizer); ok && same && mine != other {
		mine.adopt(other)
	}
}

// use makes a call with the token. If Weixin refuses the token, the call is made once more
// with a renewed one, unless the source gives the refused one again.
func (k *keeper) use(ctx context.Context, api API, call func(secret.Value) error) error {
	token, err := k.token(ctx, api)
	if err != nil {
		return err
	}
	err = call(token)
	if ReasonOf(err) == Token {
		k.forget(token)
		err = k.again(ctx, api, token, err, call)
	}
	k.learn(ctx, err)
	return err
}

// again repeats a call for which the token was refused, with a renewed one.
func (k *keeper) again(
	ctx context.Context, api API, token secret.Value, refusal error, call func(secret.Value) error,
) error {
	renewed, err := k.token(ctx, api)
	if err != nil {
		return err
	}
	if renewed.Equal(token) {
		k.forget(token)
		return k.refusedAgain(refusal, true)
	}
	err = call(renewed)
	if ReasonOf(err) == Token {
		k.forget(renewed)
		return k.refusedAgain(err, false)
	}
	return err
}

// refusedAgain returns the refusal err with what it says of the source: that it gave the
// refused token again, or that also the other one that it gave was refused.
func (k *keeper) refusedAgain(err error, same bool) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	told := *refusal
	source, elsewhere := k.source.(origin)
	switch {
	case elsewhere && same:
		told.Source, told.advice = source.name(), staleAdvice
		told.Errmsg += fmt.Sprintf("; %s still %s the token that Weixin refused", source.name(), source.gives())
	case elsewhere:
		told.Source, told.advice = source.name(), replacedAdvice
	case same:
		told.Errmsg += "; the renewed token is the refused one"
	}
	return &told
}

// forget drops the token that Weixin refused, but not one that has replaced it meanwhile.
func (k *keeper) forget(refused secret.Value) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept.Text.Equal(refused) {
		k.kept = keptToken{}
	}
}

// token returns the token that is kept, or fetches one. Of those who need one at the same
// time, one fetches it with its own context, and the others wait for the result or for the
// end of theirs.
func (k *keeper) token(ctx context.Context, api API) (secret.Value, error) {
	for {
		k.mu.Lock()
		if err := k.failed.repeat(k.now()); err != nil {
			k.mu.Unlock()
			return secret.Value{}, err
		}
		if k.usable() {
			text := k.kept.Text
			k.mu.Unlock()
			return text, nil
		}
		f := k.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			k.flight = f
			k.mu.Unlock()
			k.fetch(ctx, f)
			return f.text, f.err
		}
		k.mu.Unlock()

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

// usable reports whether the kept token has enough of its life left. The caller holds mu.
func (k *keeper) usable() bool {
	if k.kept.Text.IsZero() {
		return false
	}
	left := k.kept.Life - k.now().Sub(k.kept.asked)
	return left >= min(maxReserve, k.kept.Life/10)
}

// fetch carries out f, of which k.flight already tells the others.
func (k *keeper) fetch(ctx context.Context, f *flight) {
	asked := k.now()
	token, err := k.source.Fetch(ctx)

	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.kept = keptToken{}
		if token.Life > 0 {
			k.kept = keptToken{AccessToken: token, asked: asked}
		}
	}
	f.text, f.err, f.aborted = token.Text, err, err != nil && ctx.Err() != nil
	if k.shared && err != nil && !f.aborted {
		k.failed.note(err, k.now())
	}
	k.flight = nil
	close(f.done)
}
