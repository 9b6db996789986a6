package weixin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/secret"
)

// Error is a failed call: an error that Weixin reported, or one that kept its response from arriving. Its
// fields are for programs; texts for people are made from them and from Advice.
type Error struct {
	// API is the call that failed.
	API API
	// Reason says what a caller can do about it.
	Reason Reason
	// Errcode is Weixin's error code; 0 if the response had none or did not arrive.
	Errcode int
	// Errmsg is Weixin's errmsg in one line of bounded length, without rid, hints and links.
	Errmsg string
	// RID is the request id that Weixin's support asks for; "" if there was none.
	RID string
	// Status is the HTTP status of the response; 0 if none arrived.
	Status int
	// Address is the IP address that Weixin saw, where its errmsg names it, e.g. with errcode 40164.
	Address string
	// Wait is how long Weixin itself says to wait; 0 if it does not say.
	Wait time.Duration
	// Shared means that no request was made: the token source, which other accounts share, failed a
	// moment before with this error, and Wait is how long it makes none.
	Shared bool
	// Origin is where the access token, app secret or refresh token comes from, if the fault lies
	// there and not with Weixin.
	Origin Origin
	// Note says what else is known of a refused token.
	Note Note
	// Err is the cause of a failure without an errcode; its text contains neither URL nor secret. Beside an
	// errcode it is the reason why a changed app secret could not be read, and mostly nil.
	Err error `json:"-"`

	// advice is the code of a more specific advice than that of errcode and reason; "" if there is none.
	advice string
	// bySecret means that Origin is where the app secret or the refresh token comes from: the access token
	// would have come from Weixin.
	bySecret bool
}

// Note says what else is known of an access token that Weixin refused.
type Note string

const (
	// NoNote is the zero Note.
	NoNote Note = ""
	// SameToken means that the token source returned the refused token again.
	SameToken Note = "same_token"
	// OtherTokenRefused means that Weixin also refused the other token that the source returned.
	OtherTokenRefused Note = "other_token_refused" //nolint:gosec // a code, not a token
)

// Error says in one line what was being done and why it failed.
func (e *Error) Error() string {
	doing := purpose(e.API)
	if e.FromOrigin() {
		doing = gettingFrom(e.Origin)
	}
	if detail := e.Detail(); detail != "" {
		return doing + ": " + detail
	}
	return doing
}

// FromOrigin reports whether Origin was asked for an access token, and not Weixin.
func (e *Error) FromOrigin() bool { return !e.Origin.IsZero() && e.Errcode == 0 && !e.bySecret }

// Detail is the error without what was being done, for a reader who sees which call failed.
func (e *Error) Detail() string {
	var parts []string
	if e.Errcode != 0 {
		parts = append(parts, fmt.Sprintf("errcode %d", e.Errcode))
	}
	if message := e.Errmsg + e.noteText(); message != "" {
		parts = append(parts, message)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	detail := strings.Join(parts, ": ")
	if e.RID != "" {
		detail += " (rid " + e.RID + ")"
	}
	return detail
}

// noteText is the Note as it follows the errmsg. That another token was refused as well is not mentioned:
// the errmsg says that the token is refused.
func (e *Error) noteText() string {
	switch {
	case e.Note != SameToken:
		return ""
	case e.Origin.IsZero():
		return "; the renewed token is the refused one"
	default:
		return "; " + e.Origin.String() + " still has the token that Weixin refused"
	}
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// label is the errcode as Request has it; nil means success.
func (e *Error) label() string {
	switch {
	case e == nil:
		return "0"
	case e.Errcode != 0:
		return strconv.Itoa(e.Errcode)
	default:
		return "http"
	}
}

// fromAPI reports whether the response came from the API itself: a success or an errcode.
func (e *Error) fromAPI() bool { return e == nil || e.Errcode != 0 }

// ReasonOf returns the Reason of the *Error that err is or wraps, and Unknown if it does not.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Unknown
}

// purpose says what a request of api is for.
func purpose(api API) string {
	switch api {
	case TokenAPI:
		return "asking Weixin for an access token"
	case DailyAPI:
		return "asking Weixin for the daily interface summary"
	case HourlyAPI:
		return "asking Weixin for the hourly interface summary"
	case QuotaAPI:
		return "asking Weixin for the quota"
	case CallbackAPI:
		return "asking Weixin for the way to the callback URL"
	case RIDAPI:
		return "asking Weixin for a logged request"
	default:
		return "asking Weixin"
	}
}

// gettingFrom says what a request to an origin of tokens is for.
func gettingFrom(o Origin) string { return "getting an access token from " + o.String() }

const (
	maxErrmsg     = 4096 // bytes that are read
	maxCharacters = 200  // characters that are kept of an errmsg or a cause
)

// The decorations of errmsg, as seen in responses:
//
//	invalid credential, … could get access_token by getStableAccessToken, more details at https://… rid: 5f9b7285-5c43096f-0ba75f4d
//	api unauthorized hint: [abc123] rid: …
//	invalid appsecret, view more at http://…, hints: [ req_id: abc ]
//	api forbidden for irregularities, view detail on mp.weixin.qq.com rid: …
var (
	ridPattern  = regexp.MustCompile(`(?i)[\s,;]*\brid:\s*(?:\[\s*)?([0-9A-Za-z-]{0,64})(?:\s*\])?`)
	hintPattern = regexp.MustCompile(`(?i)[\s,;]*\bhints?:\s*\[[^\]]*\]?`)
	linkPattern = regexp.MustCompile(`(?i)(?:[\s,;]*\bcould get access_token by getStableAccessToken)?` +
		`[\s,;]*(?:(?:\b(?:view|see|more|for)\s+)*(?:\b(?:more|details?)\s+)?\b(?:at|on|see|to)\s*:?\s*)?` +
		`(?:https?://|\bmp\.weixin\.qq\.com)[^\s,;\]]*`)
	addressPattern = regexp.MustCompile(`[0-9A-Fa-f.:]{3,}`)
)

// errorOf returns the Error for a response with an errcode.
func (c call) errorOf(e envelope) *Error {
	errmsg, _ := parseString(e.Errmsg)
	errmsg = c.secrets.Mask(errmsg)
	errmsg = text.OneLine(errmsg[:min(len(errmsg), maxErrmsg)])

	m := meaningOf(e.code, c.bySecret)
	failed := &Error{API: c.api, Reason: m.reason, Errcode: e.code, Wait: m.wait}
	if match := ridPattern.FindStringSubmatch(errmsg); match != nil {
		failed.RID = match[1]
	}
	for _, decoration := range []*regexp.Regexp{ridPattern, hintPattern, linkPattern} {
		errmsg = decoration.ReplaceAllString(errmsg, "")
	}
	failed.Errmsg = text.Shorten(strings.Trim(errmsg, " ,;"), maxCharacters)
	if m.reason == AllowList || e.code == 61004 {
		failed.Address = findAddress(errmsg)
	}
	return failed
}

// findAddress returns the first IP address in errmsg, an IPv4-mapped one in its IPv4 form; "" if there is none.
func findAddress(errmsg string) string {
	for _, candidate := range addressPattern.FindAllString(errmsg, -1) {
		for _, form := range []string{candidate, strings.Trim(candidate, ".:")} {
			if address, err := netip.ParseAddr(form); err == nil {
				return address.Unmap().String()
			}
		}
	}
	return ""
}

// printable returns err in a form that may be shown: one line, without the URL that net/http
// puts around it, and without secrets, which an error of net/http or of a proxy may quote. It never
// counts as the end of a context: the failure is one of the request, not of the caller's own context.
func printable(err error, secrets secret.Masker) error {
	err = text.WithoutURL(err)
	original := err.Error()
	shown := text.Shorten(text.OneLine(secrets.Mask(original)), maxCharacters)
	ofContext := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if shown != original || ofContext || secrets.Hides(fmt.Sprintf("%+v %#v", err, err)) {
		return errors.New(shown)
	}
	return err
}
