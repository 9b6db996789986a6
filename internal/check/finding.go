package check

import (
	"fmt"
	"strconv"
	"strings"

	"weixin_exporter/internal/i18n"
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

// Message returns the finding as a text; zero if it has nothing to add.
func (f Finding) Message() i18n.Message {
	switch f.Code {
	case Allowed:
		return i18n.M("check.allowed")
	case Available:
		return i18n.M("check.available", f.Date)
	case NotAvailable:
		return i18n.M("check.not_available", f.Date)
	case CallsLeft:
		if allowed := f.Quota.Allowed(); !allowed.IsZero() {
			return i18n.M("check.calls_left_rate", f.Quota.Remaining, f.Quota.Limit, i18n.Rate(allowed))
		}
		return i18n.M("check.calls_left", f.Quota.Remaining, f.Quota.Limit)
	case Failed:
		return i18n.M("error.other", f.Err)
	case Answers:
		return i18n.M("check.answers", fmt.Sprintf("%.3f", f.Probe.Duration.Seconds()))
	case ProbeFailed:
		return f.Probe.Found
	case NotProbed:
		return i18n.M("check.not_probed", f.Err)
	case Reached:
		return reached(f.Reach)
	case InvalidRows:
		return i18n.M("check.invalid_rows", f.Rejected.String())
	default:
		return i18n.Message{}
	}
}

// String returns the finding in English.
func (f Finding) String() string { return f.Message().String() }

// ToDo says what to do about a Fault; zero if there is nothing to do.
func (f Finding) ToDo() i18n.Message {
	switch f.Code {
	case NotProbed:
		return i18n.M("probe.advice.not_probed")
	case ProbeFailed:
		return i18n.M("probe.advice." + string(f.Probe.Reason))
	case Reached:
		return i18n.M("reach.advice")
	default:
		return i18n.Advice(f.Advice)
	}
}

// reached says how Weixin reaches the host of a callback URL.
func reached(r weixin.CallbackReach) i18n.Message {
	if len(r.Resolved) == 0 {
		return i18n.M("reach.unresolved")
	}
	var addresses, pings i18n.List
	for _, a := range r.Resolved {
		addresses = append(addresses, strings.TrimSpace(a.IP+" "+a.Operator))
	}
	for _, p := range r.Pings {
		if p.Lost {
			pings = append(pings, i18n.M("reach.lost", p.IP))
		} else {
			pings = append(pings, p.IP+" "+p.Time.String())
		}
	}
	if len(pings) == 0 {
		return i18n.M("reach.resolved", addresses)
	}
	return i18n.M("reach.pings", addresses, pings)
}

// RateWarning means that the exporter may send requests at a higher rate than Weixin allows.
type RateWarning struct {
	API               datacube.API
	RequestsPerSecond float64
	Allowed           weixin.CallRate
}

// Message returns the warning as a text.
func (w RateWarning) Message() i18n.Message {
	return i18n.M("check.rate", strconv.FormatFloat(w.RequestsPerSecond, 'g', -1, 64), i18n.Rate(w.Allowed), i18n.M("call."+w.API.String()))
}
