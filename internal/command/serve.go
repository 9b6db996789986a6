package command

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
)

// Serve refreshes on a timer and serves until the context ends. Faults of Weixin are
// logged and shown; a returned error names what kept the exporter from starting or going on.
func Serve(ctx context.Context, env Env, web exporter.Web) error {
	// From the very start, because without it SIGHUP would end the program.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	load := func(ctx context.Context) (*config.Config, error) { return exporter.LoadConfig(ctx, env.ConfigFile) }
	cfg, err := load(ctx)
	if ctx.Err() != nil && err != nil {
		return nil // ended before it began
	}
	if err != nil {
		return config.Abridged(err)
	}
	collectSooner()
	logger, slogger := env.loggers()
	return exporter.Run(ctx, cfg, exporter.Options{
		Web: web, Logger: logger, Slog: slogger, Now: env.Now, Elapsed: env.Elapsed, Load: load, Hangups: hangups,
	})
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
