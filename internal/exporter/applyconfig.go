package exporter

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/text"
)

// shownConfig is a configuration without its secrets. Its text is made only once, because that of many accounts
// takes time and memory.
type shownConfig struct{ text func() ([]byte, error) }

// loaded logs and records the configuration that is now in use.
func (x *exporter) loaded(cfg *config.Config) {
	for _, warning := range cfg.Warnings() {
		level.Warn(x.Logger).Log("msg", "configuration", "warning", warning)
	}
	if faults := cfg.AccountFaults(); len(faults) > 0 {
		names := make([]string, len(faults))
		for i, f := range faults {
			names[i] = f.Account
		}
		level.Error(x.Logger).Log("msg", "files of accounts cannot be used; all other accounts run, and each of these as soon as its file is fixed",
			"accounts", text.List(names), "faults", len(faults), "first", faults[0].Fault)
	}
	if cfg.Weixin.Quota {
		x.requests.Expect("quota")
	}
	x.prober.ApplyConfig(probeAccounts(cfg))
	x.current.Store(cfg)
	x.shown.Store(&shownConfig{sync.OnceValues(cfg.Marshal)})
	x.reloads.Succeeded(x.Now())
	x.configured.Store(new(x.Now()))
	x.reloadFault.Store(nil)
}

// reload reads the configuration and applies it; if it has a fault, nothing changes.
func (x *exporter) reload(ctx context.Context) error {
	err := x.tryReload(ctx)
	if err != nil {
		x.reloads.Failed()
		x.reloadFault.Store(&reloadFault{config.Abridged(err).Error(), x.Now()})
		level.Error(x.Logger).Log("msg", "the configuration was not reloaded; the former one is still used", "err", config.Abridged(err))
	}
	return err
}

func (x *exporter) tryReload(ctx context.Context) error {
	cfg, err := x.Load(ctx)
	if err != nil {
		return err
	}
	if former := x.current.Load(); !cfg.Store.Same(former.Store) {
		return fmt.Errorf("%s cannot change from %q to %q while running: restart %s", cfg.Store.Key(), former.Store.Place(), cfg.Store.Place(), Program)
	}
	clients, err := x.clients.build(cfg)
	if err != nil {
		return err
	}
	writers, err := x.writers.build(cfg)
	if err != nil {
		return err
	}
	// The refresher reads the store, which can fail; then nothing has changed. The rest cannot fail.
	if err := x.refresher.ApplyConfig(ctx, clients.refresh); err != nil {
		return err
	}
	x.clients.ApplyConfig(clients)
	x.writers.ApplyConfig(writers)
	x.want(cfg)
	select {
	case x.reclaim <- struct{}{}:
	default: // it was requested
	}
	x.loaded(cfg)
	level.Info(x.Logger).Log("msg", "the configuration was reloaded", "accounts", len(cfg.Accounts))
	return nil
}

// reloadOnSignal reloads at each SIGHUP until the context ends.
func (x *exporter) reloadOnSignal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.Hangups:
			_ = x.reloading.ask(ctx) // an error has been logged
		}
	}
}
