package weixin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"weixin_exporter/secret"
)

const (
	// maxTokenText bounds what is read of a file or of a token server's answer.
	maxTokenText = 64 << 10

	// unstatedLife is how long a token server's token is kept that comes without expires_in,
	// so that the server is not asked with every call.
	unstatedLife = time.Minute

	// minHidden is the length from which on the user or a value of a URL's query is hidden
	// wherever it shows up; shorter ones are hidden with what stands around them.
	minHidden = 6
)

// FileToken returns the source that reads the file at path, whose content ParseToken
// describes. It is read for each call, so that a change counts at once; what it says of the
// token's life does not matter.
func FileToken(path string) TokenSource { return fileToken{path: path} }

type fileToken struct{ path string }

func (f fileToken) name() string { return "the file " + f.path }

func (f fileToken) gives() string { return "holds" }

func (f fileToken) Fetch(ctx context.Context) (AccessToken, error) {
	if ctx.Err() != nil {
		return AccessToken{}, fmt.Errorf("%s: %w", gettingFrom(f.name()), ctx.Err())
	}
	content, err := readBounded(f.path)
	var token AccessToken
	if err == nil {
		token, err = ParseToken(content)
	}
	if err != nil {
		return AccessToken{}, &Error{API: apiToken, Class: Token, Source: f.name(), Err: err, advice: fileAdvice}
	}
	return AccessToken{Text: token.Text}, nil
}

// readBounded returns the content of a regular file of at most maxTokenText bytes; opening a
// pipe would block. The error does not name the file.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxTokenText+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(content) > maxTokenText {
		return nil, fmt.Errorf("file %w", tooLargeError{maxTokenText})
	}
	return content, nil
}

// withoutPath returns err of package os without the names of files in it, and without the
// operation where that tells an operator nothing.
func withoutPath(err error) error {
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		switch fault.Op {
		case "stat", "lstat", "open":
			return fault.Err
		}
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	}
	if fault, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	}
	return err
}

// URLTokenOptions say where a token server is.
type URLTokenOptions struct {
	// URL is asked with GET. It is a secret because user and query may be.
	URL secret.Value
	// HTTPClient sends the requests; nil means Go's default transport. It is copied, and the
	// copy follows no redirects.
	HTTPClient *http.Client
}

// URLToken returns the source that asks a token server, whose answer ParseToken describes; a
// token without expires_in is good for a minute. The client's timeout and user agent hold for
// these requests, its limiter and observer do not: they are none of Weixin's. Errors name the
// server without user and query.
func (c *Client) URLToken(o URLTokenOptions) TokenSource {
	u := urlToken{client: c, shown: "the token URL", hide: hidden{o.URL}}
	if o.HTTPClient != nil {
		u.http = *o.HTTPClient
	}
	u.http.CheckRedirect = followNone
	parsed, err := url.Parse(o.URL.Reveal())
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return u
	}
	u.url = o.URL
	u.shown = (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path, RawPath: parsed.RawPath}).String()
	if parsed.RawQuery != "" {
		u.hide = append(u.hide, secret.New(parsed.RequestURI()), secret.New(parsed.RawQuery))
	}
	password, _ := parsed.User.Password()
	u.hide = append(u.hide, secret.New(parsed.User.String()), secret.New(password))
	for _, value := range append(slices.Concat(slices.Collect(maps.Values(parsed.Query()))...), parsed.User.Username()) {
		if len(value) >= minHidden {
			u.hide = append(u.hide, secret.New(value))
		}
	}
	return u
}

type urlToken struct {
	client *Client
	http   http.Client
	url    secret.Value // zero: it is not one that can be asked
	shown  string
	hide   hidden
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
	switch {
	case a.status >= http.StatusInternalServerError:
		return AccessToken{}, u.busy(statusError(a.status))
	case a.status != 0 && a.status != http.StatusOK:
		return AccessToken{}, u.fault(statusError(a.status))
	case tooLarge:
		return AccessToken{}, u.fault(a.err)
	case a.err != nil:
		return AccessToken{}, u.busy(a.err)
	}
	token, err := ParseToken(a.body)
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
	return &Error{API: apiToken, Class: Busy, Source: u.shown, Err: err, advice: urlBusyAdvice}
}

// fault is a fault of the token server that does not.
func (u urlToken) fault(err error) *Error {
	return &Error{API: apiToken, Class: Token, Source: u.shown, Err: err, advice: urlAdvice}
}
