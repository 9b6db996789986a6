package remotewrite

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/text"
)

// Reason says why samples were given up. It is the label "reason".
type Reason uint8

const (
	// TooOld samples are older than the receiver accepts.
	TooOld Reason = iota
	// OutOfOrder samples are older than others of their series, and the receiver does not accept that.
	OutOfOrder
	// Duplicate samples have a time for which the receiver has another value.
	Duplicate
	// Rejected samples were refused by the receiver for any other reason.
	Rejected
	// MaxAge samples were not sent because they are older than max_age.
	MaxAge
	// Reasons is the number of reasons, for arrays indexed by Reason.
	Reasons
)

// String returns the reason as the value of the label.
func (r Reason) String() string {
	switch r {
	case TooOld:
		return "too_old"
	case OutOfOrder:
		return "out_of_order"
	case Duplicate:
		return "duplicate"
	case Rejected:
		return "rejected"
	case MaxAge:
		return "max_age"
	default:
		return "unknown"
	}
}

// Outcome says what a response means for the samples of the request.
type Outcome uint8

const (
	// Accepted means that the receiver has the samples.
	Accepted Outcome = iota
	// Refused means that the receiver does not accept them as they are: a sample may be at fault, or a setting.
	Refused
	// Later means that the receiver cannot accept them now.
	Later
	// Ahead means that the receiver takes the samples to be in the future: one of the clocks is wrong.
	Ahead
	// Unusable means that the receiver accepts nothing from this sender until a setting is changed.
	Unusable
	// NotUnderstood means that the receiver does not support this version of the protocol.
	NotUnderstood
)

// Result is the result of one request.
type Result struct {
	Outcome Outcome
	// Reason is why samples are refused; for Refused.
	Reason Reason
	// OfSamples is true if known receivers use the text of the response for single samples; for Refused.
	OfSamples bool
	// RetryAfter is how long the receiver asks the sender to wait; 0 if it does not say.
	RetryAfter time.Duration
	// Unwritten is how many of the samples the receiver reports as not written; for Accepted, in version 2.0.
	Unwritten int
	// Status is the HTTP status; 0 without a response.
	Status int
	// Text is the receiver's response, or the error that prevented one, in one line and without
	// credentials; "" for Accepted.
	Text string
}

// advice says what to do about a result that is not Accepted.
func (r Result) advice() i18n.Message {
	switch r.Outcome {
	case Later:
		return i18n.M("receiver.advice.later")
	case Ahead:
		return i18n.M("receiver.advice.ahead")
	case Refused:
		return i18n.M("receiver.advice.refused")
	default:
		return i18n.M("receiver.advice.unusable")
	}
}

// maxText limits how much of a response's text is kept, in characters.
const maxText = 400

// causes are the texts with which known receivers refuse single samples. Words that any program may use, such as
// "index out of bounds", must not match.
var causes = []struct {
	text   *regexp.Regexp
	reason Reason
}{
	// Prometheus; Cortex and Thanos add a prefix.
	{regexp.MustCompile(`(?im)(^|: |; )(out of bounds|too old sample)\b`), TooOld},
	{regexp.MustCompile(`(?im)(^|: |; )duplicate sample for timestamp\b`), Duplicate},
	{regexp.MustCompile(`(?im)(^|: |; )out of order sample\b`), OutOfOrder},
	// Cortex
	{regexp.MustCompile(`(?i)\btimestamp too old\b`), TooOld},
	// Mimir
	{regexp.MustCompile(`err-mimir-(sample-)?(timestamp-too-old|too-far-in-past|out-of-bounds)\b`), TooOld},
	{regexp.MustCompile(`err-mimir-(sample-)?duplicate-timestamp\b`), Duplicate},
	{regexp.MustCompile(`err-mimir-(sample-)?out-of-order\b`), OutOfOrder},
	{regexp.MustCompile(`err-mimir-([a-z-]*label|[a-z-]*metric-name)`), Rejected},
}

// conflict is all that Thanos Receive says, with status 409, about samples that are too old, out of order or duplicates.
var conflict = regexp.MustCompile(`: conflict\s*$`)

// future is what Prometheus, Mimir and Cortex say about samples that are ahead of their own time.
var future = regexp.MustCompile(`(?i)too[ -]far[ -]in[ -](the[ -])?future|\btimestamp too new\b`)

// causeOf returns why a response refuses samples, and whether known receivers use its text for single samples.
func causeOf(status int, body string) (Reason, bool) {
	for _, cause := range causes {
		if cause.text.MatchString(body) {
			return cause.reason, true
		}
	}
	if status == http.StatusConflict && conflict.MatchString(body) {
		return OutOfOrder, true
	}
	return Rejected, false
}

// namesSamples reports whether a response with status 500 is about samples. Prometheus 2.42 sends exactly
// "too old sample" with it, and the other texts with 400. A text that merely contains such words, as "index
// out of bounds" does, may come from any program.
func namesSamples(body string) bool {
	switch strings.TrimSpace(body) {
	case "too old sample", "out of bounds", "out of order sample", "duplicate sample for timestamp":
		return true
	}
	return false
}

// describe returns a response in one line.
func describe(status int, body string) string {
	description := fmt.Sprintf("HTTP status %d", status)
	if line := text.Shorten(text.OneLine(body), maxText); line != "" {
		description += ": " + line
	}
	return description
}

// resultOf returns what a response means, without its text. now is needed for a Retry-After that is a date.
func resultOf(status int, header http.Header, body string, now time.Time) Result {
	r := Result{Status: status}
	r.Reason, r.OfSamples = causeOf(status, body)
	switch {
	case status >= 200 && status < 300:
		return Result{Outcome: Accepted, Status: status}
	case status == http.StatusUnsupportedMediaType:
		r.Outcome = NotUnderstood
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		r.Outcome, r.RetryAfter = Later, retryAfter(header.Get("Retry-After"), now)
	case status == http.StatusInternalServerError && namesSamples(body):
		r.Outcome = Refused
	case status >= 500:
		r.Outcome, r.RetryAfter = Later, retryAfter(header.Get("Retry-After"), now)
	case status == http.StatusBadRequest && strings.Contains(body, "unsupported path"):
		r.Outcome = Unusable // VictoriaMetrics' equivalent of 404
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusRequestEntityTooLarge,
		status == http.StatusUnprocessableEntity:
		if future.MatchString(body) {
			return Result{Outcome: Ahead, Status: status}
		}
		r.Outcome = Refused
	default:
		r.Outcome = Unusable
	}
	return r
}

// retryAfter parses a Retry-After header, which is a number of seconds or a date. It returns 0 for anything else.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
