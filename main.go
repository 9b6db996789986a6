// Weixin_exporter is a Prometheus exporter for the interface statistics of Weixin Official
// Accounts: how often Weixin called an account's server, how often that failed, and how
// long it took.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/common/version"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/command"
	"weixin_exporter/internal/exporter"
)

// Exit codes.
const (
	done  = 0 // or stopped by a signal
	fault = 1 // named on stderr in one line
	usage = 2
	quota = 3 // a backfill goes on when the day's quota is there again
)

const name = "weixin_exporter"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	version.Version = buildVersion(version.Version, debug.ReadBuildInfo)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now))
}

// run is the program with its surroundings handed in; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, now func() time.Time) int {
	began := time.Now()
	env := command.Env{Stdout: stdout, Stderr: stderr, Now: now, Elapsed: func() time.Duration { return time.Since(began) }}
	chosen, err := cli.New(name, &env).Parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: error: %v; see --help\n", name, err)
		return usage
	case chosen == nil:
		return done // --help and the like
	}
	if err = chosen(ctx); err != nil {
		fmt.Fprintf(stderr, "%s: error: %v\n", name, err)
	}
	return codeOf(err)
}

// codeOf returns the exit code of a command that ended with the error.
func codeOf(err error) int {
	switch {
	case err == nil:
		return done
	case errors.Is(err, exporter.ErrUsage):
		return usage
	case errors.Is(err, command.ErrQuota):
		return quota
	default:
		return fault
	}
}

// buildVersion returns the version that the linker was told or, without one, that of the module: what
// was built with "go build", "go run" or "go install" says what it is, too.
func buildVersion(stamped string, read func() (*debug.BuildInfo, bool)) string {
	info, ok := read()
	if stamped != "" || !ok {
		return cmp.Or(stamped, "unknown")
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return "devel"
	}
	revision = revision[:min(len(revision), 12)]
	if settings["vcs.modified"] == "true" {
		revision += "-dirty"
	}
	return revision
}
