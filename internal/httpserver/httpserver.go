// Package httpserver is an http.Server that a client cannot exhaust: connections, the size of
// requests and the time that an answer may take have bounds.
package httpserver

import (
	"context"
	"log"
	"net"
	"net/http"
	"time"
)

const (
	// maxConnections is how many connections there are at a time. A scrape takes one; browsers
	// take six.
	maxConnections = 512
	// maxHeader bounds the request line and the headers of a request. Go adds 4 KiB to it.
	maxHeader = 28 << 10
	// headerTime is how long a client may take for them.
	headerTime = 10 * time.Second
	// idleTime is how long a connection is kept that nothing is asked on.
	idleTime = 2 * time.Minute
	// stallTime is how long a client may read nothing of an answer.
	stallTime = 15 * time.Second
	// answerTime is how long an answer may take in all.
	answerTime = 2 * time.Minute
	// drainTime is how long running requests may take at the end.
	drainTime = 3 * time.Second
	// spareTime is how long a connection may take at the end to begin its first request.
	spareTime = 500 * time.Millisecond
)

// Server is an http.Server with bounds.
type Server struct {
	*http.Server

	conns *connections
}

// Options are what a Server is made of.
type Options struct {
	Handler  http.Handler
	ErrorLog *log.Logger
	Now      func() time.Time
	// Listening is told each address that is served; may be nil.
	Listening func(net.Addr)
}

// New returns a Server. The contexts of its requests derive from ctx. It starts nothing.
func New(ctx context.Context, o Options) *Server {
	conns := newConnections(maxConnections)
	return &Server{conns: conns, Server: &http.Server{
		Handler:           inTime(o.Handler, o.Now),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          o.ErrorLog,
		ConnState:         conns.follow,
		BaseContext: func(l net.Listener) context.Context {
			if o.Listening != nil {
				o.Listening(l.Addr())
			}
			return ctx
		},
	}}
}

// Drain ends the server: running requests may end, for a few seconds, and new ones are refused. The
// error says that some were cut off.
func (s *Server) Drain(ctx context.Context) error {
	defer time.AfterFunc(spareTime, s.conns.closeSpare).Stop()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := s.Shutdown(limited)
	if err != nil {
		_ = s.Close() // what is left is cut off
	}
	return err
}

// inTime ends answers that a client does not read in time.
func inTime(h http.Handler, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timed := &timedWriter{ResponseWriter: w, control: http.NewResponseController(w), now: now, end: now().Add(answerTime)}
		// What is buffered when the handler returns is sent then.
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

// largestWrite is how much a client has to read within stallTime.
const largestWrite = 64 << 10

func (w *timedWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(written+largestWrite, len(p))]
		w.extend()
		n, err := w.ResponseWriter.Write(part)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

func (w *timedWriter) extend() {
	deadline := w.now().Add(stallTime)
	if w.end.Before(deadline) {
		deadline = w.end
	}
	_ = w.control.SetWriteDeadline(deadline) // a connection that is gone has none
}

// Unwrap is for http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
