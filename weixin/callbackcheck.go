package weixin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/secret"
)

// CallbackReach is how Weixin itself reaches the host of a callback URL.
type CallbackReach struct {
	// Resolved are the addresses of the host's name, as Weixin resolves it.
	Resolved []CallbackAddress
	// Pings has one ping for each address.
	Pings []CallbackPing
}

// CallbackAddress is an address of a host.
type CallbackAddress struct {
	IP string
	// Operator is the network that the address belongs to, such as UNICOM.
	Operator string
}

// CallbackPing is the result of one ping packet.
type CallbackPing struct {
	IP string
	// Operator is the network that the packet was sent from.
	Operator string
	// Lost means that no answer came. Firewalls drop pings where HTTP works.
	Lost bool
	// Time is how long the answer took; 0 if it is unknown.
	Time time.Duration
}

// maxReach bounds how many addresses are read.
const maxReach = 50

// CheckCallback has Weixin resolve the host of the callback URL and ping its addresses: the call /cgi-bin/callback/check
// (网络通信检测, at developers.weixin.qq.com under doc/service/api/base/api_callbackcheck.html). For an account of a
// third-party platform the URL is the platform's, and the call is made with the platform's own token.
//
// The error is an *Error, with errcode 40201 if no URL is set, or wraps ctx's own error once ctx has ended.
func (a *Account) CheckCallback(ctx context.Context) (CallbackReach, error) {
	tokens := a.tokens
	if platform, ok := tokens.source.(*authorizer); ok {
		tokens = platform.component
	}
	type body struct {
		Action   string `json:"action"`
		Operator string `json:"check_operator"`
	}
	var reach CallbackReach
	err := a.callWith(ctx, tokens, CallbackAPI, "/cgi-bin/callback/check", body{"all", "DEFAULT"}, func(e envelope) error {
		var err error
		reach, err = readReach(e)
		return err
	})
	return reach, err
}

func readReach(e envelope) (CallbackReach, error) {
	var dns []struct {
		IP       json.RawMessage `json:"ip"`
		Operator json.RawMessage `json:"real_operator"`
	}
	var ping []struct {
		IP       json.RawMessage `json:"ip"`
		Operator json.RawMessage `json:"from_operator"`
		Loss     json.RawMessage `json:"package_loss"`
		Time     json.RawMessage `json:"time"`
	}
	if e.DNS == nil && e.Ping == nil || e.DNS != nil && json.Unmarshal(e.DNS, &dns) != nil || e.Ping != nil && json.Unmarshal(e.Ping, &ping) != nil {
		return CallbackReach{}, errors.New("the response has no dns and ping")
	}
	var reach CallbackReach
	for _, d := range dns[:min(len(dns), maxReach)] {
		reach.Resolved = append(reach.Resolved, CallbackAddress{e.foreign(d.IP), e.foreign(d.Operator)})
	}
	for _, p := range ping[:min(len(ping), maxReach)] {
		loss := e.foreign(p.Loss)
		if loss == "" {
			return CallbackReach{}, errors.New("a ping of the response has no package_loss")
		}
		took, _ := time.ParseDuration(e.foreign(p.Time)) // 0 if the packet was lost
		reach.Pings = append(reach.Pings, CallbackPing{
			IP: e.foreign(p.IP), Operator: e.foreign(p.Operator), Lost: loss != "0%", Time: max(0, took),
		})
	}
	return reach, nil
}

// foreign returns a string of the response in a form that may be shown; "" if it is not one.
func (e envelope) foreign(raw json.RawMessage) string { return e.shortened(raw, maxCharacters) }

// shortened returns the first characters of a string of the response, in one line and without the secrets of the request.
func (e envelope) shortened(raw json.RawMessage, characters int) string {
	s, _ := parseString(raw)
	return text.Shorten(text.OneLine(e.hidden.Mask(s)), characters)
}

// String returns the reach in a few words, for people.
func (r CallbackReach) String() string {
	if len(r.Resolved) == 0 {
		return "Weixin does not resolve the host of the callback URL"
	}
	addresses := make([]string, len(r.Resolved))
	for i, a := range r.Resolved {
		addresses[i] = strings.TrimSpace(a.IP + " " + a.Operator)
	}
	pings := make([]string, len(r.Pings))
	for i, p := range r.Pings {
		pings[i] = p.IP + " lost"
		if !p.Lost {
			pings[i] = fmt.Sprintf("%s %s", p.IP, p.Time)
		}
	}
	said := "resolved to " + strings.Join(addresses, ", ")
	if len(pings) > 0 {
		said += "; ping " + strings.Join(pings, ", ")
	}
	return said
}

// callWith makes a call that needs a token of the given cache.
func (a *Account) callWith(ctx context.Context, tokens *tokenCache, api API, path string, body any, decode func(envelope) error) error {
	return tokens.use(ctx, api, func(token secret.Value) error {
		return a.client.do(ctx, call{
			api:     api,
			method:  http.MethodPost,
			path:    path,
			query:   url.Values{"access_token": {token.Reveal()}},
			body:    body,
			secrets: secret.Masker{token},
		}, decode)
	})
}
