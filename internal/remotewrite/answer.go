package remotewrite

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Reason says why samples were given up. It is the label "reason".
type Reason uint8

const (
	// TooOld are samples that lie before what the receiver takes.
	TooOld Reason = iota
	// OutOfOrder are samples that lie before others of their series, where the receiver does not take such.
	OutOfOrder
	// Duplicate are samples whose time already has another value.
	Duplicate
	// Rejected are samples that the receiver refused for any other reason.
	Rejected
	// MaxAge are samples that were not sent because they are older than max_age.
	MaxAge
	// Reasons is their number, for arrays indexed by Reason.
	Reasons
)

// String returns the reason as it stands in the label.
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

// Verdict says what an answer means for the samples that were sent.
type Verdict uint8

const (
	// Accepted means that the receiver has them.
	Accepted Verdict = iota
	// Refused means that the receiver does not accept them as they are: a sample may be at fault, or a setting.
	Refused
	// Later means that the receiver cannot take them now.
	Later
	// Ahead means that the receiver takes samples for ones of the future: one of the clocks is wrong.
	Ahead
	// Unusable means that the receiver takes nothing from this sender until somebody changes a setting.
	Unusable
	// NotUnderstood means that the receiver does not know this version of the protocol.
	NotUnderstood
)

// Answer is what came of one request.
type Answer struct {
	Verdict Verdict
	// Reason is why samples are refused; for Refused.
	Reason Reason
	// OfSamples is true if the answer's text is one that known receivers use for single samples; for Refused.
	OfSamples bool
	// RetryAfter is how long the receiver asks to wait; 0 if it does not say.
	RetryAfter time.Duration
	// Unwritten is how many of the samples the receiver says that it did not write; for Accepted, by 2.0.
	Unwritten int
	// Status is the HTTP status; 0 without an answer.
	Status int
	// Text says what the receiver answered or what kept the request from it, in one line and without
	// what was sent to authenticate; "" for Accepted.
	Text string
}

// advice says what to do about an answer that is not Accepted.
func (a Answer) advice() string {
	switch a.Verdict {
	case Later:
		return "see that the receiver is up and can be reached from this host"
	case Ahead:
		return "set the clock of the receiver's host, or of this one"
	case Refused:
		return "check the endpoint's url (http or https, port and path), authentication and headers under remote_write: " +
			"the receiver refuses everything, so a setting is wrong rather than a sample"
	default:
		return "check the endpoint's url, authentication and headers under remote_write, and that its receiver is enabled"
	}
}

// maxText bounds what is kept of an answer's body, in bytes.
const maxText = 400

// causes are the texts by which known receivers refuse single samples. Words that any program may write, such as
// "index out of bounds", are not among them.
var causes = []struct {
	text   *regexp.Regexp
	reason Reason
}{
	// Prometheus, and Cortex and Thanos, which put something in front.
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

// conflict is all that Thanos Receive says, with status 409, of samples that are too old, out of order or duplicates.
var conflict = regexp.MustCompile(`: conflict\s*$`)

// future is what Prometheus, Mimir and Cortex say of samples after their own time.
var future = regexp.MustCompile(`(?i)too[ -]far[ -]in[ -](the[ -])?future|\btimestamp too new\b`)

// causeOf finds in an answer why samples were refused, and whether known receivers say so of samples.
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

// namesSamples reports whether an answer 500 is about samples. Prometheus 2.42 says exactly "too old
// sample" with it, and the other texts with 400. A text that merely contains such words may be any
// program's, as "index out of bounds" is.
func namesSamples(body string) bool {
	switch strings.TrimSpace(body) {
	case "too old sample", "out of bounds", "out of order sample", "duplicate sample for timestamp":
		return true
	}
	return false
}

// describe returns what is told of an answer, in one line.
func describe(status int, body string) string {
	text := fmt.Sprintf("HTTP status %d", status)
	if line := oneLine(body); line != "" {
		text += ": " + line
	}
	return text
}

// judge says what an answer means, without its text. now is for a Retry-After that names a time.
func judge(status int, header http.Header, body string, now time.Time) Answer {
	a := Answer{Status: status}
	a.Reason, a.OfSamples = causeOf(status, body)
	switch {
	case status >= 200 && status < 300:
		return Answer{Verdict: Accepted, Status: status}
	case status == http.StatusUnsupportedMediaType:
		a.Verdict = NotUnderstood
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		a.Verdict, a.RetryAfter = Later, retryAfter(header.Get("Retry-After"), now)
	case status == http.StatusInternalServerError && namesSamples(body):
		a.Verdict = Refused
	case status >= 500:
		a.Verdict, a.RetryAfter = Later, retryAfter(header.Get("Retry-After"), now)
	case status == http.StatusBadRequest && strings.Contains(body, "unsupported path"):
		a.Verdict = Unusable // VictoriaMetrics says so where others say 404
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusRequestEntityTooLarge,
		status == http.StatusUnprocessableEntity:
		if future.MatchString(body) {
			return Answer{Verdict: Ahead, Status: status}
		}
		a.Verdict = Refused
	default:
		a.Verdict = Unusable
	}
	return a
}

// retryAfter reads the header of the same name: seconds or a time. 0 is none.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// oneLine returns the beginning of a text, with its control characters as blanks.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
