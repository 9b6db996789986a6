package command

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

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
	logger, slogger := env.loggers()
	collectSooner()
	limitMemory(logger)
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

// memoryShare is the part of a container's memory that Go's runtime may have. SQLite's pages and the program itself are in the
// rest.
const memoryShare = 0.8

// limitMemory has garbage collected sooner as the memory comes near the limit of the process's control group, unless GOMEMLIMIT is
// set. Otherwise the kernel could end an exporter that uses less than its limit, but for its garbage.
func limitMemory(logger log.Logger) {
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		level.Warn(logger).Log("msg", "the memory limit of the control group is not known; GOMEMLIMIT can state one", "err", err)
	}
}
