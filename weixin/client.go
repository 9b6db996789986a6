package weixin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/secret"
)

// maxBody bounds what is read of a response, in bytes. A full hourly response has about 3 KiB.
const maxBody = 4 << 20

// Limiter bounds the rate of requests; *rate.Limiter of golang.org/x/time implements it.
type Limiter interface {
	// Wait blocks until a request may be sent, or until ctx ends. Any other error means that the
	// request must not be sent.
	Wait(ctx context.Context) error
}

// Options configure a Client.
type Options struct {
	// BaseURL is the address of the API, e.g. https://api.weixin.qq.com, or of a reverse proxy. It
	// may have a path.
	BaseURL string
	// HTTPClient sends the requests; nil means Go's default transport. It is copied, and
	// the copy follows no redirects: they would take the token or secret to another host.
	HTTPClient *http.Client
	// Timeout bounds one request, from sending it to the last byte of the response; waiting for
	// Limiter does not count. 0 means no bound but the caller's context.
	Timeout time.Duration
	// Limiter delays each request to Weixin, of every kind; nil means no limit.
	Limiter Limiter
	// Now is the clock. Required.
	Now func() time.Time
	// Observe is called after each request that was sent, unless the caller's context ended it,
	// possibly from several goroutines at once. May be nil.
	Observe func(Request)
	// UserAgent is sent with each request; "" means Go's own.
	UserAgent string
}

// Request describes one request that was sent.
type Request struct {
	// API is the call that the request was for.
	API API
	// Errcode is Weixin's errcode in decimal, "0" for success, or "http" for transport errors and for
	// invalid responses.
	Errcode string
	// Duration is the time from sending the request to the last byte of the response.
	Duration time.Duration
	// Date is the time in the response's Date header; zero if there is none, if the response does not
	// come from the API itself, as a proxy's error page, or if it comes from a cache.
	Date time.Time
}

// Client sends requests to Weixin on behalf of any number of accounts. It is safe for
// concurrent use.
type Client struct {
	http      http.Client
	base      *url.URL
	baseErr   error // why the base URL cannot be used; returned by each call
	timeout   time.Duration
	limiter   Limiter
	now       func() time.Time
	observe   func(Request)
	userAgent string
}

// NewClient returns a Client. If the base URL cannot be used, each call fails for the reason Config.
func NewClient(options Options) *Client {
	c := &Client{
		timeout:   options.Timeout,
		limiter:   options.Limiter,
		now:       options.Now,
		observe:   options.Observe,
		userAgent: options.UserAgent,
	}
	if options.HTTPClient != nil {
		c.http = *options.HTTPClient
	}
	c.http.CheckRedirect = redirect.Refuse
	c.base, c.baseErr = parseBase(options.BaseURL)
	return c
}

func parseBase(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	if err != nil {
		// Without the URL itself: it may contain a proxy's password.
		return nil, fmt.Errorf("base URL: %w", text.WithoutURL(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("base URL: it must begin with http:// or https:// and name a host")
	}
	return base, nil
}

// call is one request as the API's documents describe it.
type call struct {
	api     API
	method  string
	path    string
	query   url.Values
	body    any           // sent as JSON; nil for none
	secrets secret.Masker // the secrets in query or body
	// bySecret means that the app secret authenticates the call: an errcode that refuses an access token
	// then refuses the secret.
	bySecret bool
	// turn means that the caller has waited for the limiter.
	turn bool
}

// response is an error alone, or a status with a body or with the error that ended the reading of it.
type response struct {
	status int
	body   []byte
	date   time.Time // of the Date header; zero if unknown
	err    error
	sent   secret.Masker // the secrets in the headers of the request, which the answer may quote
}

// do sends the call and, if Weixin reports no error, passes the response to decode, whose error means that
// the response is invalid. The result is an *Error, or an error that wraps ctx's own once ctx has ended.
func (c *Client) do(ctx context.Context, q call, decode func(envelope) error) error {
	if c.baseErr != nil {
		return &Error{API: q.api, Reason: Config, Err: c.baseErr}
	}
	if q.turn && ctx.Err() != nil {
		return ended(ctx, q.api)
	}
	if !q.turn {
		if err := c.wait(ctx, q.api); err != nil {
			return err
		}
	}
	began := c.now()
	r := c.exchange(ctx, q)
	if r.err != nil && ctx.Err() != nil {
		return ended(ctx, q.api)
	}
	duration := c.now().Sub(began)
	q.secrets = slices.Concat(q.secrets, r.sent)
	failed := q.interpret(r, decode)
	if c.observe != nil {
		request := Request{API: q.api, Errcode: failed.label(), Duration: duration}
		if failed.fromAPI() {
			request.Date = r.date
		}
		c.observe(request)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// wait waits for the limiter. A limiter that refuses because the wait would outlast ctx counts as the
// end of ctx.
func (c *Client) wait(ctx context.Context, api API) error {
	var err error
	if c.limiter != nil {
		err = c.limiter.Wait(ctx)
	}
	if ctx.Err() != nil {
		return ended(ctx, api)
	}
	if err == nil {
		return nil
	}
	if _, bounded := ctx.Deadline(); bounded {
		return fmt.Errorf("%s: %w: %w", purpose(api), context.DeadlineExceeded, err)
	}
	return fmt.Errorf("%s: waiting for the rate limit: %w", purpose(api), err)
}

// ended returns the error of a call whose context has ended.
func ended(ctx context.Context, api API) error {
	return fmt.Errorf("%s: %w", purpose(api), ctx.Err())
}

// exchange sends one request and reads the response, both within the timeout.
func (c *Client) exchange(ctx context.Context, q call) response {
	return c.withTimeout(ctx, q.secrets, func(ctx context.Context) response {
		request, err := c.request(ctx, q)
		if err != nil {
			return response{err: err}
		}
		return send(&c.http, request, maxBody)
	})
}

// withTimeout bounds exchange by the timeout and makes its error printable.
func (c *Client) withTimeout(ctx context.Context, secrets secret.Masker, exchange func(context.Context) response) response {
	limited := ctx
	if c.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	r := exchange(limited)
	switch {
	case r.err == nil:
	case limited.Err() != nil && ctx.Err() == nil:
		r.err = timeoutError(c.timeout)
	default:
		r.err = printable(r.err, slices.Concat(secrets, r.sent))
	}
	return r
}

// send sends a request and reads the response, of at most limit bytes.
func send(client *http.Client, request *http.Request, limit int64) response {
	var sent secret.Sent
	got, err := client.Do(request.WithContext(sent.Trace(request.Context())))
	if err != nil {
		return response{err: err, sent: sent.Masker()}
	}
	defer func() { _ = got.Body.Close() }()
	sent.Request(got.Request)
	r := response{status: got.StatusCode, date: dateOf(got.Header), sent: sent.Masker()}
	if r.body, r.err = readBounded(got.Body, limit); r.err != nil {
		r.err = fmt.Errorf("reading the response: %w", r.err)
		return r
	}
	r.body, r.err = decompressed(r.body, limit)
	return r
}

// dateOf returns the time of the Date header; zero if there is none, or if the response comes from a cache.
func dateOf(h http.Header) time.Time {
	if h.Get("Age") != "" {
		return time.Time{}
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

func (c *Client) request(ctx context.Context, q call) (*http.Request, error) {
	target := c.base.JoinPath(q.path)
	query := target.Query()
	maps.Copy(query, q.query)
	target.RawQuery = query.Encode()
	var body io.Reader
	if q.body != nil {
		content, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, q.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if q.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.userAgent != "" {
		request.Header.Set("User-Agent", c.userAgent)
	}
	return request, nil
}

// interpret returns why a response is not a success; nil if it is one. The HTTP status matters only where
// the body has no errcode.
func (c call) interpret(r response, decode func(envelope) error) *Error {
	var e envelope
	invalid := r.err
	if invalid == nil {
		e, invalid = parse(normalized(r.body))
		e.hidden = c.secrets
	}
	if invalid == nil && e.code != 0 {
		failed := c.errorOf(e)
		failed.Status = r.status
		return failed
	}
	failed := &Error{API: c.api, Reason: Busy, Status: r.status, Err: invalid}
	switch {
	case r.status == http.StatusTooManyRequests:
		failed.Reason, failed.Err = Rate, statusError(r.status)
	case r.status != 0 && r.status != http.StatusOK:
		failed.Err = statusError(r.status)
	case invalid == nil:
		failed.Err = decode(e)
	}
	if failed.Err == nil {
		return nil
	}
	return failed
}
