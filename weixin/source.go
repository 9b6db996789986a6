package weixin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/secret"
)

const (
	// maxTokenText bounds what is read of a token server's answer.
	maxTokenText = 64 << 10

	// unstatedLife is how long a token server's token is kept that comes without expires_in,
	// so that the server is not asked with every call.
	unstatedLife = time.Minute
)

// FileToken returns the source that reads the file at path, whose content ParseToken
// describes. It is read for each call, so that a change counts at once; what it says of the
// token's life does not matter.
func FileToken(path string, format TokenFormat) TokenSource { return fileToken{path, format} }

type fileToken struct {
	path   string
	format TokenFormat
}

func (f fileToken) name() string { return "the file " + f.path }

func (f fileToken) gives() string { return "holds" }

func (f fileToken) Fetch(ctx context.Context) (AccessToken, error) {
	if ctx.Err() != nil {
		return AccessToken{}, fmt.Errorf("%s: %w", gettingFrom(f.name()), ctx.Err())
	}
	content, err := secret.ReadFile(f.path)
	var token AccessToken
	if err == nil {
		token, err = ParseToken([]byte(content), f.format)
	}
	if err != nil {
		return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Source: f.name(), Err: err, advice: fileAdvice}
	}
	return AccessToken{Text: token.Text}, nil
}

// URLTokenOptions say where a token server is.
type URLTokenOptions struct {
	// URL is asked with GET.
	URL secret.URL
	// HTTPClient sends the requests; nil means Go's default transport. It is copied, and the
	// copy follows no redirects.
	HTTPClient *http.Client
	// Format says where in an answer the token stands.
	Format TokenFormat
}

// URLToken returns the source that asks a token server, whose answer ParseToken describes; a
// token without expires_in is good for a minute. The client's timeout and user agent hold for
// these requests, its limiter and observer do not: they are none of Weixin's. Errors name the
// server without user and query.
func (c *Client) URLToken(o URLTokenOptions) TokenSource {
	u := urlToken{client: c, shown: "the token URL", hide: o.URL.Hidden(), format: o.Format}
	if o.HTTPClient != nil {
		u.http = *o.HTTPClient
	}
	u.http.CheckRedirect = redirect.Refuse
	parsed, err := o.URL.Parse()
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return u
	}
	u.url, u.shown = o.URL, o.URL.Place()
	return u
}

type urlToken struct {
	client *Client
	http   http.Client
	url    secret.URL // zero: it is not one that can be asked
	shown  string
	hide   secret.Masker
	format TokenFormat
}

func (u urlToken) name() string { return u.shown }

func (u urlToken) gives() string { return "hands out" }

func (u urlToken) Fetch(ctx context.Context) (AccessToken, error) {
	if u.url.IsZero() {
		return AccessToken{}, u.fault(errors.New("it must begin with http:// or https:// and name a host"))
	}
	a := u.client.timed(ctx, u.hide, u.ask)
	if a.err != nil && ctx.Err() != nil {
		return AccessToken{}, fmt.Errorf("%s: %w", gettingFrom(u.shown), ctx.Err())
	}
	_, tooLarge := errors.AsType[tooLargeError](a.err)
	_, redirected := redirect.As(a.err)
	switch {
	case a.status >= http.StatusInternalServerError:
		return AccessToken{}, u.busy(statusError(a.status))
	case a.status != 0 && a.status != http.StatusOK:
		return AccessToken{}, u.fault(statusError(a.status))
	case tooLarge, redirected:
		return AccessToken{}, u.fault(a.err)
	case a.err != nil:
		return AccessToken{}, u.busy(a.err)
	}
	token, err := ParseToken(a.body, u.format)
	if err != nil {
		return AccessToken{}, u.fault(err)
	}
	if token.Life == 0 {
		token.Life = unstatedLife
	}
	return token, nil
}

func (u urlToken) ask(ctx context.Context) answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url.Reveal(), nil)
	if err != nil {
		return answer{err: err}
	}
	request.Header.Set("Accept", "application/json, text/plain, */*;q=0.5")
	if u.client.userAgent != "" {
		request.Header.Set("User-Agent", u.client.userAgent)
	}
	return receive(&u.http, request, maxTokenText)
}

// busy is a fault of the token server that passes by itself.
func (u urlToken) busy(err error) *Error {
	return &Error{API: TokenAPI, Reason: Busy, Source: u.shown, Err: err, advice: urlBusyAdvice}
}

// fault is a fault of the token server that does not.
func (u urlToken) fault(err error) *Error {
	return &Error{API: TokenAPI, Reason: Token, Source: u.shown, Err: err, advice: urlAdvice}
}
