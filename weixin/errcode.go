package weixin

import (
	"strings"
	"time"
)

// meaning is what an errcode stands for.
type meaning struct {
	reason Reason
	// wait is how long Weixin says to wait.
	wait time.Duration
	// advice is for the operator; "" means the advice of the reason. {address} in it stands
	// for the address that Weixin saw.
	advice string
}

// Where an operator finds what an advice speaks of, since December 2025: no longer in the console at
// mp.weixin.qq.com. The account is chosen under 我的业务 there.
// Source: developers.weixin.qq.com/doc/service/guide/dev/migration.html.
const (
	platformSite = "developers.weixin.qq.com/platform"
	basicPlace   = platformSite + " under 基础信息"
	keyPlace     = platformSite + " under 基础信息 → 开发密钥"
	quotaPlace   = platformSite + " under 接口管理 → 接口权限与额度"
	lookupPlace  = platformSite + " under 接口中心 → API 诊断"

	// listFacts is what an operator has to know of the IP allow list.
	listFacts = "The list takes addresses and CIDR ranges, no *, needs some minutes to act, and holds for calls with a token, too."
)

// meanings are the errcodes of the token calls, the interface-statistics calls and the quota
// call, from the tables of return codes in the official documents (Official Accounts and
// Third-party Platforms). Nothing writes to it.
var meanings = map[int]meaning{
	-1:    {reason: Busy},
	61450: {reason: Busy},

	40001: {reason: Token},
	40014: {reason: Token},
	42001: {reason: Token},

	40002: {reason: Config, advice: "Weixin does not know the grant type: see whether a proxy on the way to it changes requests."},
	40013: {reason: Config, advice: "The app id is wrong: compare it with the AppID of this account at " + basicPlace + "."},
	40125: {reason: Config, advice: "The app secret is wrong or has been reset: put the current one into the configuration; " +
		"Weixin does not show it again, so it may have to be reset at " + keyPlace + "."},
	40243: {reason: Config, advice: "The app secret is frozen: have an administrator of the account unfreeze it at " + keyPlace +
		", which takes 10 minutes to act; calls of an authorised third-party platform go on meanwhile."},
	40234: {reason: Permission, advice: "The account requires signatures for its API calls, which this program does not make: " +
		"have an administrator of the account switch them off for these calls at " + keyPlace + "."},
	41002: {reason: Config, advice: "No app id reached Weixin: see that it is set, and that no proxy on the way drops it."},
	41004: {reason: Config, advice: "No app secret reached Weixin: see that it is set, and that no proxy on the way drops it."},

	40164: {reason: AllowList},
	89501: {reason: AllowList, advice: "An administrator of the account has to confirm in the Weixin app " +
		"that {address} may call."},
	89503: {reason: AllowList, advice: "An administrator of the account has to confirm in the Weixin app " +
		"that {address} may call."},
	89506: {reason: AllowList, wait: 24 * time.Hour, advice: "An administrator of the account has refused " +
		"{address} twice, so Weixin blocks it for 24 hours: clear it up with the administrator, then add it to the IP allow list at " + keyPlace + "."},
	89507: {reason: AllowList, wait: time.Hour, advice: "An administrator of the account has refused " +
		"{address} once, so Weixin blocks it for an hour: clear it up with the administrator, then add it to the IP allow list at " + keyPlace + "."},

	45009: {reason: Quota},
	45011: {reason: Rate, wait: time.Minute},
	47009: {reason: Retired},

	48001: {reason: Permission, advice: "The account has no right to the interface statistics: it must be verified, and for calls " +
		"of a third-party platform it must have granted the permission set of the account service; " + quotaPlace + " shows it. Sometimes this passes by itself."},
	48004: {reason: Permission, advice: "Weixin has blocked this call for a breach of its rules: the notices to the account at " +
		"mp.weixin.qq.com say why and for how long."},
	48006: {reason: Quota, advice: "The quota cannot be reset again, since the resets of this month are used up: " +
		"the account's calls of the day start anew at midnight in China."},
	76022: {reason: Permission, advice: "The account has no right to the call whose quota was asked for: it must be verified, and for calls " +
		"of a third-party platform it must have granted the permission set of the account service."},
	50002: {reason: AccountClosed},

	61003: {reason: Permission, advice: "The account has not authorised the third-party platform: its administrator has to do so."},
	61004: {reason: Permission, advice: "The third-party platform has not registered the address that calls: " +
		"add {address} to the platform's IP allow list."},
	61005: {reason: Permission, advice: "The ticket of the third-party platform has expired: see that the platform " +
		"still receives the tickets that Weixin sends it."},
	61006: {reason: Permission, advice: "The ticket of the third-party platform is invalid: see that the platform " +
		"uses the latest ticket that Weixin sent it."},
	61007: {reason: Permission, advice: "The third-party platform may not make this call for the account: the account's administrator " +
		"has to grant the permission set of the account service."},
	61011: {reason: Permission, advice: "Weixin does not know the third-party platform: compare its component app id with the one that open.weixin.qq.com shows for the platform."},
	61016: {reason: Permission, advice: "The permission set that this call belongs to waits for the platform's confirmation: " +
		"confirm it at open.weixin.qq.com, with the account of the third-party platform."},
	61023: {reason: Permission, advice: "The refresh token of the account is invalid: the account's administrator has to authorise " +
		"the third-party platform again."},
	61024: {reason: Permission, advice: "The app id belongs to a third-party platform, not to an account: " +
		"take the app id of the account itself."},

	61500: {reason: Range},
	61501: {reason: Range},
	61503: {reason: NotReady},

	41001: {reason: Bug, advice: "The access token did not reach Weixin: see that no proxy on the way drops it from the URL, " +
		"and else report a bug of this program."},
	43002: {reason: Bug, advice: "Weixin got no POST request: see that the base URL begins with https:// and that no proxy on the way " +
		"changes requests, and else report a bug of this program."},
	44002: {reason: Bug, advice: "Weixin got an empty request: see that no proxy on the way drops the body of requests, " +
		"and else report a bug of this program."},
	47001: {reason: Bug},
	76001: {reason: Range, advice: "Weixin does not know this rid: it keeps one for 7 days, and only where it has answered with it."},
	76002: {reason: Bug, advice: "Weixin does not understand the rid: see that it is complete, such as 5f9b7285-5c43096f-0ba75f4d."},
	76003: {reason: Permission, advice: "The account may not look this up: a rid is shown only to the account whose call it was, " +
		"and a quota only for the path of a call."},
	76021: {reason: Bug, advice: "Weixin does not know the call whose quota was asked for: see that no proxy on the way " +
		"changes requests, and else report a bug of this program."},
}

// reasonAdvice is what to tell the operator where the errcode gives no better advice.
var reasonAdvice = [Reasons]string{
	Unknown: "The documents do not explain this error: look for its code at developers.weixin.qq.com, " +
		"look up its rid at " + lookupPlace + ", or give the rid to Weixin's support.",
	Busy: "Weixin could not be reached or could not answer, which mostly passes by itself: if it lasts, check network, proxy and base URL.",
	Token: "Weixin does not accept the access token, not even a renewed one: see whether another service keeps replacing " +
		"the token of this account, and whether the token is of this account.",
	Config:    "Weixin does not accept what the configuration says of this account: check app id, app secret and base URL.",
	AllowList: "Add {address} to the IP allow list of the account at " + keyPlace + ". " + listFacts,
	Quota: "The account's calls of this day are used up and start anew at midnight in China: see at " + quotaPlace +
		" how many it has, possibly none, and find out what else uses them.",
	Rate:          "The account makes too many calls a minute: see what else calls the API for it, or lower the rate of requests.",
	NotReady:      "Weixin has not computed the figures of this day yet: they mostly come between 08:00 and noon China time.",
	Permission:    "The account or the platform is not allowed to make this call: look at its permissions at " + quotaPlace + ".",
	AccountClosed: "Weixin has limited or closed the account: the notices to it at mp.weixin.qq.com say why.",
	Retired:       "Weixin has taken this call out of service: look for a later version of this program, or remove the account.",
	Range: "Weixin does not answer for these dates: check that the clock of this machine is right, " +
		"and else report a bug of this program.",
	Bug: "Weixin does not understand the request: report it as a bug of this program, with errcode and rid; " +
		lookupPlace + " shows what arrived.",
	StoreFault: "Make the database that the error names writable. Until then no more requests are sent to Weixin, " +
		"and figures that are shown but not stored are lost with a restart; they are then requested again.",
	InvalidRows: "What was known of these days is kept, and they are requested again. If it goes on, Weixin or a proxy on the way " +
		"has changed the form of its responses: look for a newer version of this program, or report what the response looks like.",
}

// What to tell the operator where the fault lies with the file or URL that tokens come from,
// for which {source} stands, or with the refresh token.
const (
	fileAdvice = "See that {source} is there and readable, and that it holds the current access token: " +
		"raw text, a JSON string, or a JSON object with access_token, or with another key that token_path names."
	urlAdvice = "See that the token server at {source} answers with the current access token (raw text, a JSON string, " +
		"or a JSON object with access_token, or with another key that token_path names), and that the configured URL and its credentials are right."
	urlBusyAdvice = "The token server at {source} could not be reached or could not answer, which mostly passes by itself: " +
		"if it lasts, check that server and the network on the way to it."
	staleAdvice = "Renew the token in {source}: Weixin has refused the one that is there, so what renews it does not work, " +
		"or it is not the token of this account or platform."
	replacedAdvice = "Weixin refuses every token from {source}: see that they are tokens of this account or platform, " +
		"and whether another service keeps replacing them."

	replaceAdvice = "Make the file that the error names writable for this program, with its whole folder: it is replaced whenever " +
		"Weixin hands out another refresh token, and nothing is asked for the account until then."
	lockedAdvice = "Another process, such as a check or a second exporter, uses the same refresh token; this mostly passes by itself: " +
		"if it lasts, end that process."
	secretAdvice = "Make the file that the error names hold the account's app secret, readable by this program; " +
		"it is read again with each attempt."
	clientAdvice = "Mend what the error names in the http_config of {source}: it is tried again with each attempt."

	loadAdvice = "Put the account's authorizer refresh token into the file that the error names, readable by this program; " +
		"if it is lost, the account's administrator has to authorise the third-party platform again."
	saveAdvice = "Make the file that the error names writable, with its whole folder, before this program is stopped: only its memory " +
		"holds the new refresh token, and without it the account's administrator may have to authorise the third-party platform again."
)

// lookUp returns what code means. bySecret says that no access token was involved: what
// refuses one means the app secret then.
func lookUp(code int, bySecret bool) meaning {
	known := meanings[code]
	if bySecret && known.reason == Token {
		return meaning{reason: Config, advice: meanings[40125].advice}
	}
	return known
}

// Advice says in one sentence what the error means to the operator and what to do about it.
func (e *Error) Advice() string {
	advice := reasonAdvice[Unknown]
	if e.Reason < Reasons {
		advice = reasonAdvice[e.Reason]
	}
	if known := lookUp(e.Errcode, e.API == TokenAPI && e.Reason == Config); known.advice != "" {
		advice = known.advice
	}
	if e.advice != "" {
		advice = e.advice
	}
	address := "the address of this machine"
	if e.Address != "" {
		address = e.Address + ", the address that Weixin saw,"
	}
	return strings.NewReplacer("{address}", address, "{source}", e.Source).Replace(advice)
}
