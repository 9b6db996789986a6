package check

import (
	"fmt"

	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Code says what a check found.
type Code string

const (
	// Allowed means that Weixin answered the call.
	Allowed Code = "allowed"
	// Available means that the figures of Date are available.
	Available Code = "available"
	// NotAvailable means that the figures of Date are not available yet, or that the day had no traffic.
	NotAvailable Code = "not_available"
	// CallsLeft means that Quota is known.
	CallsLeft Code = "calls_left"
	// Failed means that the call failed with Err.
	Failed Code = "failed"
	// Answers means that the callback server answers as Weixin expects.
	Answers Code = "answers"
	// ProbeFailed means that it does not.
	ProbeFailed Code = "probe_failed"
	// NotProbed means that Err kept from probing it.
	NotProbed Code = "not_probed"
	// Reached means that Weixin has told how it reaches the host of the callback URL.
	Reached Code = "reached"
	// InvalidRows means that the response has invalid rows, which Rejected counts.
	InvalidRows Code = "invalid_rows"
)

// Finding is what a check found. The zero value has nothing to add to the state of the check. Which of the
// other fields are set depends on Code.
type Finding struct {
	Code     Code
	Date     datacube.Date
	Quota    weixin.CallQuota
	Err      error
	Rejected weixin.Rejected
	Probe    probe.Result
	Reach    weixin.CallbackReach
	// Advice says what to do about a Fault.
	Advice weixin.Advice
}

// String returns the finding in English.
func (f Finding) String() string {
	switch f.Code {
	case Allowed:
		return "allowed"
	case Available:
		return f.Date.String() + " is available"
	case NotAvailable:
		return f.Date.String() + " is not available yet, or had no traffic"
	case CallsLeft:
		text := fmt.Sprintf("%d of %d left", f.Quota.Remaining, f.Quota.Limit)
		if allowed := f.Quota.Allowed(); !allowed.IsZero() {
			text += ", " + allowed.String()
		}
		return text
	case Failed:
		return f.Err.Error()
	case Answers:
		return fmt.Sprintf("answers in %.3f s", f.Probe.Duration.Seconds())
	case ProbeFailed:
		return f.Probe.Text
	case NotProbed:
		return "not probed: " + f.Err.Error()
	case Reached:
		return f.Reach.String()
	case InvalidRows:
		return "the response has invalid rows: " + f.Rejected.String()
	default:
		return ""
	}
}

// RateWarning means that the exporter may send requests at a higher rate than Weixin allows.
type RateWarning struct {
	API               datacube.API
	RequestsPerSecond float64
	Allowed           weixin.CallRate
}

// String returns the warning in English.
func (w RateWarning) String() string {
	return fmt.Sprintf("weixin.requests_per_second is %g, and Weixin allows %s of the %s call: lower it, or calls are refused with errcode 45011",
		w.RequestsPerSecond, w.Allowed, w.API)
}

// MarshalText returns the warning in English; JSON uses it.
func (w RateWarning) MarshalText() ([]byte, error) { return []byte(w.String()), nil }
