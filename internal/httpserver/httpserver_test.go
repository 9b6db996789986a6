package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/httpserver"
)

// pipeListener is a listener with connections in memory, whose deadlines follow the clock of the test.
type pipeListener struct {
	accepted chan net.Conn
	fail     chan error // of Accept
	closed   chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan error), make(chan struct{})}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case err := <-p.fail:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error   { close(p.closed); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// dial returns the client's end of a new connection.
func (p *pipeListener) dial() *client { return p.dialFrom("192.0.2.1") }

// dialFrom returns the client's end of a new connection of a client with the given address.
func (p *pipeListener) dialFrom(host string) *client {
	ours, theirs := net.Pipe()
	p.accepted <- remote{theirs, net.JoinHostPort(host, "50000")}
	return &client{ours, bufio.NewReader(ours)}
}

// remote is a connection of a client with an address.
type remote struct {
	net.Conn

	address string
}

func (r remote) RemoteAddr() net.Addr { return namedAddr(r.address) }

// secured is a listener whose connections are read as TLS reads them: as much at a time as there is.
type secured struct{ net.Listener }

func (s secured) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &securedConn{conn, bufio.NewReader(conn)}, nil
}

type securedConn struct {
	net.Conn

	buffer *bufio.Reader
}

func (c *securedConn) Read(p []byte) (int, error) { return c.buffer.Read(p) }

// NetConn is the method that tls.Conn has.
func (c *securedConn) NetConn() net.Conn { return c.Conn }

// namedAddr is an address of TCP.
type namedAddr string

func (namedAddr) Network() string  { return "tcp" }
func (a namedAddr) String() string { return string(a) }

type client struct {
	net.Conn

	reader *bufio.Reader
}

// request sends a request. It returns false if the server has closed the connection.
func (c *client) request(path string) bool {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	return err == nil
}

// response reads a response.
func (c *client) response() (int, string, error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// wait lets time pass on the clock of the bubble.
func wait(d time.Duration) { <-time.After(d) }

// fixture is a running server.
type fixture struct {
	t        *testing.T
	server   *httpserver.Server
	end      context.CancelFunc // of the server's context
	listener *pipeListener
	ended    <-chan error // the results of writing large responses
	work     chan<- struct{}
	patience *atomic.Int64 // requests of /patient
}

// serve runs a server in a synctest bubble. /large responds with a megabyte and reports the result of writing it, /work
// responds when it is told to, /body when it has read the body, and /patient never.
func serve(t *testing.T, test func(fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 100)
		work := make(chan struct{})
		mux := http.NewServeMux()
		mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
		mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			ended <- err
		})
		mux.HandleFunc("/work", func(http.ResponseWriter, *http.Request) { <-work })
		var patience atomic.Int64
		mux.HandleFunc("/patient", func(_ http.ResponseWriter, r *http.Request) {
			patience.Add(1)
			<-r.Context().Done()
		})
		mux.HandleFunc("/body", func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
			<-work
			ended <- r.Context().Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		listener := newPipeListener()
		server := httpserver.New(ctx, httpserver.Options{Handler: mux, ErrorLog: log.New(io.Discard, "", 0), Now: time.Now})
		over := make(chan error, 1)
		go func() {
			over <- server.Serve([]net.Listener{listener}, func(l net.Listener, one *http.Server) error {
				one.Protocols = &http.Protocols{} // HTTP/2 without TLS as well, which would need a certificate
				one.Protocols.SetHTTP1(true)
				one.Protocols.SetUnencryptedHTTP2(true)
				return one.Serve(secured{l})
			})
		}()
		test(fixture{t, server, cancel, listener, ended, work, &patience})
		cancel()
		server.Close() // some tests have closed it already
		<-over
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		began := time.Now()
		c.request("/large")
		if err := <-f.ended; err == nil {
			t.Error("a client that reads nothing has its response")
		}
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("aborted after %v", took)
		}
	})
}

func TestClientThatReadsSlowly(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		began := time.Now()
		c.request("/large")
		read := make(chan struct{})
		go func() {
			defer close(read)
			for {
				wait(4 * time.Second)
				if _, err := io.CopyN(io.Discard, c, 28<<10); err != nil {
					return
				}
			}
		}()
		if err := <-f.ended; err == nil {
			t.Error("a slow client has its response")
		}
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("aborted after %v", took)
		}
		<-read
	})
}

func TestIdleConnection(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		for range 3 {
			c.request("/small")
			if code, body, err := c.response(); code != http.StatusOK || body != "small" || err != nil {
				t.Fatalf("%d %q: %v", code, body, err)
			}
			wait(time.Minute)
		}
		c.request("/large")
		if code, body, err := c.response(); code != http.StatusOK || len(body) != 1<<20 || err != nil {
			t.Errorf("%d, %d bytes: %v", code, len(body), err)
		}
		if err := <-f.ended; err != nil {
			t.Error(err)
		}
		wait(3 * time.Minute)
		if _, _, err := c.response(); err == nil {
			t.Error("an idle connection is not closed")
		}
	})
}

func TestClientWithoutARequest(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		began := time.Now()
		_, _, err := c.response()
		if took := time.Since(began); err == nil || took != 10*time.Second {
			t.Errorf("closed after %v: %v", took, err)
		}
	})
}

func TestLargeHeaders(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		go c.request("/small?" + strings.Repeat("name[]=a&", 10_000))
		if code, body, _ := c.response(); code != http.StatusRequestHeaderFieldsTooLarge && code != http.StatusRequestURITooLong {
			t.Errorf("%d %q", code, body)
		}
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		f.server.LimitConnections(3)
		idle, other, busy := f.listener.dial(), f.listener.dial(), f.listener.dial()
		for _, c := range []*client{idle, other} {
			c.request("/small")
			if code, _, err := c.response(); code != http.StatusOK {
				t.Fatal(code, err)
			}
			wait(time.Second)
		}
		busy.request("/large")
		synctest.Wait()
		later := f.listener.dial()
		later.request("/small")
		if code, _, err := later.response(); code != http.StatusOK {
			t.Errorf("a further connection instead of an idle one: %d, %v", code, err)
		}
		synctest.Wait()
		if idle.request("/small") {
			t.Error("the connection that was idle the longest is still open")
		}
		if !other.request("/work") {
			t.Error("another idle connection was closed")
		}
		later.request("/work")
		synctest.Wait()
		if c := f.listener.dial(); c.request("/small") {
			t.Error("a further connection is served instead of a response that has just begun")
		}
		wait(time.Second)
		working := f.listener.dial() // closes the one that does not read
		working.request("/work")
		synctest.Wait()
		if _, body, err := busy.response(); err == nil {
			t.Errorf("the connection that waits for its client has %d bytes", len(body))
		}
		if c := f.listener.dial(); c.request("/small") {
			t.Error("a further connection is served while all others work")
		}
		close(f.work)
		for _, c := range []*client{other, later, working} {
			if code, _, err := c.response(); code != http.StatusOK {
				t.Errorf("a working connection was closed: %d, %v", code, err)
			}
		}
	})
}

// TestTheLongestWaitIsEnded has a connection without a request and one whose client does not read its response.
func TestTheLongestWaitIsEnded(t *testing.T) {
	begin := map[string]func(*client){
		"idle": func(c *client) {
			c.request("/small")
			if code, _, err := c.response(); code != http.StatusOK {
				t.Fatal(code, err)
			}
		},
		"stalled": func(c *client) { c.request("/large") },
	}
	for _, order := range [][]string{{"idle", "stalled"}, {"stalled", "idle"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			serve(t, func(f fixture) {
				f.server.LimitConnections(2)
				var open []*client
				for _, kind := range order {
					c := f.listener.dial()
					begin[kind](c)
					wait(2 * time.Second) // more than a response is spared
					open = append(open, c)
				}
				f.listener.dial().request("/small")
				synctest.Wait()
				for i, c := range open {
					_ = c.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := io.Copy(io.Discard, c.reader); errors.Is(err, os.ErrDeadlineExceeded) != (i == 1) {
						f.t.Errorf("the one that is %s: %v", order[i], err)
					}
				}
			})
		})
	}
}

// TestFloodSparesAResponse: short requests, each with a connection of its own, close one another's connections, not that of a
// response that has just begun and waited before them.
func TestFloodSparesAResponse(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		f.server.LimitConnections(2)
		scrape := f.listener.dial()
		scrape.request("/large")
		synctest.Wait()
		for range 5 {
			c := f.listener.dial()
			c.request("/small")
			if code, _, err := c.response(); code != http.StatusOK {
				t.Fatalf("a short request: %d, %v", code, err)
			}
			synctest.Wait()
		}
		if _, body, err := scrape.response(); len(body) != 1<<20 || err != nil {
			t.Errorf("the response was cut off after %d bytes: %v", len(body), err)
		}
	})
}

// TestClientsThatDoNotGoOn has as many as there may be connections, in each state in which the server waits for them.
func TestClientsThatDoNotGoOn(t *testing.T) {
	for name, sent := range map[string]string{
		"no request":     "",
		"headers":        "GET /small HTTP/1.1\r\nHost: a\r\n",
		"a body":         "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"an unread body": "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"chunks":         "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"the response":   "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(f fixture) {
				const limit = 3
				defer close(f.work)
				f.server.LimitConnections(limit)
				var stalled []*client
				for range limit {
					c := f.listener.dial()
					_, _ = io.WriteString(c, sent)
					synctest.Wait()
					stalled = append(stalled, c)
				}
				wait(time.Second)
				for range 2 {
					c := f.listener.dial()
					c.request("/small")
					if code, _, err := c.response(); code != http.StatusOK {
						t.Errorf("another client: %d, %v", code, err)
					}
					_ = c.Close()
					synctest.Wait()
				}
				// The first has made room for the others, in turn.
				for i, c := range stalled {
					_ = c.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := c.reader.ReadByte(); (err == io.EOF) != (i == 0) {
						t.Errorf("client %d: %v", i, err)
					}
				}
			})
		})
	}
}

// TestSlowBody has clients that never send the whole body.
func TestSlowBody(t *testing.T) {
	for _, path := range []string{"/body", "/small"} {
		serve(t, func(f fixture) {
			close(f.work)
			c := f.listener.dial()
			began := time.Now()
			_, _ = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
			written := make(chan struct{})
			go func() {
				defer close(written)
				for {
					wait(time.Second)
					if _, err := c.Write([]byte("a")); err != nil {
						return
					}
				}
			}()
			for {
				if _, err := c.reader.ReadByte(); err != nil {
					break
				}
			}
			<-written
			if took := time.Since(began); took < 30*time.Second || took > 32*time.Second {
				t.Errorf("%s: closed after %v", path, took)
			}
		})
	}
}

// TestLongWorkWithABody is not cut off by the time that a body may take.
func TestLongWorkWithABody(t *testing.T) {
	serve(t, func(f fixture) {
		t := f.t
		c := f.listener.dial()
		_, _ = io.WriteString(c, "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		if err := <-f.ended; err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		close(f.work)
		if err := <-f.ended; err != nil {
			t.Errorf("the client was taken for gone: %v", err)
		}
		if code, _, err := c.response(); code != http.StatusOK {
			t.Errorf("%d, %v", code, err)
		}
	})
}
