package weixin

import "weixin_exporter/weixin/datacube"

// API is a kind of call, as errors and observations name it. It is the value of the label "api".
type API string

const (
	// TokenAPI is each call that gives an access token, of Weixin or of a token server.
	TokenAPI API = "token"
	// DailyAPI is getinterfacesummary, the call datacube.Daily.
	DailyAPI API = "daily"
	// HourlyAPI is getinterfacesummaryhour, the call datacube.Hourly.
	HourlyAPI API = "hourly"
	// QuotaAPI is openapi/quota/get, which says how many calls are left.
	QuotaAPI API = "quota"
	// CallbackAPI is callback/check, which says how Weixin reaches the host of the callback URL.
	CallbackAPI API = "callback_check"
	// RIDAPI is openapi/rid/get, which shows a request that Weixin has logged.
	RIDAPI API = "rid"
)

// apiOf returns the name of an interface-statistics call.
func apiOf(api datacube.API) API { return API(api.String()) }
