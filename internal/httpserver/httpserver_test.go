package httpserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/httpserver"
)

// pipes is a listener whose connections are in memory, so that their deadlines go by the clock of
// a test.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// dial returns a client's end.
func (p *pipes) dial() *client {
	ours, theirs := net.Pipe()
	p.accepted <- theirs
	return &client{ours, bufio.NewReader(ours)}
}

type client struct {
	net.Conn

	reader *bufio.Reader
}

// ask sends a request; it returns false if the server has closed the connection.
func (c *client) ask(path string) bool {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	return err == nil
}

// answer reads an answer.
func (c *client) answer() (int, string, error) {
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// pass lets time go by on the clock of the bubble.
func pass(d time.Duration) { <-time.After(d) }

// stage is a running server and who asks it.
type stage struct {
	t        *testing.T
	server   *httpserver.Server
	listener *pipes
	ended    <-chan error // how each large answer ended
}

// serve runs a server in a bubble with a clock of its own. /large answers with a megabyte and tells
// how that ended.
func serve(t *testing.T, test func(stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 100)
		mux := http.NewServeMux()
		mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
		mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			ended <- err
		})
		ctx, cancel := context.WithCancel(t.Context())
		listener := newPipes()
		server := httpserver.New(ctx, httpserver.Options{Handler: mux, ErrorLog: log.New(io.Discard, "", 0), Now: time.Now})
		over := make(chan error, 1)
		go func() { over <- server.Serve(listener) }()
		test(stage{t, server, listener, ended})
		cancel()
		_ = server.Close() // some tests have ended it already
		<-over
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		c := on.listener.dial()
		began := time.Now()
		c.ask("/large")
		if err := <-on.ended; err == nil {
			t.Error("a client that reads nothing has its answer")
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("it was given up after %v", took)
		}
	})
}

func TestClientThatReadsSlowly(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		c := on.listener.dial()
		began := time.Now()
		c.ask("/large")
		read := make(chan struct{})
		go func() {
			defer close(read)
			for {
				pass(4 * time.Second)
				if _, err := io.CopyN(io.Discard, c, 28<<10); err != nil {
					return
				}
			}
		}()
		if err := <-on.ended; err == nil {
			t.Error("the answer took as long as the client wanted")
		}
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("it was given up after %v", took)
		}
		<-read
	})
}

func TestConnectionIsKept(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		c := on.listener.dial()
		for range 3 {
			c.ask("/small")
			if code, body, err := c.answer(); code != http.StatusOK || body != "small" || err != nil {
				t.Fatalf("%d %q: %v", code, body, err)
			}
			pass(time.Minute)
		}
		c.ask("/large")
		if code, body, err := c.answer(); code != http.StatusOK || len(body) != 1<<20 || err != nil {
			t.Errorf("%d, %d bytes: %v", code, len(body), err)
		}
		if err := <-on.ended; err != nil {
			t.Error(err)
		}
		pass(3 * time.Minute)
		if _, _, err := c.answer(); err == nil {
			t.Error("a connection on which nothing is asked is kept for ever")
		}
	})
}

func TestClientThatDoesNotAsk(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		c := on.listener.dial()
		began := time.Now()
		_, _, err := c.answer()
		if took := time.Since(began); err == nil || took != 10*time.Second {
			t.Errorf("closed after %v: %v", took, err)
		}
	})
}

func TestLargeHeaders(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		c := on.listener.dial()
		go c.ask("/small?" + strings.Repeat("name[]=a&", 10_000))
		if code, body, _ := c.answer(); code != http.StatusRequestHeaderFieldsTooLarge && code != http.StatusRequestURITooLong {
			t.Errorf("%d %q", code, body)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		on.server.Most(3)
		idle, other, busy := on.listener.dial(), on.listener.dial(), on.listener.dial()
		for _, c := range []*client{idle, other} {
			c.ask("/small")
			if code, _, err := c.answer(); code != http.StatusOK {
				t.Fatal(code, err)
			}
			pass(time.Second)
		}
		busy.ask("/large")
		synctest.Wait()
		later := on.listener.dial()
		later.ask("/small")
		if code, _, err := later.answer(); code != http.StatusOK {
			t.Errorf("a further connection instead of an idle one: %d, %v", code, err)
		}
		if idle.ask("/small") {
			t.Error("the connection that was idle for longest is still open")
		}
		if !other.ask("/large") { // so that both are busy
			t.Error("another idle connection was closed")
		}
		later.ask("/large")
		synctest.Wait()
		if c := on.listener.dial(); c.ask("/small") {
			t.Error("a further connection is served while all are busy")
		}
		if code, body, err := busy.answer(); code != http.StatusOK || len(body) != 1<<20 {
			t.Errorf("a busy connection was closed: %d, %v", code, err)
		}
	})
}

func TestDrain(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		spare, busy := on.listener.dial(), on.listener.dial()
		busy.ask("/large")
		synctest.Wait()
		drained := make(chan error, 1)
		began := time.Now()
		go func() { drained <- on.server.Drain(t.Context()) }()
		pass(time.Second)
		if spare.ask("/small") {
			t.Error("a connection that was opened in advance holds up the end")
		}
		if _, body, err := busy.answer(); len(body) != 1<<20 {
			t.Errorf("a running request was cut off: %v", err)
		}
		if err := <-drained; err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("ended after %v: %v", time.Since(began), err)
		}
		<-on.ended
	})
}

func TestDrainCutsOff(t *testing.T) {
	serve(t, func(on stage) {
		t := on.t
		on.listener.dial().ask("/large")
		synctest.Wait()
		began := time.Now()
		if err := on.server.Drain(t.Context()); err == nil {
			t.Error("nothing was cut off")
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("after %v", took)
		}
		if err := <-on.ended; err == nil {
			t.Error("the client has its answer")
		}
	})
}
