// Package httpserver provides an http.Server that clients cannot exhaust: it limits connections, the size of
// requests and the duration of responses.
package httpserver

import (
	"context"
	"log"
	"net"
	"net/http"
	"time"
)

const (
	// maxConnections limits open connections. A scrape uses one, a browser six; a thousand are for probes,
	// which may run at the same time.
	maxConnections = 512 + 1000
	// maxHeader limits the request line and the headers of a request, in bytes. Go adds 4 KiB to it.
	maxHeader = 28 << 10
	// headerTimeout limits the time in which a client must send them.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection without a request is kept.
	idleTimeout = 2 * time.Minute
	// stallTimeout is how long a client may read nothing of a response.
	stallTimeout = 15 * time.Second
	// responseTimeout limits the duration of a response, unless Options allows more.
	responseTimeout = 2 * time.Minute
	// drainTimeout is how long running requests may take during a shutdown.
	drainTimeout = 3 * time.Second
	// unusedTimeout is how long an unused connection may take to send a request during a shutdown.
	unusedTimeout = 500 * time.Millisecond
)

// Server is an http.Server with limits.
type Server struct {
	*http.Server

	conns *connections
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
	conns := newConnections(maxConnections)
	return &Server{conns: conns, Server: &http.Server{
		Handler:           limitTime(o.Handler, o.Now, max(responseTimeout, o.ResponseTimeout)),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          o.ErrorLog,
		ConnState:         conns.track,
		BaseContext: func(l net.Listener) context.Context {
			if o.Listening != nil {
				o.Listening(l.Addr())
			}
			return ctx
		},
	}}
}

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

// limitTime aborts responses that a client does not read in time.
func limitTime(h http.Handler, now func() time.Time, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timed := &timedWriter{ResponseWriter: w, control: http.NewResponseController(w), now: now, end: now().Add(timeout)}
		// Buffered data is sent after the handler returns.
		defer timed.extend()
		h.ServeHTTP(timed, r)
	})
}

// timedWriter sets the deadline of each write.
type timedWriter struct {
	http.ResponseWriter

	control *http.ResponseController
	now     func() time.Time
	end     time.Time
}

// maxWrite is how many bytes a client must read within stallTimeout.
const maxWrite = 64 << 10

func (w *timedWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(written+maxWrite, len(p))]
		w.extend()
		n, err := w.ResponseWriter.Write(part)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

func (w *timedWriter) extend() {
	deadline := w.now().Add(stallTimeout)
	if w.end.Before(deadline) {
		deadline = w.end
	}
	_ = w.control.SetWriteDeadline(deadline) // fails if the connection is closed
}

// Unwrap supports http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
