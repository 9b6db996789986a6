// Package clitest runs the program within the process of a test.
package clitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/exportertest"
)

// Outcome is the result of a program that has ended.
type Outcome struct {
	Code           int
	Stdout, Stderr string
}

// Finish runs the program to its end. A check tries the port to listen on, so it gets a free one.
func Finish(t *testing.T, now func() time.Time, args ...string) Outcome {
	t.Helper()
	if args[0] == "check" {
		args = append([]string{"--web.listen-address=127.0.0.1:0"}, args...)
	}
	var stdout, stderr bytes.Buffer
	code := cli.Run(t.Context(), args, cli.Options{Stdout: &stdout, Stderr: &stderr, Now: now})
	t.Logf("weixin_exporter %q\n%s%s", args, &stdout, &stderr)
	return Outcome{code, stdout.String(), stderr.String()}
}

// WriteConfig writes a configuration to a file of its own and returns its path.
func WriteConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Program is a running program.
type Program struct {
	// Base is the URL of the program without a path.
	Base   string
	Output *Output
	// Stop stops the program and returns the exit code.
	Stop func() int

	t *testing.T
}

// Output is what a program has written.
type Output struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{}
	t     *testing.T
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	fmt.Fprintf(o.t.Output(), "%s", p)
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return len(p), nil
}

// Wait waits until the output matches the pattern and returns the submatches.
func (o *Output) Wait(pattern string) []string {
	o.t.Helper()
	expression := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(o.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		o.mu.Lock()
		found := expression.FindStringSubmatch(o.text.String())
		o.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-o.grown:
		case <-ctx.Done():
			o.t.Fatalf("no line %q", pattern)
		}
	}
}

// Start runs the program on a free port until Stop is called or the test ends.
func Start(t *testing.T, args ...string) *Program {
	t.Helper()
	return StartAt(t, time.Now, args...)
}

// StartAt is Start with another clock.
func StartAt(t *testing.T, now func() time.Time, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, Output: &Output{t: t, grown: make(chan struct{}, 1)}}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		o := cli.Options{Stdout: p.Output, Stderr: p.Output, Now: now}
		code <- cli.Run(ctx, append(args, "--web.listen-address=127.0.0.1:0"), o)
	}()
	p.Stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { p.Stop() })
	p.Base = "http://" + p.Output.Wait(`msg="?Listening on"? address=(\S+)`)[1]
	return p
}

// Request returns the status and body of a response.
func (p *Program) Request(method, path string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.Base+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

var errNotShown = errors.New("not shown yet")

// Shows waits until the metrics match a pattern and reports whether they do: while calls are in flight, a
// snapshot follows a line of the log after a moment.
func (p *Program) Shows(pattern string) (string, bool) {
	p.t.Helper()
	want := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute) // only a slow machine comes near it
	defer cancel()
	var metrics string
	err := exportertest.Poll(ctx, func() error {
		if _, metrics = p.Request("GET", "/metrics"); !want.MatchString(metrics) {
			return errNotShown
		}
		return nil
	})
	return metrics, err == nil
}
