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
	"time"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/weixin/secret"
)

// maxBody bounds what is read of an answer. A full hourly answer has about 3 KiB.
const maxBody = 4 << 20

// Limiter lets requests through at a bounded rate; *rate.Limiter of golang.org/x/time is one.
type Limiter interface {
	// Wait blocks until a request may be sent, or until ctx ends. An error without the end
	// of ctx, or before its deadline, says that the request may not be sent at all.
	Wait(ctx context.Context) error
}

// Options are what a Client is made of.
type Options struct {
	// BaseURL is where the API is, e.g. https://api.weixin.qq.com or a reverse proxy's
	// address. It may have a path.
	BaseURL string
	// HTTPClient sends the requests; nil means Go's default transport. It is copied, and
	// the copy follows no redirects: they would carry token or secret elsewhere.
	HTTPClient *http.Client
	// Timeout bounds one request, from sending it to the last byte of the answer; the time
	// that Limiter takes is not part of it. 0 means no bound but the caller's context.
	Timeout time.Duration
	// Limiter holds back every request of every kind; nil means no limit.
	Limiter Limiter
	// Now is the clock. Required.
	Now func() time.Time
	// Observe is told of every request that was sent, unless the caller's context ended it;
	// possibly from several goroutines at once. May be nil.
	Observe func(Request)
	// UserAgent is sent with every request; "" means Go's own.
	UserAgent string
}

// Request describes one request that was sent.
type Request struct {
	// API is the call that the request was for.
	API API
	// Errcode is Weixin's errcode, "0" for success, or "http" for transport faults and for
	// answers that are not what the API gives.
	Errcode string
	// Duration is the time from sending the request to having the whole answer.
	Duration time.Duration
	// Date is what the answer's Date header says; zero where there is none, where the answer is
	// not the API's own, such as a proxy's page, and where it comes from a cache.
	Date time.Time
}

// Client sends requests to Weixin on behalf of any number of accounts. It is safe for
// concurrent use.
type Client struct {
	http      http.Client
	base      *url.URL
	baseErr   error // what is wrong with the base URL; reported with every call
	timeout   time.Duration
	limiter   Limiter
	now       func() time.Time
	observe   func(Request)
	userAgent string
}

// NewClient returns a Client. A base URL that cannot be used becomes an error of reason
// Config with the first call.
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

func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		// Without the URL itself: it may hold a proxy's password.
		return nil, fmt.Errorf("base URL: %w", innermost(err))
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("base URL: it must begin with http:// or https:// and name a host")
	}
	return base, nil
}

// question is one request as the API's documents describe it.
type question struct {
	api    API
	method string
	path   string
	query  url.Values
	body   any           // sent as JSON; nil for none
	hide   secret.Masker // the secrets in query or body
	// bySecret says that the app secret stands for the caller: what else refuses an access
	// token refuses the secret.
	bySecret bool
}

// answer is what came back: an error alone, or a status with a body or with the error that
// reading it ended in.
type answer struct {
	status int
	body   []byte
	date   time.Time // when it was made; zero where it does not say
	err    error
}

// ask sends q and hands the answer, if Weixin reports no error in it, to take, whose error
// says that it is not a success either. The result is an *Error, or an error that wraps ctx's
// own once ctx has ended.
func (c *Client) ask(ctx context.Context, q question, take func(envelope) error) error {
	if c.baseErr != nil {
		return &Error{API: q.api, Reason: Config, Err: c.baseErr}
	}
	if err := c.wait(ctx, q.api); err != nil {
		return err
	}
	began := c.now()
	a := c.exchange(ctx, q)
	if a.err != nil && ctx.Err() != nil {
		return ended(ctx, q.api)
	}
	duration := c.now().Sub(began)
	fault := judge(q, a, take)
	if c.observe != nil {
		r := Request{API: q.api, Errcode: fault.label(), Duration: duration}
		if fault.answered() {
			r.Date = a.date
		}
		c.observe(r)
	}
	if fault != nil {
		return fault
	}
	return nil
}

// wait lets the limiter hold the request back. A limiter that refuses because the wait
// would outlast ctx counts as the end of ctx.
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

// ended returns the error of a call that its caller broke off.
func ended(ctx context.Context, api API) error {
	return fmt.Errorf("%s: %w", purpose(api), ctx.Err())
}

// exchange sends one request and reads its answer, both within the timeout.
func (c *Client) exchange(ctx context.Context, q question) answer {
	return c.timed(ctx, q.hide, func(ctx context.Context) answer {
		request, err := c.request(ctx, q)
		if err != nil {
			return answer{err: err}
		}
		return receive(&c.http, request, maxBody)
	})
}

// timed lets send take no longer than the timeout and makes its error fit to be shown.
func (c *Client) timed(ctx context.Context, hide secret.Masker, send func(context.Context) answer) answer {
	limited := ctx
	if c.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	a := send(limited)
	if a.err == nil {
		return a
	}
	if limited.Err() != nil && ctx.Err() == nil {
		a.err = timeoutError(c.timeout)
		return a
	}
	a.err = causeOf(a.err, hide)
	return a
}

// receive sends request and reads the answer, of at most limit bytes.
func receive(client *http.Client, request *http.Request, limit int64) answer {
	response, err := client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{status: response.StatusCode, date: dateOf(response.Header)}
	a.body, a.err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case a.err != nil:
		a.err = fmt.Errorf("reading the answer: %w", a.err)
	case int64(len(a.body)) > limit:
		a.err = fmt.Errorf("answer %w", tooLargeError{limit})
	default:
		a.body, a.err = decompressed(a.body, limit)
	}
	return a
}

// dateOf returns when an answer was made; zero where it does not say, or has been in a cache since.
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

// tooLargeError is an answer or a file of more than limit bytes.
type tooLargeError struct{ limit int64 }

func (e tooLargeError) Error() string {
	if e.limit >= 1<<20 {
		return fmt.Sprintf("larger than %d MiB", e.limit>>20)
	}
	return fmt.Sprintf("larger than %d KiB", e.limit>>10)
}

func (c *Client) request(ctx context.Context, q question) (*http.Request, error) {
	target := c.base.JoinPath(q.path)
	query := target.Query()
	maps.Copy(query, q.query)
	target.RawQuery = query.Encode()
	var body io.Reader
	if q.body != nil {
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
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

// judge says what is wrong with an answer; nil if it is a success. The HTTP status matters
// only where the body holds no errcode.
func judge(q question, a answer, take func(envelope) error) *Error {
	var e envelope
	unreadable := a.err
	if unreadable == nil {
		e, unreadable = parse(legible(a.body))
	}
	switch {
	case unreadable == nil && e.code != 0:
		return q.refusal(e)
	case a.status == http.StatusTooManyRequests:
		return &Error{API: q.api, Reason: Rate, Err: statusError(a.status)}
	case a.status != 0 && a.status != http.StatusOK:
		return &Error{API: q.api, Reason: Busy, Err: statusError(a.status)}
	case unreadable != nil:
		return &Error{API: q.api, Reason: Busy, Err: unreadable}
	}
	if err := take(e); err != nil {
		return &Error{API: q.api, Reason: Busy, Err: err}
	}
	return nil
}
