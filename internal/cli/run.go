package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"weixin_exporter/internal/command"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
)

// Exit codes.
const (
	Done  = 0 // or stopped by a signal
	Fault = 1 // described on stderr in one line
	Usage = 2
	Quota = 3 // a backfill can be continued when the quota of the day has been reset
)

// Options are the surroundings of the program.
type Options struct {
	Stdout, Stderr io.Writer
	Now            func() time.Time
	// Elapsed is the time that the program has been running, by a clock that cannot be set; nil derives it
	// from Now.
	Elapsed func() time.Duration
	// Lease is how long other exporters wait before they take over the accounts of one that shares a store with them and
	// does not answer; 0 is the default.
	Lease time.Duration
	// Getenv returns the variables of the locale; nil means that there are none.
	Getenv func(string) string
}

// Run runs the program with the arguments of its command line, without its name, and returns the exit code.
func Run(ctx context.Context, args []string, o Options) int {
	env := command.Env{Stdout: o.Stdout, Stderr: o.Stderr, Now: o.Now, Elapsed: o.Elapsed, Lease: o.Lease}
	run, err := newCommandLine(exporter.Program, &env).parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(o.Stderr, "%s: error: %v; see --help\n", exporter.Program, err)
		return Usage
	case run == nil:
		return Done // --help and the like
	}
	texts, err := i18n.New()
	if err != nil {
		fmt.Fprintf(o.Stderr, "%s: error: %v\n", exporter.Program, err)
		return Fault
	}
	env.Texts = texts.In(languageOf(env.Language, o.Getenv))
	if err = run(ctx); err != nil {
		fmt.Fprintf(o.Stderr, "%s\n", env.Texts.Text("cli.error", exporter.Program, err))
	}
	return codeOf(err)
}

// codeOf returns the exit code of a command that ended with the error.
func codeOf(err error) int {
	switch {
	case err == nil:
		return Done
	case errors.Is(err, exporter.ErrUsage):
		return Usage
	case errors.Is(err, command.ErrQuota):
		return Quota
	default:
		return Fault
	}
}
