package weixin

import (
	"context"
	"net/http"
	"net/url"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// Account makes the calls of one account. It keeps the account's access token in memory. It
// is safe for concurrent use.
type Account struct {
	client *Client
	tokens *keeper
}

// Account returns an account whose calls are made with the tokens of source.
func (c *Client) Account(source TokenSource) *Account {
	return &Account{client: c, tokens: c.keep(source)}
}

// AdoptToken takes over the token that from keeps, and what its source knows of a refresh
// token that could not be saved, unless a keeps a token already. Both must belong to the same
// account and get their tokens in the same way. from may be nil.
func (a *Account) AdoptToken(from *Account) {
	if from != nil {
		a.tokens.adopt(from.tokens)
	}
}

// InterfaceSummary asks for the figures of the days from begin to end, both included: the
// daily call, getinterfacesummary (获取被动回复概要数据, at developers.weixin.qq.com under
// doc/service/api/wedata/api/api_getinterfacesummary.html). Weixin answers for at most 30 days, the last of them
// yesterday (China time).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummary(ctx context.Context, begin, end datacube.Date) (DailyAnswer, error) {
	var result DailyAnswer
	err := a.ask(ctx, datacube.Daily, begin, end, func(e envelope) error {
		return result.take(e, begin, end)
	})
	if err != nil {
		return DailyAnswer{}, err
	}
	return result, nil
}

// InterfaceSummaryHour asks for the figures of each hour of date, yesterday (China time) at
// the latest: the hourly call, getinterfacesummaryhour (获取被动回复分布数据, documented beside the
// daily one).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummaryHour(ctx context.Context, date datacube.Date) (HourlyAnswer, error) {
	var result HourlyAnswer
	err := a.ask(ctx, datacube.Hourly, date, date, func(e envelope) error {
		return result.take(e, date)
	})
	if err != nil {
		return HourlyAnswer{}, err
	}
	return result, nil
}

// ask asks for the figures of the days from begin to end.
func (a *Account) ask(
	ctx context.Context, api datacube.API, begin, end datacube.Date, take func(envelope) error,
) error {
	type dates struct {
		Begin datacube.Date `json:"begin_date"`
		End   datacube.Date `json:"end_date"`
	}
	return a.call(ctx, apiOf(api), pathOf(api), dates{begin, end}, take)
}

// call makes a call that needs an access token. If Weixin refuses the token, the call is made
// once more with a renewed one, and never a third time.
func (a *Account) call(ctx context.Context, api API, path string, body any, take func(envelope) error) error {
	return a.tokens.use(ctx, api, func(token secret.Value) error {
		return a.client.ask(ctx, question{
			api:    api,
			method: http.MethodPost,
			path:   path,
			query:  url.Values{"access_token": {token.Reveal()}},
			body:   body,
			hide:   secret.Masker{token},
		}, take)
	})
}

// pathOf returns the path of an interface call, which is also its name for the quota call.
func pathOf(api datacube.API) string {
	if api == datacube.Hourly {
		return "/datacube/getinterfacesummaryhour"
	}
	return "/datacube/getinterfacesummary"
}
