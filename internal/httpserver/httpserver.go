// Package httpserver provides a server of HTTP that clients cannot exhaust: it limits connections, the size of
// requests, what an address sends and gives up, and the duration of responses.
package httpserver

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
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

// Server serves HTTP on any number of listeners, with limits that they share.
type Server struct {
	template func() *http.Server
	conns    *connections
	pace     *pace

	mu      sync.Mutex
	servers []*http.Server
	closed  bool
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
	handler := &limiter{Handler: o.Handler, conns: conns, now: o.Now, timeout: max(responseTimeout, o.ResponseTimeout)}
	return &Server{conns: conns, pace: newPace(o.Now), template: func() *http.Server {
		return &http.Server{
			Handler:           handler,
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
		}
	}}
}

// Serve calls serve for each of the listeners, with an http.Server that no other listener has and that serve may change. It returns
// the first error, after which it closes the other listeners; after a call of Drain that is http.ErrServerClosed.
func (s *Server) Serve(listeners []net.Listener, serve func(net.Listener, *http.Server) error) error {
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		// What an address may send is limited below TLS.
		limited, server := &pacedListener{l, s.pace}, s.add()
		if server == nil {
			return http.ErrServerClosed
		}
		go func() { ended <- serve(limited, server) }()
	}
	failure := http.ErrServerClosed
	for range listeners {
		if err := <-ended; failure == http.ErrServerClosed && !errors.Is(err, http.ErrServerClosed) { //nolint:errorlint // the variable itself
			failure = err
			s.close()
		}
	}
	return failure
}

// add returns a new server, nil after Drain or close.
func (s *Server) add() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	server := s.template()
	s.servers = append(s.servers, server)
	return server
}

// end returns the servers, of which there will be no more.
func (s *Server) end() []*http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.servers
}

// close aborts all requests.
func (s *Server) close() {
	for _, server := range s.end() {
		_ = server.Close() // of its listener, which no one uses any more
	}
}

// Drain shuts down the server. Running requests may take a few more seconds; new ones are refused. It returns
// an error if requests were aborted.
func (s *Server) Drain(ctx context.Context) error {
	defer time.AfterFunc(unusedTimeout, s.conns.closeUnused).Stop()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	var parts errgroup.Group
	for _, server := range s.end() {
		parts.Go(func() error {
			err := server.Shutdown(limited)
			if err != nil {
				_ = server.Close() // aborts the requests that are left
			}
			return err
		})
	}
	return parts.Wait()
}
