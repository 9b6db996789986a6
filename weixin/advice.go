package weixin

import (
	"maps"
	"slices"
	"strings"
)

// Advice says what an error means to an operator and what to do about it: a code, under which a
// catalogue finds the text in any language, and the values that the text mentions.
type Advice struct {
	// Code is one of AdviceCodes.
	Code string
	// Address is the IP address that Weixin saw and refused; "" if it is not known.
	Address string
	// Origin is where the token or secret comes from; zero if the advice does not mention it.
	Origin Origin
}

// AdviceCodes returns all codes of an Advice in ascending order. The caller owns the result.
func AdviceCodes() []string { return slices.Sorted(maps.Keys(adviceTexts)) }

// AdviceFormats returns the English text of each code, in which {address} and {origin} stand for the values. The
// caller owns the result.
func AdviceFormats() map[string]string { return maps.Clone(adviceTexts) }

// String returns the advice in English, for logs.
func (a Advice) String() string {
	address := "the address of this machine"
	if a.Address != "" {
		address = a.Address + ", the address that Weixin saw,"
	}
	return strings.NewReplacer("{address}", address, "{origin}", a.Origin.String()).Replace(adviceTexts[a.Code])
}

// Where an operator finds the settings that an advice mentions. They left the console at
// mp.weixin.qq.com in December 2025; the account is chosen under 我的业务.
// Source: developers.weixin.qq.com/doc/service/guide/dev/migration.html.
const (
	platformSite   = "developers.weixin.qq.com/platform"
	basicSettings  = platformSite + " under 基础信息"
	keySettings    = platformSite + " under 基础信息 → 开发密钥"
	quotaSettings  = platformSite + " under 接口管理 → 接口权限与额度"
	diagnosticPage = platformSite + " under 接口中心 → API 诊断"
)

// The codes of advice that does not depend on an errcode alone.
const (
	adviceTokenFile       = "token_file"
	adviceTokenServer     = "token_server"
	adviceTokenServerBusy = "token_server_busy"
	adviceSameToken       = "same_token"
	adviceOtherTokens     = "other_tokens_refused" //nolint:gosec // a code, not a secret
	adviceHTTPConfig      = "http_config"
	adviceSecretFile      = "app_secret_file"
	adviceRefreshLoad     = "refresh_token_load"
	adviceRefreshSave     = "refresh_token_save"
	adviceRefreshReplace  = "refresh_token_replace"
	adviceRefreshLocked   = "refresh_token_locked"
	adviceRefreshReplaced = "refresh_token_replaced"
	adviceRefreshDatabase = "refresh_token_database"
	adviceRefreshUnsaved  = "refresh_token_unsaved"
	adviceRefreshSealed   = "refresh_token_sealed"
	adviceWrongSecret     = "wrong_app_secret"
)

// adviceTexts has the English text of each code. A reason has the advice under its name where the
// errcode has none of its own: see errcodes. {address} stands for the address that Weixin saw, {origin} for
// the file or server that the token comes from. Nothing writes to it.
var adviceTexts = map[string]string{ //nolint:gosec // texts, not secrets
	// Reasons.
	Unknown.String(): "The documents do not explain this error: look for its code at developers.weixin.qq.com, " +
		"look up its rid at " + diagnosticPage + ", or give the rid to Weixin's support.",
	Busy.String(): "Weixin could not be reached or could not answer. This usually passes by itself: if it lasts, check network, proxy and base URL.",
	Token.String(): "Weixin does not accept the access token, not even a renewed one: check whether another service keeps replacing " +
		"the token of this account, and whether the token belongs to this account.",
	Config.String():    "Weixin does not accept the configuration of this account: check app id, app secret and base URL.",
	AllowList.String(): "Add {address} to the IP allow list of the account at " + keySettings + ". The list takes addresses and CIDR ranges, no *, takes a few minutes to apply, and also applies to calls with a token.",
	Quota.String(): "The account's calls of this day are used up; its quota starts again at midnight in China: look up at " + quotaSettings +
		" how many calls it has, possibly none, and find out what else uses them.",
	Rate.String():          "The account makes too many calls per minute: find out what else calls the API for it, or lower the rate of requests.",
	NotReady.String():      "Weixin has not computed the figures of this day yet: they usually arrive between 08:00 and noon China time.",
	Permission.String():    "The account or the platform is not allowed to make this call: check its permissions at " + quotaSettings + ".",
	AccountClosed.String(): "Weixin has limited or closed the account: the notices to it at mp.weixin.qq.com say why.",
	Retired.String():       "Weixin has taken this call out of service: look for a later version of this program, or remove the account.",
	Range.String():         "Weixin does not answer for these dates: check that the clock of this machine is right; otherwise report a bug of this program.",
	Bug.String(): "Weixin does not understand the request: report it as a bug of this program, with errcode and rid; " +
		diagnosticPage + " shows what arrived.",
	StoreFault.String(): "Make the database named in the error writable. Until then no more calls are made, and figures that are shown " +
		"but not stored are lost at a restart, after which they are requested again.",
	InvalidRows.String(): "Known figures of these days are kept, and the days are requested again. If this persists, Weixin or a proxy " +
		"has changed the format of the responses: look for a newer version of this program, or report an example of a response.",

	// Errcodes of the token calls and of third-party platforms.
	"grant_type":   "Weixin does not know the grant type: check whether a proxy on the way changes requests.",
	"wrong_app_id": "The app id is wrong: compare it with the AppID of this account at " + basicSettings + ".",
	adviceWrongSecret: "The app secret is wrong or has been reset: put the current one into the configuration; " +
		"Weixin does not show it again, so it may have to be reset at " + keySettings + ".",
	"frozen_app_secret": "The app secret is frozen: have an administrator of the account unfreeze it at " + keySettings +
		", which takes 10 minutes to apply; calls of an authorised third-party platform are not affected.",
	"signature_required": "The account requires signatures for its API calls, which this program does not make: " +
		"have an administrator of the account switch them off for these calls at " + keySettings + ".",
	"app_id_missing":     "No app id reached Weixin: check that it is set, and that no proxy on the way drops it.",
	"app_secret_missing": "No app secret reached Weixin: check that it is set, and that no proxy on the way drops it.",
	"address_unconfirmed": "An administrator of the account must confirm in the Weixin app " +
		"that {address} may call.",
	"address_refused_twice": "An administrator of the account has refused {address} twice, so Weixin blocks it for 24 hours: " +
		"settle it with the administrator, then add it to the IP allow list at " + keySettings + ".",
	"address_refused": "An administrator of the account has refused {address} once, so Weixin blocks it for an hour: " +
		"settle it with the administrator, then add it to the IP allow list at " + keySettings + ".",
	"platform_not_authorised": "The account has not authorised the third-party platform: its administrator must do so.",
	"platform_address":        "The third-party platform has not registered the calling address: add {address} to the platform's IP allow list.",
	"platform_ticket_expired": "The ticket of the third-party platform has expired: check that the platform still receives the tickets that Weixin sends it.",
	"platform_ticket_invalid": "The ticket of the third-party platform is invalid: check that the platform uses the latest ticket that Weixin sent it.",
	"platform_permission":     "The third-party platform may not make this call for the account: the account's administrator must grant the permission set of the account service.",
	"platform_unknown":        "Weixin does not know the third-party platform: compare its component app id with the one that open.weixin.qq.com shows for the platform.",
	"platform_confirmation":   "The permission set of this call waits for the platform's confirmation: confirm it at open.weixin.qq.com, with the account of the third-party platform.",
	"refresh_token_invalid":   "The refresh token of the account is invalid: the account's administrator must authorise the third-party platform again.",
	"app_id_of_platform":      "The app id belongs to a third-party platform, not to an account: use the app id of the account itself.",

	// Errcodes of the interface-statistics calls and the quota call.
	"statistics_permission": "The account has no right to the interface statistics: it must be verified, and for calls " +
		"of a third-party platform it must have granted the permission set of the account service; " + quotaSettings + " shows it. Sometimes this passes by itself.",
	"call_blocked": "Weixin has blocked this call for a breach of its rules: the notices to the account at " +
		"mp.weixin.qq.com say why and for how long.",
	"resets_used_up": "The quota cannot be reset again, since the resets of this month are used up: " +
		"it starts again at midnight in China.",
	"quota_permission": "The account has no right to the call whose quota was requested: it must be verified, and for calls " +
		"of a third-party platform it must have granted the permission set of the account service.",
	"token_missing": "The access token did not reach Weixin: check that no proxy on the way drops it from the URL; " +
		"otherwise report a bug of this program.",
	"post_required": "The request did not reach Weixin as a POST: check that the base URL begins with https:// and that no proxy on the way " +
		"changes requests; otherwise report a bug of this program.",
	"empty_request": "Weixin received an empty request: check that no proxy on the way drops the body of requests; " +
		"otherwise report a bug of this program.",
	"callback_url_unset": "No callback URL is set for the account or its platform, so that Weixin pushes no message: set it at " + platformSite +
		" under 基础信息 → 域名与消息推送配置, or remove callback from the configuration.",
	"callback_check": "Weixin does not understand the check of the callback URL: report it as a bug of this program.",
	"rid_unknown":    "Weixin does not know this rid: it keeps one for 7 days, and only if it was part of a response.",
	"rid_invalid":    "Weixin does not understand the rid: check that it is complete, such as 5f9b7285-5c43096f-0ba75f4d.",
	"rid_permission": "The account may not look this up: a rid is shown only to the account that made the call, and a quota only for the path of a call.",
	"quota_path":     "Weixin does not know the call whose quota was requested: check that no proxy on the way changes requests; otherwise report a bug of this program.",

	// Tokens that do not come from Weixin.
	adviceTokenFile: "Check that {origin} exists and is readable, and that it holds the current access token: " +
		"raw text, a JSON string, or a JSON object with access_token, or with another key that token_path names.",
	adviceTokenServer: "Check that the token server at {origin} responds with the current access token (raw text, a JSON string, " +
		"or a JSON object with access_token, or with another key that token_path names), and that the configured URL and its credentials are right.",
	adviceTokenServerBusy: "The token server at {origin} could not be reached or could not answer. This usually passes by itself: " +
		"if it lasts, check that server and the network on the way to it.",
	adviceSameToken: "Renew the token in {origin}: Weixin has refused the current one, so either the program that renews it does not work, " +
		"or the token does not belong to this account or platform.",
	adviceOtherTokens: "Weixin refuses every token from {origin}: check that they belong to this account or platform, " +
		"and whether another service keeps replacing them.",
	adviceHTTPConfig: "Fix what the error names in the http_config of {origin}: it is tried again with each attempt.",

	// Files of secrets.
	adviceSecretFile: "Put the account's app secret into the file that the error names, readable by this program; " +
		"it is read again with each attempt.",
	adviceRefreshLoad: "Put the account's authorizer refresh token into the file that the error names, readable by this program; " +
		"if it is lost, the account's administrator must authorise the third-party platform again.",
	adviceRefreshSave: "Make the file that the error names writable, with its whole folder, before this program is stopped: the new refresh token " +
		"exists only in its memory, and without it the account's administrator may have to authorise the third-party platform again.",
	adviceRefreshReplace: "Make the file that the error names writable for this program, with its whole folder: it is replaced whenever " +
		"Weixin issues another refresh token, and no requests are sent for the account until then.",
	adviceRefreshLocked: "Another process, such as a check or a second exporter, uses the same refresh token. This usually passes by itself: " +
		"if it lasts, end that process.",
	adviceRefreshReplaced: "Another refresh token was stored while this one was exchanged. The next attempt uses it: nothing needs to be done.",
	adviceRefreshDatabase: "Make the database that the error names usable: the account's refresh token is in it, " +
		"and no requests are sent for the account until then.",
	adviceRefreshUnsaved: "Make the database that the error names writable before this program is stopped: the new refresh token " +
		"exists only in its memory, and without it the account's administrator may have to authorise the third-party platform again.",
	adviceRefreshSealed: "Add the key with which the token was sealed to store.sealing_key_file. If it is lost, delete the rows of the table " +
		"weixin_exporter.token and put a refresh token that is still valid into refresh_token_file.",
}
