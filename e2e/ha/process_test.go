package ha_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
)

// process is a running exporter.
type process struct {
	cmd    *exec.Cmd
	output *output
	ended  chan struct{} // closed when it has ended and all output was read
	base   string        // its URL
	killed bool          // by the test, so that it has no exit code
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

// serve starts the exporter of a member and waits until it listens.
func (m *member) serve(t *testing.T) *process {
	t.Helper()
	p := m.run(t, "--config.file="+m.config, "--web.listen-address=127.0.0.1:0")
	p.base = "http://" + p.wait(t, `address=([0-9.:]+)`)
	return p
}

// run starts the program in the place of a member. It is ended at the end of the test.
func (m *member) run(t *testing.T, args ...string) *process {
	t.Helper()
	cmd, err := exportertest.Command(m.clock, args...)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, output: &output{changed: make(chan struct{})}, ended: make(chan struct{})}
	cmd.Dir = t.TempDir()
	// By default, the race detector delays the exit of a program by a second.
	cmd.Env = append(cmd.Env, exportertest.Lease(lease), "HOME="+cmd.Dir, "TMPDIR="+cmd.Dir, "HTTP_PROXY="+m.front, "GORACE=atexit_sleep_ms=10")
	cmd.Stdout, cmd.Stderr = p.output, p.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its state says how it ended
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// wait waits until the output matches a pattern and returns its first group.
func (p *process) wait(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		text, more := p.output.read()
		if found := expression.FindStringSubmatch(text); found != nil {
			return found[1]
		}
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("the exporter has ended without %q:\n%s", pattern, text)
		case <-timer.C:
			t.Fatalf("the exporter does not write %q:\n%s", pattern, text)
		}
	}
}

// send sends a signal.
func (p *process) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("sending %v: %v", s, err)
	}
}

// kill ends the process as the failure of its machine would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.killed = true
	p.send(t, syscall.SIGKILL)
	<-p.ended
}

// stop ends the process as its operator would.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.send(t, syscall.SIGTERM)
	p.finish(t)
}

// finish waits until the process has ended.
func (p *process) finish(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		text, _ := p.output.read()
		t.Fatalf("the program does not end:\n%s", text)
	}
}

// end ends the process if it runs, at the end of the test, and examines how it ended and what it has written.
func (p *process) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have been suspended
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.ended:
		case <-timer.C:
			_ = p.cmd.Process.Kill() // it is said below
			<-p.ended
		}
	}
	text, _ := p.output.read()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && !p.killed {
		t.Errorf("process %d ended with code %d", p.cmd.Process.Pid, code)
	}
	for _, secret := range []string{"sim-secret-", "sim-token-", "WARNING: DATA RACE", "panic:"} {
		if strings.Contains(text, secret) {
			t.Errorf("process %d has written %q", p.cmd.Process.Pid, secret)
		}
	}
	if t.Failed() {
		t.Logf("process %d has written\n%s", p.cmd.Process.Pid, shortened(text))
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

// get returns the body of a page.
func (p *process) get(t *testing.T, path string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %.200s", response.StatusCode, body)
	}
	return string(body), nil
}
