package weixin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"weixin_exporter/weixin/secret"
)

// Error is a fault that Weixin reported, or that kept its answer from coming.
type Error struct {
	// API is the call that failed.
	API API
	// Reason says what a caller can do about it.
	Reason Reason
	// Errcode is Weixin's error code; 0 where the failure lies below it.
	Errcode int
	// Errmsg is Weixin's errmsg in one line of bounded length, without rid, hints and links.
	Errmsg string
	// RID is what Weixin's support asks for; "" if there was none.
	RID string
	// Address is the address that Weixin saw, where its errmsg names it; e.g. with 40164.
	Address string
	// Wait is how long Weixin itself says to wait; 0 if it does not say.
	Wait time.Duration
	// Shared says that no request was made: the source of the token, which other accounts
	// share, failed a moment before with this error, and Wait is how long it makes none.
	Shared bool
	// Source names the file or URL that the access token comes from, or the file of the app secret
	// or refresh token, where the fault lies there and not with Weixin; else "".
	Source string
	// Err is the cause of a fault below the errcode, without URL; beside an errcode it is
	// what kept this program from helping itself, and mostly nil.
	Err error `json:"-"`

	// advice is better than what reason and errcode would give; "" if there is none.
	advice string
	// bySecret says that Source is where the app secret or the refresh token is: the access token
	// would have come from Weixin.
	bySecret bool
}

// Error says in one line what was being done and what came of it.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" && e.Errcode == 0 && !e.bySecret {
		b.WriteString(gettingFrom(e.Source))
	} else {
		b.WriteString(purpose(e.API))
	}
	if e.Errcode != 0 {
		fmt.Fprintf(&b, ": errcode %d", e.Errcode)
	}
	if e.Errmsg != "" {
		b.WriteString(": " + e.Errmsg)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.RID != "" {
		b.WriteString(" (rid " + e.RID + ")")
	}
	return b.String()
}

// Unwrap returns the cause below the errcode, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// label is the errcode as Request has it; nil stands for success.
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

// answered reports whether the answer was the API's own: a success or a refusal.
func (e *Error) answered() bool { return e == nil || e.Errcode != 0 }

// ReasonOf returns the reason of the *Error that err is or wraps, and Unknown if it does not.
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
	default:
		return "asking Weixin"
	}
}

// gettingFrom says what is being done where a token does not come from Weixin.
func gettingFrom(source string) string { return "getting an access token from " + source }

const (
	maxErrmsg  = 4096 // bytes that are looked at
	maxMessage = 200  // characters that are kept
)

// The decorations of errmsg, as seen in answers:
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

// refusal returns the Error for an answer with an errcode.
func (q question) refusal(e envelope) *Error {
	errmsg, _ := parseString(e.Errmsg)
	errmsg = q.hide.Mask(errmsg)
	errmsg = oneLine(errmsg[:min(len(errmsg), maxErrmsg)])

	known := lookUp(e.code, q.bySecret)
	refusal := &Error{API: q.api, Reason: known.reason, Errcode: e.code, Wait: known.wait}
	if match := ridPattern.FindStringSubmatch(errmsg); match != nil {
		refusal.RID = match[1]
	}
	for _, decoration := range []*regexp.Regexp{ridPattern, hintPattern, linkPattern} {
		errmsg = decoration.ReplaceAllString(errmsg, "")
	}
	refusal.Errmsg = shorten(strings.Trim(errmsg, " ,;"))
	if known.reason == AllowList || e.code == 61004 {
		refusal.Address = findAddress(errmsg)
	}
	return refusal
}

// findAddress returns the first IP address in text, an IPv4 address in its own form.
func findAddress(text string) string {
	for _, candidate := range addressPattern.FindAllString(text, -1) {
		for _, form := range []string{candidate, strings.Trim(candidate, ".:")} {
			if address, err := netip.ParseAddr(form); err == nil {
				return address.Unmap().String()
			}
		}
	}
	return ""
}

// oneLine replaces everything that is not printable, and runs of spaces, by one space.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

func shorten(text string) string {
	if characters := []rune(text); len(characters) > maxMessage {
		return string(characters[:maxMessage]) + "…"
	}
	return text
}

// causeOf returns err in a form that may be shown: one line, without the URL that net/http
// puts around it, and without secrets, which an error of net/http or of a proxy may quote. It
// never counts as the end of a context: what it belongs to is a fault below the caller's own
// context.
func causeOf(err error, hide secret.Masker) error {
	err = innermost(err)
	text := err.Error()
	shown := shorten(oneLine(hide.Mask(text)))
	ofContext := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if shown != text || ofContext || hide.Hides(fmt.Sprintf("%+v %#v", err, err)) {
		return errors.New(shown)
	}
	return err
}

// innermost returns the cause below all *url.Error, whose text shows the URL.
func innermost(err error) error {
	for {
		var wrapped *url.Error
		if !errors.As(err, &wrapped) || wrapped.Err == nil {
			return err
		}
		err = wrapped.Err
	}
}
