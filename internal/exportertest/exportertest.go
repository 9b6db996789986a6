// Package exportertest runs the program in processes of their own with a clock that a test hands in: the binary
// of the test executes itself, so that the released program has nothing for tests in it.
package exportertest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"weixin_exporter/internal/cli"
)

// clockVariable is the environment variable with the file of the clock in a process that is the program.
const clockVariable = "WEIXIN_EXPORTER_TEST_CLOCK"

// leaseVariable is the environment variable with cli.Options.Lease in a process that is the program.
const leaseVariable = "WEIXIN_EXPORTER_TEST_LEASE"

// Main must be called first by TestMain: in a process of Command it runs the program and does not return, and
// otherwise it does nothing.
func Main() {
	path := os.Getenv(clockVariable)
	if path == "" {
		return
	}
	clock, err := openClock(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the clock of the test:", err)
		os.Exit(cli.Fault)
	}
	lease, err := time.ParseDuration(cmp.Or(os.Getenv(leaseVariable), "0s"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the lease of the test:", err)
		os.Exit(cli.Fault)
	}
	go endWithParent()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Options{
		Stdout: os.Stdout, Stderr: os.Stderr, Now: clock.Now, Elapsed: clock.elapsed(), Lease: lease, Getenv: os.Getenv,
	}))
}

// endWithParent ends the process when the one of the test has ended, however that happened.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin) // either way the other end is closed
	fmt.Fprintln(os.Stderr, "the process of the test has ended")
	os.Exit(cli.Fault)
}

// Command returns the program with this command line and clock, which may be that of several processes. The
// caller may add to its environment, which has nothing but the clock, and starts and ends it. It ends with this
// process in any case.
func Command(clock *Clock, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...) //nolint:gosec,noctx // this program; the caller ends it
	cmd.Env = []string{clockVariable + "=" + clock.file.Name()}
	cmd.WaitDelay = time.Minute
	// Never written to; it is closed when the process has ended, or this one has.
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return cmd, nil
}

// Lease returns the element of the environment of a Command that makes other exporters wait for that long before they take
// over its accounts, rather than for the 15 seconds of the program.
func Lease(lease time.Duration) string { return leaseVariable + "=" + lease.String() }
