package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"weixin_exporter/internal/config"
)

// Serve refreshes on a timer and serves until the context ends. Faults of Weixin are
// logged and shown; a returned error names what kept the exporter from starting or going on.
func Serve(ctx context.Context, env Env, web Web, configFile string) error {
	// From the very start, because without it SIGHUP would end the program.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	load := func(ctx context.Context) (*config.Config, error) { return loadConfig(ctx, configFile) }
	cfg, err := load(ctx)
	if ctx.Err() != nil && err != nil {
		return nil // ended before it began
	}
	if err != nil {
		return inOneLine(err)
	}
	collectSooner()
	logger, slogger := env.logger()
	x := exporter{web: web, logger: logger, slogger: slogger, now: env.Now, elapsed: env.Elapsed, load: load, hangups: hangups}
	return x.run(ctx, cfg)
}

// gcPercent keeps the memory of a process with thousands of accounts near what it holds. Nearly all
// of that lives long, so that collecting garbage at a growth of 30 % instead of 100 % takes
// about 1 % of a processor under constant scraping.
const gcPercent = 30

// collectSooner sets gcPercent, unless the user has set GOGC.
func collectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// inOneLine shortens the faults of a configuration to the first.
func inOneLine(err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) < 2 {
		return err
	}
	return fmt.Errorf("%v (and %d more; weixin_exporter check shows all)", faults[0], len(faults)-1)
}
