// Package callback has the protocol that Weixin speaks to the server of an account: how its requests are
// signed, how it verifies a URL, how it posts a message, and what it accepts as an answer. Sources are the pages
// 消息推送 (developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html) and
// 消息与事件推送介绍 (developers.weixin.qq.com/doc/oplatform/developers/dev/push), which describe one protocol for
// Official Accounts, Mini Programs and third-party platforms.
package callback

import (
	"crypto/sha1" //nolint:gosec // the protocol asks for it
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/weixin/secret"
)

// Stamp is what makes a request of its own: Weixin sends the time and a nonce, and signs both.
type Stamp struct {
	Time time.Time
	// Nonce is a decimal number in Weixin's own requests.
	Nonce string
}

// seconds returns the time as it stands in a request.
func (s Stamp) seconds() string { return strconv.FormatInt(s.Time.Unix(), 10) }

// Sign returns the signature of the values, one of which is the token: the SHA-1 of the values, sorted and
// joined, in hexadecimal.
func Sign(token secret.Value, values ...string) string {
	parts := append([]string{token.Reveal()}, values...)
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // the protocol asks for it
	return hex.EncodeToString(sum[:])
}

// Verification returns the parameters of the GET request by which Weixin verifies a URL. The server answers
// with the body echo, exactly as it came. The parameters hold a signature and must not be shown.
func Verification(token secret.Value, s Stamp, echo string) url.Values {
	query := signed(token, s)
	query.Set("echostr", echo)
	return query
}

func signed(token secret.Value, s Stamp) url.Values {
	return url.Values{
		"signature": {Sign(token, s.seconds(), s.Nonce)},
		"timestamp": {s.seconds()},
		"nonce":     {s.Nonce},
	}
}
