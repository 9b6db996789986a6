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
	// maxTokenText bounds what is read of a token server's response, in bytes.
	maxTokenText = 64 << 10

	// unstatedLife is how long a token server's token without expires_in is cached, so that not each call
	// makes a request to the server.
	unstatedLife = time.Minute
)

// FileToken returns the source that reads the file at path with ParseToken. The file is read for each call,
// so that a change applies at once; its expires_in is ignored.
func FileToken(path string, format TokenFormat) TokenSource { return fileToken{path, format} }

type fileToken struct {
	path   string
	format TokenFormat
}

func (f fileToken) origin() Origin { return Origin{File: f.path} }

// Fetch implements TokenSource.
func (f fileToken) Fetch(ctx context.Context) (AccessToken, error) {
	if ctx.Err() != nil {
		return AccessToken{}, fmt.Errorf("%s: %w", gettingFrom(f.origin()), ctx.Err())
	}
	content, err := secret.ReadFile(f.path)
	var token AccessToken
	if err == nil {
		token, err = ParseToken([]byte(content), f.format)
	}
	if err != nil {
		return AccessToken{}, &Error{API: TokenAPI, Reason: Token, Origin: f.origin(), Err: err, advice: adviceTokenFile}
	}
	return AccessToken{Text: token.Text}, nil
}

// URLTokenOptions configure requests to a token server.
type URLTokenOptions struct {
	// URL is the address of the token, requested with GET.
	URL secret.URL
	// HTTPClient sends the requests; nil means Go's default transport. It is copied, and the
	// copy follows no redirects.
	HTTPClient *http.Client
	// Format says where the token is in a response.
	Format TokenFormat
}

// URLToken returns the source that requests tokens from a token server and reads them with ParseToken; a
// token without expires_in is cached for a minute. The client's timeout and user agent apply to
// these requests, its limiter and observer do not, since they do not go to Weixin. Errors name the
// server without user and query.
func (c *Client) URLToken(o URLTokenOptions) TokenSource {
	u := urlToken{client: c, from: Origin{URL: unusableURL}, secrets: o.URL.Masker(), format: o.Format}
	if o.HTTPClient != nil {
		u.http = *o.HTTPClient
	}
	u.http.CheckRedirect = redirect.Refuse
	parsed, err := o.URL.Parse()
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return u
	}
	u.url, u.from = o.URL, Origin{URL: o.URL.Endpoint()}
	return u
}

type urlToken struct {
	client  *Client
	http    http.Client
	url     secret.URL // zero: it cannot be used
	from    Origin
	secrets secret.Masker
	format  TokenFormat
}

func (u urlToken) origin() Origin { return u.from }

// Fetch implements TokenSource.
func (u urlToken) Fetch(ctx context.Context) (AccessToken, error) {
	if u.url.IsZero() {
		return AccessToken{}, u.failed(Token, response{}, errors.New("it must begin with http:// or https:// and name a host"))
	}
	r := u.client.withTimeout(ctx, u.secrets, u.exchange)
	if r.err != nil && ctx.Err() != nil {
		return AccessToken{}, fmt.Errorf("%s: %w", gettingFrom(u.from), ctx.Err())
	}
	_, tooLarge := errors.AsType[tooLargeError](r.err)
	_, redirected := redirect.As(r.err)
	switch {
	case r.status >= http.StatusInternalServerError:
		return AccessToken{}, u.failed(Busy, r, statusError(r.status))
	case r.status != 0 && r.status != http.StatusOK:
		return AccessToken{}, u.failed(Token, r, statusError(r.status))
	case tooLarge, redirected:
		return AccessToken{}, u.failed(Token, r, r.err)
	case r.err != nil:
		return AccessToken{}, u.failed(Busy, r, r.err)
	}
	token, err := ParseToken(r.body, u.format)
	if err != nil {
		return AccessToken{}, u.failed(Token, r, err)
	}
	if token.Life == 0 {
		token.Life = unstatedLife
	}
	return token, nil
}

func (u urlToken) exchange(ctx context.Context) response {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url.Reveal(), nil)
	if err != nil {
		return response{err: err}
	}
	request.Header.Set("Accept", "application/json, text/plain, */*;q=0.5")
	if u.client.userAgent != "" {
		request.Header.Set("User-Agent", u.client.userAgent)
	}
	return send(&u.http, request, maxTokenText)
}

// failed returns the error of a request to the token server: Busy if it usually passes by itself, otherwise
// Token.
func (u urlToken) failed(reason Reason, r response, err error) *Error {
	advice := adviceTokenServer
	if reason == Busy {
		advice = adviceTokenServerBusy
	}
	return &Error{API: TokenAPI, Reason: reason, Origin: u.from, Status: r.status, Err: err, advice: advice}
}
