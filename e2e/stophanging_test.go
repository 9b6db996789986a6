package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/weixin/datacube"
)

// stopsUnclosed stops an exporter whose store hangs, and fails unless it ends with code 1 and says that the store could not be
// closed. Since nothing lets the store go on before the process has ended, the exporter ends by its own limit.
func (x *exporter) stopsUnclosed(t *testing.T) {
	t.Helper()
	x.killed = true // its code is checked here
	x.signal(t, syscall.SIGTERM)
	<-x.ended
	if code := x.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	x.logged(t, "stopped without closing the store")
}

// TestStopWithoutAnswersOfTheDatabase: the exporter ends although PostgreSQL does not answer, and loses nothing.
func TestStopWithoutAnswersOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	for name, noticed := range map[string]bool{"noticed": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := postgrestest.NewProxy(t, server)
			w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
			w.storeIn(t, proxy.URL(server.Create(t, "template1")))
			x := serve(t, w.config)
			w.waitFigures(t, x.web, w.accounts...)
			proxy.Silence()
			if noticed {
				x.logged(t, "the store cannot be used", "no answer within")
			}
			began := clock()
			x.stopsUnclosed(t)
			t.Logf("ended %v after SIGTERM", clock().Sub(began))
			proxy.Resume()
			x = serve(t, w.config)
			w.waitComplete(t, x.web, w.accounts...)
			w.checkFigures(t, x.metrics(t), w.accounts...)
		})
	}
}

// longQuery is the path of a query that takes hours.
func longQuery() string {
	values := url.Values{
		"query": {"quantile_over_time(0.5, vector(time())[20d:1s])"}, "start": {"1700000000"}, "end": {"1700660000"}, "step": {"60"},
	}
	return "/api/v1/query_range?" + values.Encode()
}

// TestStopDuringALongQuery: the exporter ends although a query takes hours.
func TestStopDuringALongQuery(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	x := serve(t, w.config, "--query.timeout=24h", "--query.max-concurrency=1")
	answered := make(chan string, 1)
	go func() {
		client := web{x.base, &http.Client{}} // whose requests have no end
		p, err := client.try(t, http.MethodGet, longQuery())
		answered <- fmt.Sprint(p.body, err)
	}()
	eventually(t, "a query to be executed", func() error {
		if p := x.ask(t, http.MethodGet, "/api/v1/query?query=1&timeout=10ms"); !strings.Contains(p.body, "while it waited for other queries") {
			return fmt.Errorf("another one is executed: %s", p.body)
		}
		return nil
	})
	x.stop(t, syscall.SIGTERM)
	x.logged(t, "msg=stopped")
	if got := <-answered; !strings.Contains(got, "query was canceled") {
		t.Errorf("the answer is %q", mask(got))
	}
}

// TestStopWhileAResponseIsNotRead: the exporter ends although a client does not read on. By itself it would wait 15 seconds for
// that client, and cut nothing off.
func TestStopWhileAResponseIsNotRead(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700), newAccount("cafe", 3, 30), newAccount("club", 4, 80))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", x.base.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the exporter has closed it
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("the connection is a %T", conn)
	}
	if err := tcp.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	end := datacube.DateOf(clock()).Start().Unix()
	const steps, step = 10_000, 60
	values := url.Values{
		"query": {`last_over_time({__name__=~"weixin_history_.+"}[25h])`},
		"start": {strconv.FormatInt(end-steps*step, 10)}, "end": {strconv.FormatInt(end, 10)}, "step": {strconv.Itoa(step)},
	}
	if _, err := fmt.Fprintf(conn, "GET /api/v1/query_range?%s HTTP/1.1\r\nHost: exporter\r\n\r\n", values.Encode()); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, len("HTTP/1.1 200 OK"))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 200 OK" {
		t.Fatalf("%q, %v", status, err)
	}
	x.stop(t, syscall.SIGTERM)
	x.logged(t, `msg="some requests were cut off"`)
	x.logged(t, "msg=stopped")
}

// TestStopDuringARequestOfRemoteWrite: the exporter ends although a receiver accepts requests and does not answer them.
func TestStopDuringARequestOfRemoteWrite(t *testing.T) {
	t.Parallel()
	requested := make(chan struct{}, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the end of the exporter is noticed only once it was read
		select {
		case requested <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	t.Cleanup(receiver.Close)
	w := newFixture(t, newAccount("shop", 1, 9000))
	w.write(t, w.yamlWith(history, fmt.Sprintf("url: %q, remote_timeout: 24h", receiver.URL)))
	x := serve(t, w.config)
	<-requested
	x.stop(t, syscall.SIGTERM)
	x.logged(t, "msg=stopped")
}
