package exportertest

import (
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience limits each wait for a process. Nothing takes nearly as long, not even on a machine with ten times more work
// than processors.
const patience = 5 * time.Minute

// Process is a running Command. Its methods may be called from one goroutine at a time, and Await from any.
type Process struct {
	cmd    *exec.Cmd
	output *output
	ended  chan struct{}
	killed bool // by the test, so that it has no exit code
	closed bool
}

// output is what a process has written.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced with each write
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

// read returns the text so far, and a channel that is closed when there is more.
func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// Start starts a Command in a folder, which is also its home. It is closed at the end of the test.
func Start(tb testing.TB, cmd *exec.Cmd, folder string) *Process {
	tb.Helper()
	p := &Process{cmd: cmd, output: &output{changed: make(chan struct{})}, ended: make(chan struct{})}
	cmd.Dir = folder
	// By default, the race detector delays the exit of a program by a second.
	cmd.Env = append(cmd.Env, "HOME="+folder, "TMPDIR="+folder, "GORACE=atexit_sleep_ms=10")
	cmd.Stdout, cmd.Stderr = p.output, p.output
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its state says how it ended
	}()
	tb.Cleanup(func() { p.Close(tb) })
	return p
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process has written so far.
func (p *Process) Output() string {
	text, _ := p.output.read()
	return text
}

// Ended is closed when the process has ended and all of its output was read.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Await waits until the output matches a pattern, and returns its first group; false if the process ends before, or stop
// is closed.
func (p *Process) Await(pattern *regexp.Regexp, stop <-chan struct{}) (string, bool) {
	for {
		text, more := p.output.read()
		if found := pattern.FindStringSubmatch(text); found != nil {
			return found[1], true
		}
		select {
		case <-more:
		case <-p.ended:
			return "", false
		case <-stop:
			return "", false
		}
	}
}

// listening is what an exporter writes when its pages can be requested.
var listening = regexp.MustCompile(`msg="Listening on" address=([0-9.:]+)\n`)

// Address waits until an exporter listens, and returns its address; false if it ends before, or stop is closed.
func (p *Process) Address(stop <-chan struct{}) (string, bool) { return p.Await(listening, stop) }

// MustAddress is Address for an exporter that must listen.
func (p *Process) MustAddress(tb testing.TB) string {
	tb.Helper()
	stop := make(chan struct{})
	defer time.AfterFunc(patience, func() { close(stop) }).Stop()
	address, ok := p.Address(stop)
	if !ok {
		tb.Fatalf("the exporter does not listen:\n%s", shortened(p.Output()))
	}
	return address
}

// Send sends a signal.
func (p *Process) Send(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		tb.Fatalf("sending %v: %v:\n%s", s, err, shortened(p.Output()))
	}
}

// Kill ends the process as the failure of its machine would; false if it had ended by itself.
func (p *Process) Kill() bool {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	const bySignal = -1
	p.killed = p.cmd.ProcessState.ExitCode() == bySignal
	return p.killed
}

// Stop ends the process as its operator would.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	p.Send(tb, syscall.SIGTERM)
	p.Finish(tb)
}

// Finish waits until the process has ended.
func (p *Process) Finish(tb testing.TB) {
	tb.Helper()
	if !p.endsWithin(patience) {
		tb.Fatalf("the program does not end:\n%s", shortened(p.Output()))
	}
}

func (p *Process) endsWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

// Close ends the process if it runs. The test fails if the process has ended with a code other than 0 without Kill, or has
// written a simulated secret or token, a panic or a report of the race detector; what it has written is logged if the test has
// failed by then.
func (p *Process) Close(tb testing.TB) {
	tb.Helper()
	if p.closed {
		return
	}
	p.closed = true
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have been suspended
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if !p.endsWithin(patience) {
			_ = p.cmd.Process.Kill() // it is said below
			<-p.ended
		}
	}
	text := p.Output()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && !p.killed {
		tb.Errorf("process %d ended with code %d", p.PID(), code)
	}
	for _, refused := range []string{"sim-secret-", "sim-token-", "WARNING: DATA RACE", "panic:"} {
		if strings.Contains(text, refused) {
			tb.Errorf("process %d has written %q", p.PID(), refused)
		}
	}
	if tb.Failed() {
		tb.Logf("process %d has written\n%s", p.PID(), shortened(text))
	}
}

// shortened leaves out the middle of a long text.
func shortened(text string) string {
	const most = 40 << 10
	if len(text) <= most {
		return text
	}
	return text[:most/2] + "\n…\n" + text[len(text)-most/2:]
}
