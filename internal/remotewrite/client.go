package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/klauspost/compress/snappy"

	"weixin_exporter/internal/redirect"
	"weixin_exporter/internal/text"
	"weixin_exporter/weixin/secret"
)

// Message is the type of a request, by the name that Prometheus gives it.
type Message string

const (
	// V1 is the message of remote write 1.0.
	V1 Message = "prometheus.WriteRequest"
	// V2 is the message of remote write 2.0.
	V2 Message = "io.prometheus.write.v2.Request"
)

// maxBody limits how much of a response is read, in bytes.
const maxBody = 64 << 10

// ClientOptions of a Client.
type ClientOptions struct {
	// URL is where requests are sent.
	URL secret.URL
	// HTTPClient provides authentication, TLS and proxy. It is copied, and the copy follows no redirects.
	HTTPClient *http.Client
	// Headers are added to each request.
	Headers map[string]secret.Value
	// Timeout limits one request.
	Timeout time.Duration
	// Message is V1 or V2. If the receiver does not support V2, V1 is used from then on.
	Message   Message
	UserAgent string
	Now       func() time.Time
	// Logger receives the fallback to version 1.0.
	Logger log.Logger
}

// Client sends requests to one receiver. It is safe for concurrent use.
type Client struct {
	ClientOptions
	http http.Client
	// fallback is set once the receiver has shown that it does not support V2.
	fallback atomic.Bool
}

// NewClient returns a Client. It sends nothing by itself.
//
// client_golang's exp/api/remote is not used: it has neither the message of version 1.0 nor a fallback to it, and
// its errors lack the status, on which splitting a refused request depends.
func NewClient(o ClientOptions) *Client {
	c := &Client{ClientOptions: o, http: *o.HTTPClient}
	c.http.CheckRedirect = redirect.Refuse
	return c
}

// Send sends samples, those of each series in the order of their times, in one request, or in a second one if
// the receiver does not support version 2.0. It does not retry.
func (c *Client) Send(ctx context.Context, samples []Sample) Result {
	if c.Message == V2 && !c.fallback.Load() {
		result := c.post(ctx, V2, samples)
		if result.Outcome != NotUnderstood {
			return result
		}
		c.fallback.Store(true)
		level.Warn(c.Logger).Log("msg", "the receiver does not support remote write 2.0: 1.0 is used from now on", "response", result.Text)
	}
	result := c.post(ctx, V1, samples)
	if result.Outcome == NotUnderstood {
		result.Outcome = Unusable
	}
	return result
}

func (c *Client) post(ctx context.Context, message Message, samples []Sample) Result {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var body []byte
	if message == V2 {
		body = encodeV2(samples)
	} else {
		body = encodeV1(samples)
	}
	var sent secret.Sent // with what the transport adds
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.Reveal(), bytes.NewReader(snappy.Encode(nil, body)))
	if err != nil {
		return c.failed(err, &sent)
	}
	c.addHeaders(request)
	request.Header.Set("Content-Encoding", "snappy")
	if message == V2 {
		request.Header.Set("Content-Type", "application/x-protobuf;proto="+string(V2))
		request.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		request.Header.Set("Content-Type", "application/x-protobuf")
		request.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	sent.Request(request)
	response, err := c.http.Do(request.WithContext(sent.Trace(ctx)))
	if err != nil {
		return c.failed(err, &sent)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	// The body only explains the status, so a part of it is enough.
	explanation, _ := io.ReadAll(io.LimitReader(response.Body, maxBody))
	result := resultOf(response.StatusCode, response.Header, string(explanation), c.Now())
	if result.Outcome != Accepted {
		sent.Request(response.Request)
		result.Text = describe(response.StatusCode, c.masked(string(explanation), &sent))
	}
	if message == V2 && result.Outcome == Accepted {
		if !written(response.Header) {
			// Receivers that do not support 2.0 decode such a request as an empty one and report success.
			return Result{Outcome: NotUnderstood, Text: "success without the number of written samples"}
		}
		if n, err := strconv.Atoi(response.Header.Get("X-Prometheus-Remote-Write-Samples-Written")); err == nil {
			result.Unwritten = max(0, len(samples)-max(0, n))
		}
	}
	return result
}

// addHeaders adds the headers that all requests to the endpoint have.
func (c *Client) addHeaders(request *http.Request) {
	for name, value := range c.Headers {
		request.Header.Set(name, value.Reveal())
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value.Reveal()
		}
	}
	request.Header.Set("User-Agent", c.UserAgent)
}

// written reports whether a response has any of the headers that a receiver of version 2.0 must set.
func written(header http.Header) bool {
	for _, name := range []string{"Samples", "Histograms", "Exemplars"} {
		if header.Get("X-Prometheus-Remote-Write-"+name+"-Written") != "" {
			return true
		}
	}
	return false
}

// failed returns the result of a request without a response. It omits URLs, which may hold secrets: the
// receiver's, and that of the token endpoint nested in it.
func (c *Client) failed(err error, sent *secret.Sent) Result {
	err = text.WithoutURL(err)
	if errors.Is(err, context.DeadlineExceeded) {
		return Result{Outcome: Later, Text: "no response within " + c.Timeout.String()}
	}
	// A part of a secret, where the text is cut off, could not be masked any more.
	said := text.Shorten(text.OneLine(c.masked(err.Error(), sent)), maxText)
	if refused, ok := redirect.As(err); ok {
		// A redirected POST mostly leads to a login page, whose status 200 would say nothing about samples.
		return Result{Outcome: Unusable, Status: refused.Status, Text: said}
	}
	return Result{Outcome: Later, Text: said}
}
