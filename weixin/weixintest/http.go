package weixintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

const (
	typeText  = "text/plain" // of the JSON of the data cube
	typeHTML  = "text/html; charset=utf-8"
	typeEmpty = "text/html; charset=gbk" // seen with an empty body
	typeJSON  = "application/json"

	// maxRequest bounds the body of a request in bytes; those of the simulated calls are far smaller.
	maxRequest = 1 << 20
)

// answer is the response to a request, for either transport.
type answer struct {
	status      int
	contentType string
	body        []byte
	errcode     int  // for Call.Errcode
	reset       bool // the connection is reset instead
	gone        bool // the client went away during a delay
}

// htmlAnswer returns the page of a gateway that did not reach the API.
func htmlAnswer(status int) answer {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return answer{status: status, contentType: typeHTML, body: []byte(page), errcode: NoAnswer}
}

// ServeHTTP responds to a request as Weixin would. The client's address is that of the connection's peer;
// headers do not change it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.serve(w, r, parseRequest) }

// serve responds to a request that it parses with parse.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, parse func(address, method string, u *url.URL, body []byte) request) {
	// The body is read to its end first: only then does net/http notice that the client has gone, and end
	// the context.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a := s.handle(r.Context(), parse(peer(r.RemoteAddr), r.Method, r.URL, body))
	switch {
	case a.reset:
		resetConnection(w)
	case a.gone:
		panic(http.ErrAbortHandler) // otherwise net/http would send an empty response with status 200
	default:
		w.Header().Set("Content-Type", a.contentType)
		w.Header().Set("Date", s.date())
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body) // the client may have gone
	}
}

// date returns the Date header for a response at the current time.
func (s *Server) date() string { return s.now().UTC().Format(http.TimeFormat) }

// resetConnection resets the client's connection: with a linger time of 0 the close sends RST. If
// the connection is not available (HTTP/2, a recorder), the request is aborted.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = wrapped.NetConn()
	}
	if tcp, ok := raw.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // best effort: otherwise the client sees an unexpected EOF
	}
	_ = raw.Close()
}

// transport sends requests to a Server within the process.
type transport struct {
	server  *Server
	address string // of the client
}

// RoundTrip responds to the request in the caller's goroutine. A reset is an error that wraps
// syscall.ECONNRESET.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxRequest))
		_ = r.Body.Close() // it was read
		if err != nil {
			return nil, fmt.Errorf("reading the request's body: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a := t.server.handle(ctx, parseRequest(t.address, r.Method, r.URL, body))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if a.reset {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": {a.contentType}, "Date": {t.server.date()}},
		Body:          io.NopCloser(bytes.NewReader(a.body)),
		ContentLength: int64(len(a.body)),
		Request:       r,
	}, nil
}
