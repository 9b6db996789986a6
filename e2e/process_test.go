package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/datacube"
)

const (
	// patience limits each wait. Nothing takes nearly as long, not even with twenty other processes on the same
	// two processors.
	patience = 5 * time.Minute
	// exitTime is how long the exporter may take to exit: far less than a call that hangs for patience.
	exitTime = time.Minute
)

// clock is the clock of the programs under test, which run in real time.
func clock() time.Time { return time.Now() }

// withinADay waits until the day is over in China if it will be within patience, at the beginning of a test. One that counts days
// cannot have a new one in its course, and its clock is the real one, by which Prometheus accepts samples.
func withinADay(t *testing.T) {
	t.Helper()
	left := datacube.DateOf(clock()).End().Sub(clock())
	if _, underway := suite.begun.LoadOrStore(t.Name(), true); underway || left > patience {
		return
	}
	t.Logf("waiting %v for the next day in China", left)
	select {
	case <-time.After(left):
	case <-t.Context().Done():
	}
}

// eventually calls try until it returns no error, and fails the test if that takes too long.
func eventually(tb testing.TB, what string, try func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := exportertest.Poll(ctx, try); err != nil {
		tb.Fatalf("waiting for %s: %s", what, mask(err.Error()))
	}
}

// stream is the output of a process, which can be read while it runs.
type stream struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced with each write
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

// read returns the text so far, and a channel that is closed when there is more.
func (s *stream) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.changed
}

func (s *stream) String() string {
	text, _ := s.read()
	return text
}

// lines returns the complete lines so far.
func (s *stream) lines() []string {
	text := s.String()
	end := strings.LastIndex(text, "\n")
	if end < 0 {
		return nil
	}
	return strings.Split(text[:end], "\n")
}

// process is a running program.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *stream
	ended          chan struct{} // closed when it has exited and all output was read
	killed         bool          // by the test, so that it has no exit code
}

// start runs a program in an empty folder and with its own environment. It is stopped at the end of the test.
func start(tb testing.TB, path string, args ...string) *process {
	tb.Helper()
	return startTo(tb, nil, path, args...)
}

// startTo is start with a file as the program's standard output; nil means the stream.
func startTo(tb testing.TB, stdout *os.File, path string, args ...string) *process {
	tb.Helper()
	cmd := exec.Command(path, args...)
	if stdout != nil {
		cmd.Stdout = stdout
	}
	return startCommand(tb, cmd)
}

// startCommand starts a program in an empty folder and, besides what the command has, with its own environment.
// Its output goes to the streams unless the command has another place for it.
func startCommand(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	p := &process{cmd: cmd, stdout: newStream(), stderr: newStream(), ended: make(chan struct{})}
	p.cmd.Dir = tb.TempDir()
	p.cmd.Env = append(environment(tb.TempDir()), p.cmd.Env...)
	p.cmd.Stderr = p.stderr
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = p.stdout
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("starting %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the error is in its state
		suite.recorder.record(tb.Name(), "stdout", p.stdout.String())
		suite.recorder.record(tb.Name(), "stderr", p.stderr.String())
	}()
	tb.Cleanup(func() { p.cleanUp(tb) })
	return p
}

// environment returns the environment of the programs under test, without the developer's settings.
func environment(home string) []string {
	env := []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + home,
		"WEIXIN_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:0", // the default port may be in use on this machine
		// By default, the race detector delays the exit of a program by a second.
		"GORACE=atexit_sleep_ms=10",
	}
	if folder := os.Getenv("GOCOVERDIR"); folder != "" {
		env = append(env, "GOCOVERDIR="+folder)
	}
	return env
}

// cleanUp stops the process if the test has not.
func (p *process) cleanUp(tb testing.TB) {
	tb.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have exited
	timer := time.NewTimer(2 * exitTime)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		tb.Errorf("%s did not exit:\n%s", p.cmd.Path, mask(p.stderr.String()))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && !p.killed {
		tb.Errorf("%s exited with code %d:\n%s", p.cmd.Path, code, mask(p.stderr.String()))
	}
}

// signal sends a signal to the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("sending %v: %v", s, err)
	}
}

// stop sends a signal, and fails unless the process exits in time and with code 0.
func (p *process) stop(t *testing.T, s syscall.Signal) {
	t.Helper()
	p.signal(t, s)
	p.exits(t, s)
}

// exits fails unless the process exits in time after a signal, and with code 0.
func (p *process) exits(t *testing.T, s syscall.Signal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exitTime)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fatalf("still running %v after %v:\n%s", exitTime, s, mask(p.stderr.String()))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit code %d after %v, want 0:\n%s", code, s, mask(p.stderr.String()))
	}
}

// kill kills the process, like a power failure.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.killed = true
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("killing %s: %v", p.cmd.Path, err)
	}
	<-p.ended
}

// waitLine waits for a line of a stream, from the given one on, that contains all of the parts, and returns it.
func (p *process) waitLine(tb testing.TB, s *stream, from int, parts ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for {
		_, more := s.read()
		ended := false
		select {
		case <-p.ended:
			ended = true
		default:
		}
		if lines := s.lines(); from < len(lines) {
			for _, line := range lines[from:] {
				if containsAll(line, parts) {
					return line
				}
			}
		}
		if ended {
			tb.Fatalf("%s has exited, and no line contains %q:\n%s", p.cmd.Path, parts, mask(s.String()))
		}
		select {
		case <-more:
		case <-p.ended:
		case <-ctx.Done():
			tb.Fatalf("no line contains %q:\n%s", parts, mask(s.String()))
		}
	}
}

// logged waits for a line of the log that contains all of the parts.
func (p *process) logged(tb testing.TB, parts ...string) string {
	tb.Helper()
	return p.waitLine(tb, p.stderr, 0, parts...)
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// listensOn waits until a program logs that it listens, and returns the address.
func (p *process) listensOn(tb testing.TB) string {
	tb.Helper()
	line := p.logged(tb, "Listening on", "address")
	found := regexp.MustCompile(`address"?[=:]"?([0-9.:]+)`).FindStringSubmatch(line)
	if found == nil {
		tb.Fatalf("no address in %q", mask(line))
	}
	return found[1]
}

// exporter is a running weixin_exporter.
type exporter struct {
	*process
	web
}

// runExporter starts a command of the exporter on a free port of the loopback interface and waits until it
// listens.
func runExporter(t *testing.T, args ...string) *exporter {
	t.Helper()
	p := start(t, suite.binary, append(args, "--web.listen-address=127.0.0.1:0")...)
	return &exporter{process: p, web: newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
}

// runExporterAt is runExporter with a clock from the test: the binary of the tests executes itself.
func runExporterAt(t *testing.T, clock *exportertest.Clock, args ...string) *exporter {
	t.Helper()
	cmd, err := exportertest.Command(clock, append(args, "--web.listen-address=127.0.0.1:0")...)
	if err != nil {
		t.Fatal(err)
	}
	p := startCommand(t, cmd)
	return &exporter{process: p, web: newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
}

// serve starts the exporter with a configuration file and waits until it is ready.
func serve(t *testing.T, configFile string, args ...string) *exporter {
	t.Helper()
	x := runExporter(t, append([]string{"--config.file=" + configFile}, args...)...)
	x.waitReady(t)
	return x
}

// exitCode returns the exit code of a command, or an error if it did not exit by itself.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	default:
		return -1, fmt.Errorf("running the binary: %w", err)
	}
}
