package remotewrite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/klauspost/compress/snappy"

	"weixin_exporter/internal/redirect"
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

// maxBody bounds how much of an answer is read, in bytes.
const maxBody = 64 << 10

// ClientOptions of a Client.
type ClientOptions struct {
	// URL is where samples are posted to.
	URL secret.URL
	// HTTPClient carries authentication, TLS and proxy. It is copied, and the copy follows no redirects.
	HTTPClient *http.Client
	// Headers are added to each request.
	Headers map[string]secret.Value
	// Timeout bounds one request.
	Timeout time.Duration
	// Message is V1 or V2; after V2 was not understood once, V1 is used.
	Message   Message
	UserAgent string
	Now       func() time.Time
	// Logger is told of the fallback to 1.0.
	Logger log.Logger
}

// Client sends requests to one receiver. It is safe for concurrent use.
type Client struct {
	ClientOptions
	http http.Client
	// old is set once the receiver has shown that it does not know V2.
	old atomic.Bool
}

// NewClient returns a client; it sends nothing by itself.
//
// client_golang's exp/api/remote is not used: it has no message of 1.0 and no fallback to it, and
// its errors do not tell the status, on which cutting down a refused batch depends.
func NewClient(o ClientOptions) *Client {
	c := &Client{ClientOptions: o, http: *o.HTTPClient}
	c.http.CheckRedirect = redirect.Refuse
	return c
}

// Send sends samples, those of each series in the order of their times, in one request; in two
// where the receiver turns out not to know version 2. It does not try again.
func (c *Client) Send(ctx context.Context, samples []Sample) Answer {
	if c.Message == V2 && !c.old.Load() {
		answer := c.post(ctx, V2, samples)
		if answer.Verdict != NotUnderstood {
			return answer
		}
		c.old.Store(true)
		level.Warn(c.Logger).Log("msg", "the receiver does not know remote write 2.0: 1.0 is used from now on", "answer", answer.Text)
	}
	answer := c.post(ctx, V1, samples)
	if answer.Verdict == NotUnderstood {
		answer.Verdict = Unusable
	}
	return answer
}

func (c *Client) post(ctx context.Context, message Message, samples []Sample) Answer {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var body []byte
	if message == V2 {
		body = encodeV2(samples)
	} else {
		body = encodeV1(samples)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.Reveal(), bytes.NewReader(snappy.Encode(nil, body)))
	if err != nil {
		return c.failed(err)
	}
	c.sign(request)
	request.Header.Set("Content-Encoding", "snappy")
	if message == V2 {
		request.Header.Set("Content-Type", "application/x-protobuf;proto="+string(V2))
		request.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		request.Header.Set("Content-Type", "application/x-protobuf")
		request.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	response, err := c.http.Do(request)
	if err != nil {
		answer := c.failed(err)
		answer.Text = c.masked(answer.Text, request)
		return answer
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	// What cannot be read of an explanation is no loss.
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxBody))
	answer := judge(response.StatusCode, response.Header, string(text), c.Now())
	if answer.Verdict != Accepted {
		// The request of the response is the one that the transport has put credentials on.
		answer.Text = describe(response.StatusCode, c.masked(string(text), cmp.Or(response.Request, request)))
	}
	if message == V2 && answer.Verdict == Accepted {
		if !written(response.Header) {
			// Receivers that do not know 2.0 read such a request as an empty one and say that all is well.
			return Answer{Verdict: NotUnderstood, Text: "success without saying how many samples were written"}
		}
		if n, err := strconv.Atoi(response.Header.Get("X-Prometheus-Remote-Write-Samples-Written")); err == nil {
			answer.Unwritten = max(0, len(samples)-max(0, n))
		}
	}
	return answer
}

// sign adds the headers that each request of the endpoint has.
func (c *Client) sign(request *http.Request) {
	for name, value := range c.Headers {
		request.Header.Set(name, value.Reveal())
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value.Reveal()
		}
	}
	request.Header.Set("User-Agent", c.UserAgent)
}

// written reports whether an answer has any of the headers that a receiver of 2.0 must set.
func written(header http.Header) bool {
	for _, name := range []string{"Samples", "Histograms", "Exemplars"} {
		if header.Get("X-Prometheus-Remote-Write-"+name+"-Written") != "" {
			return true
		}
	}
	return false
}

// failed is the answer where there was none. URLs, which may hold secrets, are left out: the receiver's
// own, and inside of it that of whoever gives out tokens.
func (c *Client) failed(err error) Answer {
	for fault, ok := errors.AsType[*url.Error](err); ok; fault, ok = errors.AsType[*url.Error](err) {
		err = fault.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Answer{Verdict: Later, Text: "no answer within " + c.Timeout.String()}
	}
	if refused, ok := redirect.As(err); ok {
		// What is asked for by POST and found elsewhere is mostly a page to log in, whose status 200 would
		// say nothing of samples.
		return Answer{Verdict: Unusable, Status: refused.Status, Text: oneLine(err.Error())}
	}
	return Answer{Verdict: Later, Text: oneLine(err.Error())}
}
