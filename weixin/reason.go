// Package weixin is a client of the interface-statistics calls of Weixin Official Accounts.
//
// It asks once and reports what it got: plain values, or an *Error whose Reason says what a
// caller can do about it. It repeats a call only once, with a renewed token or app secret,
// where Weixin refused the one before; it neither logs nor waits for better times. No access
// token, refresh token or app secret is ever part of an error.
package weixin

// Reason says why a call failed, and so what a caller can do about it. It is the value of the label
// "reason". Callers store the numbers: new reasons come last.
type Reason uint8

const (
	// Unknown is an errcode that is in no document.
	Unknown Reason = iota
	// Busy passes by itself: a system error, a transport fault, an answer that is not JSON.
	Busy
	// Token is an access token that Weixin refuses, also after its one renewal, or that is
	// not available from the file or the token server that it comes from.
	Token
	// Config is a wrong app id, app secret, grant type or base URL.
	Config
	// AllowList is an address that may not call for this account.
	AllowList
	// Quota is a day's number of calls used up.
	Quota
	// Rate is a minute's number of calls used up.
	Rate
	// NotReady is a day whose figures Weixin has not computed yet.
	NotReady
	// Permission is a call that the account or the platform is not allowed to make.
	Permission
	// AccountClosed is an account that Weixin has limited or closed.
	AccountClosed
	// Retired is a call that Weixin has taken out of service.
	Retired
	// Range is a date or a range that Weixin does not answer for.
	Range
	// Bug is a request that Weixin does not understand: a mistake of this program.
	Bug
	// StoreFault is a response that the caller could not store. No error of this package has it.
	StoreFault
	// InvalidRows is a response with rows that could not be understood. No error of this package has
	// it: see DailyAnswer.Damaged and HourlyAnswer.Damaged.
	InvalidRows
	// Reasons is their number, for arrays indexed by Reason.
	Reasons
)

var reasonNames = [Reasons]string{
	"unknown", "busy", "token", "config", "allow_list", "quota", "rate", "not_ready",
	"permission", "account", "retired", "range", "bug", "store", "invalid_rows",
}

// String returns the reason as it stands in labels and log lines.
func (c Reason) String() string {
	if c >= Reasons {
		return reasonNames[Unknown]
	}
	return reasonNames[c]
}

// Rejection says why a row of an answer was left out.
type Rejection uint8

const (
	// OutOfRange is a row for a day that was not asked for.
	OutOfRange Rejection = iota
	// Duplicate is a second row for the same day, or hour of a day.
	Duplicate
	// BadHour is a ref_hour that is none.
	BadHour
	// BadValue is a row with a figure or a date that is missing, no whole number, negative,
	// or more failures than callbacks.
	BadValue
	// Rejections is their number, for arrays indexed by Rejection.
	Rejections
)

var rejectionNames = [Rejections]string{"out_of_range", "duplicate", "bad_hour", "bad_value"}

// String returns the reason as it stands in labels and log lines.
func (r Rejection) String() string {
	if r >= Rejections {
		return "unknown"
	}
	return rejectionNames[r]
}
