package weixin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"weixin_exporter/secret"
	"weixin_exporter/summary"
)

// A token is renewed when no more of its life is left than this or a tenth of it, whichever
// is shorter.
const maxReserve = time.Minute

// Account makes the calls of one account. It keeps the account's access token in memory. It
// is safe for concurrent use.
type Account struct {
	client *Client
	source TokenSource

	mu     sync.Mutex // held for moments only, never during a request
	kept   keptToken
	flight *flight // the fetch that is under way; nil if none is
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

// Account returns an account whose calls are made with the tokens of source.
func (c *Client) Account(source TokenSource) *Account {
	return &Account{client: c, source: source}
}

// AdoptToken takes over the token that from keeps, unless a keeps one already. Both must
// belong to the same account and get their tokens in the same way. from may be nil.
func (a *Account) AdoptToken(from *Account) {
	if from == nil {
		return
	}
	from.mu.Lock()
	kept := from.kept
	from.mu.Unlock()

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept.Text.IsZero() {
		a.kept = kept
	}
}

// InterfaceSummary asks for the figures of the days from begin to end, both included: the
// daily call, getinterfacesummary. Weixin answers for at most 30 days, the last of them
// yesterday (China time).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummary(ctx context.Context, begin, end summary.Date) (DailyAnswer, error) {
	var result DailyAnswer
	err := a.ask(ctx, summary.Daily, "/datacube/getinterfacesummary", begin, end, func(e envelope) error {
		return result.take(e, begin, end)
	})
	if err != nil {
		return DailyAnswer{}, err
	}
	return result, nil
}

// InterfaceSummaryHour asks for the figures of each hour of date, yesterday (China time) at
// the latest: the hourly call, getinterfacesummaryhour.
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummaryHour(ctx context.Context, date summary.Date) (HourlyAnswer, error) {
	var result HourlyAnswer
	err := a.ask(ctx, summary.Hourly, "/datacube/getinterfacesummaryhour", date, date, func(e envelope) error {
		return result.take(e, date)
	})
	if err != nil {
		return HourlyAnswer{}, err
	}
	return result, nil
}

// ask makes an interface call. If Weixin refuses the token, the call is made once more with
// a renewed one, and never a third time.
func (a *Account) ask(
	ctx context.Context, api summary.API, path string, begin, end summary.Date, take func(envelope) error,
) error {
	type dates struct {
		Begin summary.Date `json:"begin_date"`
		End   summary.Date `json:"end_date"`
	}
	call := func(token secret.Value) error {
		return a.client.ask(ctx, question{
			api:    api.String(),
			method: http.MethodPost,
			path:   path,
			query:  url.Values{"access_token": {token.Reveal()}},
			body:   dates{begin, end},
			hide:   hidden{token},
		}, take)
	}

	token, err := a.token(ctx, api.String())
	if err != nil {
		return err
	}
	err = call(token)
	if ClassOf(err) != Token {
		return err
	}
	a.forget(token)
	renewed, renewErr := a.token(ctx, api.String())
	if renewErr != nil {
		return renewErr
	}
	if renewed.Equal(token) {
		a.forget(token)
		return sameToken(err)
	}
	err = call(renewed)
	if ClassOf(err) == Token {
		a.forget(renewed)
	}
	return err
}

// sameToken returns the refusal err with the reason why the call was not repeated.
func sameToken(err error) error {
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	told := *refusal
	told.Message += "; the renewed token is the refused one"
	return &told
}

// forget drops the token that Weixin refused, but not one that has replaced it meanwhile.
func (a *Account) forget(refused secret.Value) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept.Text.Equal(refused) {
		a.kept = keptToken{}
	}
}

// token returns the token that is kept, or fetches one. Of those who need one at the same
// time, one fetches it with its own context, and the others wait for the result or for the
// end of theirs.
func (a *Account) token(ctx context.Context, api string) (secret.Value, error) {
	for {
		a.mu.Lock()
		if a.usable() {
			text := a.kept.Text
			a.mu.Unlock()
			return text, nil
		}
		f := a.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			a.flight = f
			a.mu.Unlock()
			a.fetch(ctx, f)
			return f.text, f.err
		}
		a.mu.Unlock()

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
func (a *Account) usable() bool {
	if a.kept.Text.IsZero() {
		return false
	}
	left := a.kept.Life - a.client.now().Sub(a.kept.asked)
	return left >= min(maxReserve, a.kept.Life/10)
}

// fetch carries out f, of which a.flight already tells the others.
func (a *Account) fetch(ctx context.Context, f *flight) {
	asked := a.client.now()
	token, err := a.source.Fetch(ctx)

	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.kept = keptToken{AccessToken: token, asked: asked}
	}
	f.text, f.err, f.aborted = token.Text, err, err != nil && ctx.Err() != nil
	a.flight = nil
	close(f.done)
}
