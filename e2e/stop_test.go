package e2e_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"weixin_exporter/weixin/weixintest"
)

// The exporter exits in time although calls to Weixin hang and a scraper is slow. It does not run in parallel
// with other tests, because the time is limited.
func TestStopInTime(t *testing.T) { //nolint:tparallel // see above
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
			w.sim.Inject(weixintest.Fault{API: "hourly", Delay: patience})
			w.sim.Inject(weixintest.Fault{API: "daily", AppID: w.accounts[1].AppID, Delay: patience})
			x := serve(t, w.config)
			w.waitHanging(t, 2)
			requestSlowly(t, x.web)
			x.stop(t, s)
			x.logged(t, `msg="stopping; running requests may end"`)
			x.logged(t, `msg="some requests were cut off"`)
			x.logged(t, "msg=stopped")
			if _, err := os.Stat(w.folder + "/store.db-wal"); err == nil {
				t.Error("the store was not closed: its WAL file is still there")
			}
			if _, err := net.Dial("tcp", x.base.Host); err == nil {
				t.Error("the port is still open")
			}
		})
	}
}

// requestSlowly sends a request that is still running when the test ends: its announced body never arrives, for which the
// response waits.
func requestSlowly(t *testing.T, x web) {
	t.Helper()
	slow, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", x.base.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Close() })
	if _, err := io.WriteString(slow, "GET /metrics HTTP/1.1\r\nHost: exporter\r\nContent-Length: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	x.get(t, "/-/healthy") // accepted after the slow one
}

func TestSecondSignalChangesNothing(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 9000))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	requestSlowly(t, x.web) // so that the exporter has not ended when the second signal comes
	x.signal(t, syscall.SIGINT)
	x.waitLine(t, x.stderr, 0, `msg="stopping; running requests may end"`)
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) { // unless this test was much too slow
		t.Fatal(err)
	}
	x.exits(t, syscall.SIGTERM)
	x.logged(t, `msg="some requests were cut off"`)
	x.logged(t, "msg=stopped")
}

// An unused connection, as browsers open them in advance, does not delay the shutdown.
func TestUnusedConnectionDoesNotDelayTheShutdown(t *testing.T) {
	t.Parallel()
	x := runExporter(t, "demo")
	unused, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", x.base.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unused.Close() }()
	x.get(t, "/-/healthy") // accepted after the unused one
	x.stop(t, syscall.SIGINT)
	x.logged(t, "msg=stopped")
	for _, line := range x.stderr.lines() {
		if containsAll(line, []string{"cut off"}) {
			t.Errorf("there was no request, but: %s", mask(line))
		}
	}
}

// Closing the terminal stops the demonstration, which has nothing to reload.
func TestHangupStopsTheDemonstration(t *testing.T) {
	t.Parallel()
	x := runExporter(t, "demo")
	x.stop(t, syscall.SIGHUP)
	x.logged(t, "msg=stopped")
	checkEmpty(t, x.cmd.Dir)
}

// A configuration whose reading hangs, for example on a network drive, does not prevent a signal from stopping the
// command.
func TestSignalWhileTheConfigurationIsRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"serve"}, 0, ""},
		{[]string{"backfill", "--since=2024-01-01"}, 0, ""},
		{[]string{"export", "--format=csv"}, 0, "weixin_exporter: stopped before the export was complete\n"},
		{[]string{"check"}, 1, "weixin_exporter: error: stopped before the check was complete\n"},
	} {
		pipe := t.TempDir() + "/config.yml"
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		x := start(t, suite.binary, append(c.args, "--config.file="+pipe)...)
		x.killed = true // its code is checked here
		// Opening the pipe for writing blocks until the program reads it.
		writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		x.signal(t, syscall.SIGTERM)
		<-x.ended
		_ = writer.Close() // nothing was written
		if code := x.cmd.ProcessState.ExitCode(); code != c.code || x.stderr.String() != c.stderr {
			t.Errorf("%q: exit code %d and %q, want %d and %q", c.args, code, mask(x.stderr.String()), c.code, c.stderr)
		}
	}
}
