// Package weixin is a client of the interface-statistics calls of Weixin Official Accounts.
//
// Each method makes one call and returns plain values, or an *Error whose Reason says what a caller can do
// about it. A call is repeated only if Weixin refuses the token or the app secret, and only once, with a renewed
// one: retrying, waiting and logging are up to the caller. Dates and hours are in China time (UTC+8). No
// error contains an access token, a refresh token or an app secret.
package weixin

import (
	"fmt"
	"strings"
)

// Reason says why a call failed, and so what a caller can do about it. It is the value of the label
// "reason". Callers store the numbers: new reasons come last.
type Reason uint8

const (
	// Unknown is an errcode that no document explains.
	Unknown Reason = iota
	// Busy usually passes by itself: a system error, a transport error, a response that is not JSON.
	Busy
	// Token is an access token that Weixin refuses even after its one renewal, or that its file or token
	// server does not supply.
	Token
	// Config is a wrong app id, app secret, grant type or base URL.
	Config
	// AllowList is a calling address that is not on the account's IP allow list.
	AllowList
	// Quota means that the calls of the day are used up.
	Quota
	// Rate means that the calls of the minute are used up.
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
	// Bug is a request that Weixin does not understand: a bug of this program.
	Bug
	// StoreFault is a response that the caller could not store. No error of this package has it.
	StoreFault
	// InvalidRows is a response with rows that could not be understood. No error of this package has
	// it: see DailyResponse.Damaged and HourlyResponse.Damaged.
	InvalidRows
	// Reasons is their number, for arrays indexed by Reason.
	Reasons
)

var reasonNames = [Reasons]string{
	"unknown", "busy", "token", "config", "allow_list", "quota", "rate", "not_ready",
	"permission", "account", "retired", "range", "bug", "store", "invalid_rows",
}

// String returns the value of the label "reason".
func (r Reason) String() string {
	if r >= Reasons {
		return reasonNames[Unknown]
	}
	return reasonNames[r]
}

// Rejection says why a row of a response was ignored.
type Rejection uint8

const (
	// OutOfRange is a row for a day that was not requested.
	OutOfRange Rejection = iota
	// Duplicate is a second row for the same day, or hour of a day.
	Duplicate
	// BadHour is an invalid ref_hour.
	BadHour
	// BadValue is a row with a missing or invalid date, with a figure that is missing, not an integer or
	// negative, or with more failures than callbacks.
	BadValue
	// Rejections is their number, for arrays indexed by Rejection.
	Rejections
)

var rejectionNames = [Rejections]string{"out_of_range", "duplicate", "bad_hour", "bad_value"}

// String returns the value of the label "reason" of rejected rows.
func (r Rejection) String() string {
	if r >= Rejections {
		return "unknown"
	}
	return rejectionNames[r]
}

// Rejected counts the ignored rows of a response, indexed by Rejection.
type Rejected [Rejections]int

// String lists the rejected rows because of which figures are unknown, such as "1 duplicate, 2 bad_value".
// Rows out of range are not among them: they are about other days.
func (r Rejected) String() string {
	var counts []string
	for reason, n := range r {
		if n > 0 && Rejection(reason) != OutOfRange {
			counts = append(counts, fmt.Sprintf("%d %v", n, Rejection(reason)))
		}
	}
	return strings.Join(counts, ", ")
}
