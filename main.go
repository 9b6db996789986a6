// Weixin_exporter is a Prometheus exporter for the interface statistics of Weixin Official
// Accounts: how often Weixin called an account's server, how often that failed, and how
// long it took.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"weixin_exporter/command"
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
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now))
}

// run is the program with its surroundings handed in; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, now func() time.Time) int {
	app := kingpin.New(name, "Prometheus exporter for the interface statistics of Weixin Official Accounts.").
		DefaultEnvars().UsageWriter(stdout).ErrorWriter(stderr)
	app.HelpFlag.Short('h').NoEnvar()
	app.Version(version.Print(name)).VersionFlag.NoEnvar()
	answered := false // by --help or --version
	app.Terminate(func(int) { answered = true })

	began := time.Now()
	env := command.Env{Stdout: stdout, Stderr: stderr, Now: now, Elapsed: func() time.Duration { return time.Since(began) }}
	app.Flag("log.level", "Only log messages of this severity or above: debug, info, warn or error.").
		Default("info").EnumVar(&env.LogLevel, "debug", "info", "warn", "error")
	app.Flag("log.format", "Form of the log: logfmt or json.").
		Default("logfmt").EnumVar(&env.LogFormat, "logfmt", "json")

	commands := declare(app, &env)

	chosen, err := app.Parse(args)
	switch {
	case answered:
		return done
	case err != nil:
		fmt.Fprintf(stderr, "%s: error: %v; see --help\n", name, err)
		return usage
	}
	if err = commands[chosen](ctx); err != nil {
		fmt.Fprintf(stderr, "%s: error: %v\n", name, err)
	}
	return codeOf(err)
}

// codeOf returns the exit code of a command that ended with the error.
func codeOf(err error) int {
	switch {
	case err == nil:
		return done
	case errors.Is(err, command.ErrUsage):
		return usage
	case errors.Is(err, command.ErrQuota):
		return quota
	default:
		return fault
	}
}
