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

// Serve refreshes on a timer and serves until the context ends. Failures of Weixin are logged and shown; a
// returned error says what kept the exporter from starting or made it stop.
func Serve(ctx context.Context, env Env, web exporter.Web) error {
	// First, because SIGHUP would end the program otherwise.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	load := func(ctx context.Context) (*config.Config, error) { return exporter.LoadConfig(ctx, env.ConfigFile) }
	cfg, err := load(ctx)
	if ctx.Err() != nil && err != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return config.Abridged(err)
	}
	collectSooner()
	logger, slogger := env.loggers()
	return exporter.Run(ctx, cfg, exporter.Options{
		Web: web, Logger: logger, Slog: slogger, Now: env.Now, Elapsed: env.Elapsed, Lease: env.Lease, Load: load, Hangups: hangups,
	})
}

// gcPercent limits the garbage of a process with thousands of accounts. Nearly all of its memory is long-lived,
// so that collecting at a growth of 30 % instead of 100 % takes about 1 % of a processor under constant scraping.
const gcPercent = 30

// collectSooner sets gcPercent, unless GOGC is set.
func collectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
