package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"weixin_exporter/config"
)

// Serve refreshes on a timer and serves until the context ends. Faults of Weixin are
// logged and shown; a returned error names what kept the exporter from starting or going on.
func Serve(ctx context.Context, env Env, web Web, configFile string) error {
	// From the very start, because without it SIGHUP would end the program.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	load := func() (*config.Config, error) { return config.Load(configFile) }
	cfg, err := load()
	if err != nil {
		return inOneLine(err)
	}
	logger, slogger := env.logger()
	x := exporter{web: web, logger: logger, slogger: slogger, now: env.Now, elapsed: env.Elapsed, load: load, hangups: hangups}
	return x.run(ctx, cfg)
}

// inOneLine shortens the faults of a configuration to the first.
func inOneLine(err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) < 2 {
		return err
	}
	return fmt.Errorf("%v (and %d more; weixin_exporter check shows all)", faults[0], len(faults)-1)
}
