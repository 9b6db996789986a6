package weixin

import (
	"context"

	"weixin_exporter/weixin/datacube"
)

// Account makes the calls of one account. It keeps the account's access token in memory and is safe for
// concurrent use.
type Account struct {
	client *Client
	tokens *tokenCache
}

// Account returns an account whose calls are made with the tokens of source.
func (c *Client) Account(source TokenSource) *Account {
	return &Account{client: c, tokens: c.cache(source)}
}

// AdoptToken takes over the access token that from has, and a refresh token that its source could not
// save, unless a has a token already. Both must belong to the same account and get their tokens in the
// same way. from may be nil.
func (a *Account) AdoptToken(from *Account) {
	if from != nil {
		a.tokens.adopt(from.tokens)
	}
}

// InterfaceSummary requests the figures of the days from begin to end, both included: the
// daily call, getinterfacesummary (获取被动回复概要数据, at developers.weixin.qq.com under
// doc/service/api/wedata/api/api_getinterfacesummary.html). Weixin answers for at most 30 days, the last of them
// yesterday at the latest (China time).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummary(ctx context.Context, begin, end datacube.Date) (DailyResponse, error) {
	var result DailyResponse
	err := a.request(ctx, datacube.Daily, begin, end, func(e envelope) error {
		return result.decode(e, begin, end)
	})
	if err != nil {
		return DailyResponse{}, err
	}
	return result, nil
}

// InterfaceSummaryHour requests the figures of each hour of date, yesterday (China time) at
// the latest: the hourly call, getinterfacesummaryhour (获取被动回复分布数据, documented beside the
// daily one).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) InterfaceSummaryHour(ctx context.Context, date datacube.Date) (HourlyResponse, error) {
	var result HourlyResponse
	err := a.request(ctx, datacube.Hourly, date, date, func(e envelope) error {
		return result.decode(e, date)
	})
	if err != nil {
		return HourlyResponse{}, err
	}
	return result, nil
}

// request requests the figures of the days from begin to end.
func (a *Account) request(
	ctx context.Context, api datacube.API, begin, end datacube.Date, decode func(envelope) error,
) error {
	type dates struct {
		Begin datacube.Date `json:"begin_date"`
		End   datacube.Date `json:"end_date"`
	}
	return a.call(ctx, apiOf(api), pathOf(api), dates{begin, end}, decode)
}

// call makes a call that needs an access token. If Weixin refuses the token, the call is repeated
// once with a renewed one.
func (a *Account) call(ctx context.Context, api API, path string, body any, decode func(envelope) error) error {
	return a.callWith(ctx, a.tokens, api, path, body, decode)
}

// pathOf returns the path of an interface-statistics call, by which the quota call names it, too.
func pathOf(api datacube.API) string {
	if api == datacube.Hourly {
		return "/datacube/getinterfacesummaryhour"
	}
	return "/datacube/getinterfacesummary"
}
