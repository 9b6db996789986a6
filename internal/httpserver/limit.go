package httpserver

import (
	"io"
	"net/http"
	"time"
)

// limiter limits the time that clients may take, and counts the requests.
type limiter struct {
	http.Handler

	conns   *connections
	now     func() time.Time
	timeout time.Duration // of a response
}

func (l *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := connOf(r)
	defer func() {
		givenUp := r.Context().Err() != nil
		l.conns.judge(conn, givenUp)
		if givenUp {
			chargeGivenUp(conn)
		}
	}()
	if r.Context().Err() != nil {
		// The client has given it up, or the server ends: then the client reads this.
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if owesAll(conn) {
		refuse(w, r)
		return
	}
	at, ok := l.conns.begin(conn)
	if !ok {
		refuse(w, r)
		return
	}
	defer l.conns.end(at)
	client := client{conns: l.conns, at: at, control: http.NewResponseController(w), now: l.now}
	timed := &timedWriter{ResponseWriter: w, client: client, end: l.now().Add(l.timeout)}
	// Buffered data is sent after the handler returns.
	defer timed.extend()
	if r.Body != nil && r.Body != http.NoBody {
		// It fails where there are no deadlines. What a handler leaves of a body is read by the server, within the same time.
		_ = client.control.SetReadDeadline(l.now().Add(bodyTimeout))
		r.Body = &timedBody{ReadCloser: r.Body, client: client}
	}
	l.Handler.ServeHTTP(timed, r)
	if r.ProtoMajor == http2 {
		timed.flush()
	}
}

// http2 is the version of a protocol in which what a handler has written waits for the client after the handler has returned,
// in a goroutine of its own for each request.
const http2 = 2

// refuse responds to a request for which there is no room. With HTTP/2 a body would have to wait for the client.
func refuse(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == http2 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "There are too many requests. Try again later.", http.StatusServiceUnavailable)
}

// client is who a request waits for.
type client struct {
	conns   *connections
	at      *connection
	control *http.ResponseController
	now     func() time.Time
}

// timedBody is a body that must arrive within bodyTimeout.
type timedBody struct {
	io.ReadCloser

	client client
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.client.conns.wait(b.client.at)
	defer b.client.conns.proceed(b.client.at)
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.client.control.SetReadDeadline(time.Time{}) // or the server would take the client for gone later on
	}
	return n, err
}

// timedWriter sets the deadline of each write.
type timedWriter struct {
	http.ResponseWriter

	client client
	end    time.Time
}

// maxWrite is how many bytes a client must read within stallTimeout.
const maxWrite = 64 << 10

func (w *timedWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(written+maxWrite, len(p))]
		w.extend()
		n, err := w.write(part)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

func (w *timedWriter) write(p []byte) (int, error) {
	w.client.conns.wait(w.client.at)
	defer w.client.conns.proceed(w.client.at)
	return w.ResponseWriter.Write(p)
}

// flush waits until the client has taken what is buffered, so that the request counts until then.
func (w *timedWriter) flush() {
	w.extend()
	w.client.conns.wait(w.client.at)
	defer w.client.conns.proceed(w.client.at)
	_ = w.client.control.Flush() // fails if the connection is closed
}

func (w *timedWriter) extend() {
	deadline := w.client.now().Add(stallTimeout)
	if w.end.Before(deadline) {
		deadline = w.end
	}
	_ = w.client.control.SetWriteDeadline(deadline) // fails if the connection is closed
}

// Unwrap supports http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
