// Package httpserver provides an http.Server that clients cannot exhaust: it limits connections, the size of
// requests, what an address sends and gives up, and the duration of responses.
package httpserver

import (
	"context"
	"log"
	"net"
	"net/http"
	"time"
)

const (
	// maxConnections limits open connections, and the requests of all connections together. A scrape uses one, a
	// browser six; a thousand are for probes, which may run at the same time.
	maxConnections = 512 + 1000
	// maxHeader limits the request line and the headers of a request, in bytes. Go adds 4 KiB to it.
	maxHeader = 12 << 10
	// headerTimeout limits the time in which a client must send them.
	headerTimeout = 10 * time.Second
	// bodyTimeout limits the time in which it must send a body.
	bodyTimeout = 30 * time.Second
	// idleTimeout is how long a connection without a request is kept.
	idleTimeout = 2 * time.Minute
	// stallTimeout is how long a client may read nothing of a response.
	stallTimeout = 15 * time.Second
	// graceTime is how long a client may read nothing of a response, or send nothing of a body, before its connection is
	// closed in favor of another.
	graceTime = time.Second
	// responseTimeout limits the duration of a response, unless Options allows more.
	responseTimeout = 2 * time.Minute
	// drainTimeout is how long running requests may take during a shutdown.
	drainTimeout = 3 * time.Second
	// unusedTimeout is how long an unused connection may take to send a request during a shutdown.
	unusedTimeout = 500 * time.Millisecond

	// maxStreams limits the requests of a connection with HTTP/2, of which browsers and Grafana send many at a time.
	maxStreams = 32
	// maxFrame limits the frames that a client sends, which are in memory: 16 KiB is the least that HTTP/2 allows.
	maxFrame = 16 << 10
	// maxUnread limits the bytes of bodies that arrived on a connection and wait for a handler.
	maxUnread = 64 << 10
	// maxGivenUp is how many more requests of a connection its client may give up than are answered. A Prometheus gives one up
	// at each scrape that takes too long.
	maxGivenUp = 100
)

// Server is an http.Server with limits.
type Server struct {
	*http.Server

	conns *connections
	pace  *pace
}

// Options are the dependencies of a Server.
type Options struct {
	Handler  http.Handler
	ErrorLog *log.Logger
	Now      func() time.Time
	// Listening is called with each address that is served; may be nil.
	Listening func(net.Addr)
	// ResponseTimeout limits the duration of a response if it is more than two minutes.
	ResponseTimeout time.Duration
}

// New returns a Server. The contexts of its requests are derived from ctx. It starts nothing.
func New(ctx context.Context, o Options) *Server {
	conns := newConnections(maxConnections, o.Now)
	return &Server{conns: conns, pace: newPace(o.Now), Server: &http.Server{
		Handler:           &limiter{Handler: o.Handler, conns: conns, now: o.Now, timeout: max(responseTimeout, o.ResponseTimeout)},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          o.ErrorLog,
		ConnState:         conns.track,
		ConnContext:       remember,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerConnection: maxUnread,
			MaxReceiveBufferPerStream:     maxUnread,
			WriteByteTimeout:              stallTimeout,
		},
		BaseContext: func(l net.Listener) context.Context {
			if o.Listening != nil {
				o.Listening(l.Addr())
			}
			return ctx
		},
	}}
}

// Limit returns a listener whose connections are read only as fast as the clients of an address may send. It must be what
// the server serves, below TLS.
func (s *Server) Limit(l net.Listener) net.Listener { return &pacedListener{l, s.pace} }

// Drain shuts down the server. Running requests may take a few more seconds; new ones are refused. It returns
// an error if requests were aborted.
func (s *Server) Drain(ctx context.Context) error {
	defer time.AfterFunc(unusedTimeout, s.conns.closeUnused).Stop()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := s.Shutdown(limited)
	if err != nil {
		_ = s.Close() // aborts the requests that are left
	}
	return err
}
