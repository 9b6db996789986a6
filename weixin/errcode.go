package weixin

import (
	"cmp"
	"time"
)

// meaning is what an errcode stands for.
type meaning struct {
	reason Reason
	// wait is how long Weixin says to wait.
	wait time.Duration
	// advice is the code of the advice; "" means the advice of the reason.
	advice string
}

// errcodes are the errcodes of the token calls, the interface-statistics calls and the quota
// call, from the tables of return codes in the official documents (Official Accounts and
// Third-party Platforms). Nothing writes to it.
var errcodes = map[int]meaning{
	-1:    {reason: Busy},
	61450: {reason: Busy},

	40001: {reason: Token},
	40014: {reason: Token},
	42001: {reason: Token},

	40002: {reason: Config, advice: "grant_type"},
	40013: {reason: Config, advice: "wrong_app_id"},
	40125: {reason: Config, advice: adviceWrongSecret},
	40243: {reason: Config, advice: "frozen_app_secret"},
	40234: {reason: Permission, advice: "signature_required"},
	41002: {reason: Config, advice: "app_id_missing"},
	41004: {reason: Config, advice: "app_secret_missing"},

	40164: {reason: AllowList},
	89501: {reason: AllowList, advice: "address_unconfirmed"},
	89503: {reason: AllowList, advice: "address_unconfirmed"},
	89506: {reason: AllowList, wait: 24 * time.Hour, advice: "address_refused_twice"},
	89507: {reason: AllowList, wait: time.Hour, advice: "address_refused"},

	45009: {reason: Quota},
	45011: {reason: Rate, wait: time.Minute},
	47009: {reason: Retired},

	48001: {reason: Permission, advice: "statistics_permission"},
	48004: {reason: Permission, advice: "call_blocked"},
	48006: {reason: Quota, advice: "resets_used_up"},
	76022: {reason: Permission, advice: "quota_permission"},
	50002: {reason: AccountClosed},

	61003: {reason: Permission, advice: "platform_not_authorised"},
	61004: {reason: Permission, advice: "platform_address"},
	61005: {reason: Permission, advice: "platform_ticket_expired"},
	61006: {reason: Permission, advice: "platform_ticket_invalid"},
	61007: {reason: Permission, advice: "platform_permission"},
	61011: {reason: Permission, advice: "platform_unknown"},
	61016: {reason: Permission, advice: "platform_confirmation"},
	61023: {reason: Permission, advice: "refresh_token_invalid"},
	61024: {reason: Permission, advice: "app_id_of_platform"},

	61500: {reason: Range},
	61501: {reason: Range},
	61503: {reason: NotReady},

	41001: {reason: Bug, advice: "token_missing"},
	43002: {reason: Bug, advice: "post_required"},
	44002: {reason: Bug, advice: "empty_request"},
	47001: {reason: Bug},
	40201: {reason: Config, advice: "callback_url_unset"},
	40202: {reason: Bug, advice: "callback_check"},
	40203: {reason: Bug, advice: "callback_check"},
	76001: {reason: Range, advice: "rid_unknown"},
	76002: {reason: Bug, advice: "rid_invalid"},
	76003: {reason: Permission, advice: "rid_permission"},
	76021: {reason: Bug, advice: "quota_path"},
}

// meaningOf returns what an errcode stands for. bySecret means that the call was made with the app
// secret: an errcode that refuses an access token then refuses the secret.
func meaningOf(errcode int, bySecret bool) meaning {
	m := errcodes[errcode]
	if bySecret && m.reason == Token {
		return meaning{reason: Config, advice: adviceWrongSecret}
	}
	return m
}

// AdviceOn returns the advice on an errcode; that on errcodes without an explanation if no document explains it.
func AdviceOn(errcode int) Advice {
	return (&Error{Errcode: errcode, Reason: meaningOf(errcode, false).reason}).Advice()
}

// Advice says what the error means to an operator and what to do about it.
func (e *Error) Advice() Advice {
	advice := e.Reason.Advice()
	ofErrcode := meaningOf(e.Errcode, e.API == TokenAPI && e.Reason == Config).advice
	advice.Code = cmp.Or(e.advice, ofErrcode, advice.Code)
	advice.Address, advice.Origin = e.Address, e.Origin
	return advice
}

// Advice says what a failure for this reason means to an operator and what to do about it, if nothing else is
// known of it.
func (r Reason) Advice() Advice { return Advice{Code: r.String()} }
