package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"weixin_exporter/collector"
	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exposition"
	"weixin_exporter/internal/httpserver"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin/datacube"
)

const program = "weixin_exporter"

// exporter is the running whole, for serve and demo.
type exporter struct {
	web     Web
	logger  log.Logger
	slogger *slog.Logger
	now     func() time.Time
	elapsed func() time.Duration
	// load reads the configuration again.
	load func(context.Context) (*config.Config, error)
	// hangups asks for a reload; may be nil.
	hangups <-chan os.Signal
	// listening is told each address that is served; may be nil.
	listening func(net.Addr)

	clock     *clock.Clock
	location  location
	clients   clients
	writers   *writers
	refresher *refresh.Refresher
	reloads   *collector.Reloads
	requests  *collector.Requests
	current   atomic.Pointer[config.Config]
	// storeFault is what was last logged of the store.
	storeFault string
	shown      atomic.Pointer[shownConfig] // current, as /config shows it
	reloading  *reloads
	// published is told each snapshot that is shown; may be nil.
	published func(*snapshot.Snapshot)
}

// run serves with the configuration until the context ends.
func (x *exporter) run(ctx context.Context, cfg *config.Config) error {
	if now := x.now(); datacube.DateOf(now) <= datacube.FirstDate {
		return fmt.Errorf("the clock of this host says %s, but Weixin's statistics begin at %s: set the clock", now.UTC().Format(time.RFC3339), datacube.FirstDate)
	}
	var err error
	if x.location, err = x.web.location(); err != nil {
		return err
	}
	if err := x.web.checkWebConfig(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ended before it began
		}
		return err
	}
	level.Info(x.logger).Log("msg", "starting "+program, "version", version.Info(), "build", version.BuildContext())
	held, err := store.TakeLock(cfg.Store.Path, x.now())
	if err != nil {
		return err
	}
	return x.open(ctx, cfg, held)
}

// open serves with the store of the configuration, whose lock it releases at the end.
func (x *exporter) open(ctx context.Context, cfg *config.Config, held *store.Lock) error {
	db, err := store.Open(ctx, cfg.Store.Path, store.Options{Lock: held})
	if err != nil {
		released := held.Release()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ended before it began
		}
		return errors.Join(err, released)
	}
	return x.unlessItHangs(ctx, db, func() error {
		return errors.Join(x.use(ctx, cfg, db), held.Release())
	})
}

// use serves with an open store, and closes it.
func (x *exporter) use(ctx context.Context, cfg *config.Config, db *store.Store) error {
	var err error
	if x.clock, err = newClock(ctx, db, x.logger, x.now, x.elapsed); err == nil {
		err = x.serve(ctx, cfg, db)
	}
	level.Info(x.logger).Log("msg", "stopped")
	x.mend(ctx, db)
	if closed := db.Close(); closed != nil { //nolint:contextcheck // the store outlives the context
		err = errors.Join(err, fmt.Errorf("closing the store: %w", closed))
	}
	return err
}

// serve runs the parts until the context ends or one of them fails.
func (x *exporter) serve(ctx context.Context, cfg *config.Config, db *store.Store) error {
	latest := snapshot.NewLatest()
	registry := prometheus.NewRegistry()
	handler, err := x.assemble(registry, latest, db)
	if err != nil {
		return err
	}
	clients, err := x.clients.build(cfg)
	if err != nil {
		return err
	}
	writers, err := x.writers.build(cfg)
	if err != nil {
		return err
	}
	x.clients.ApplyConfig(clients)
	x.writers.keep(writers)
	x.loaded(cfg)

	parts, ctx := errgroup.WithContext(ctx)
	server := httpserver.New(ctx, httpserver.Options{
		Handler:   handler,
		ErrorLog:  slog.NewLogLogger(x.slogger.Handler(), slog.LevelWarn),
		Now:       x.now,
		Listening: x.listening,
	})
	parts.Go(func() error { return x.refresher.Run(ctx, clients.refresh) })
	parts.Go(func() error { x.clock.Run(ctx, db); return nil })
	parts.Go(func() error { x.keepMending(ctx, db); return nil })
	parts.Go(func() error { x.writers.group.Run(ctx, writers.endpoints); return nil })
	parts.Go(func() error {
		switch err := toolkit.ListenAndServe(server.Server, x.web.Toolkit, x.slogger); {
		case errors.Is(err, http.ErrServerClosed):
			return nil
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%w: end the other program, or choose another port with --web.listen-address", err)
		default:
			return fmt.Errorf("--web.listen-address=%s: %w", strings.Join(*x.web.Toolkit.WebListenAddresses, " "), err)
		}
	})
	parts.Go(func() error { return x.drain(ctx, server) })
	parts.Go(func() error { x.reloading.run(ctx, x.reload); return nil })
	parts.Go(func() error { x.reloadOnSignal(ctx); return nil })
	return parts.Wait()
}

// assemble makes the parts that do not depend on the configuration.
func (x *exporter) assemble(registry *prometheus.Registry, latest *snapshot.Latest, db *store.Store) (http.Handler, error) {
	own := []prometheus.Collector{versioncollector.NewCollector(program), collector.NewSummary(latest)}
	if !x.web.DisableExporterMetrics {
		// OpenMetrics takes the counter go_memstats_alloc_bytes_total for a second family of this name.
		// The gauge is the same as go_memstats_heap_alloc_bytes.
		own = append(own, without{collectors.NewGoCollector(), "go_memstats_alloc_bytes"},
			collector.NewCached(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), time.Second, x.now))
	}
	for _, c := range own {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	var err error
	if x.requests, err = collector.NewRequests(registry); err != nil {
		return nil, err
	}
	if x.reloads, err = collector.NewReloads(registry); err != nil {
		return nil, err
	}
	if x.writers, err = newWriters(registry, db, x.logger, x.now, x.clock.TrustedNow); err != nil {
		return nil, err
	}
	if err := registry.Register(collector.NewClock(x.clock.Offset)); err != nil {
		return nil, err
	}
	if err := registry.Register(collector.NewStore(db.Fault)); err != nil {
		return nil, err
	}
	x.clients = clients{now: x.now, observe: x.observe}
	x.refresher = refresh.New(refresh.Options{Store: db, Changes: db, Publisher: observed{latest, x.published}, Logger: x.logger, Now: x.now, Believed: x.clock.TrustedNow})
	x.reloading = newReloads()
	metrics, err := exposition.New(exposition.Options{
		Source:   latest,
		Live:     registry,
		ErrorLog: slog.NewLogLogger(x.slogger.Handler(), slog.LevelError),
		Now:      x.now,

		MaxRequests: x.web.MaxRequests,
	})
	if err != nil {
		return nil, err
	}
	return web.NewHandler(web.Options{
		Prefix:        x.location.prefix,
		Metrics:       metrics,
		TelemetryPath: x.web.TelemetryPath,
		Discovery:     exposition.Discovery(x.location.metrics),
		Source:        latest,
		Config:        func() ([]byte, error) { return x.shown.Load().text() },
		Reload:        x.reloading.ask,
		Lifecycle:     x.web.EnableLifecycle,
		Unready:       db.Fault,
		Unhealthy:     db.CheckDisk,
		Notices:       func() []web.Notice { return x.notices(db) },
		Version:       version.Version,
		Now:           x.now,
		Logger:        x.logger,
	})
}

// drain ends the server with the context: running requests may end, new ones are refused.
func (x *exporter) drain(ctx context.Context, server *httpserver.Server) error {
	<-ctx.Done()
	level.Info(x.logger).Log("msg", "stopping; running requests may end")
	if err := server.Drain(ctx); err != nil {
		level.Warn(x.logger).Log("msg", "some requests were cut off", "err", err)
	}
	return nil
}

// shownConfig is a configuration without its secrets. Its text is made once for all who ask: that of
// many accounts takes its time and memory.
type shownConfig struct{ text func() ([]byte, error) }

// loaded notes the configuration that is in force.
func (x *exporter) loaded(cfg *config.Config) {
	for _, warning := range cfg.Warnings() {
		level.Warn(x.logger).Log("msg", "configuration", "warning", warning)
	}
	if faults := cfg.AccountFaults(); len(faults) > 0 {
		names := make([]string, len(faults))
		for i, f := range faults {
			names[i] = f.Account
		}
		level.Error(x.logger).Log("msg", "files of accounts cannot be used; all other accounts run, and each of these as soon as its file is mended",
			"accounts", few(names), "faults", len(faults), "first", faults[0].Fault)
	}
	if cfg.Weixin.Quota {
		x.requests.Expect("quota")
	}
	x.current.Store(cfg)
	x.shown.Store(&shownConfig{sync.OnceValues(cfg.Marshal)})
	x.reloads.Succeeded(x.now())
}

// reload reads the configuration and brings it into force; if anything is wrong with it,
// nothing changes.
func (x *exporter) reload(ctx context.Context) error {
	err := x.tryReload(ctx)
	if err != nil {
		x.reloads.Failed()
		level.Error(x.logger).Log("msg", "the configuration was not reloaded; the former one stays in force", "err", inOneLine(err))
	}
	return err
}

func (x *exporter) tryReload(ctx context.Context) error {
	cfg, err := x.load(ctx)
	if err != nil {
		return err
	}
	if former := x.current.Load(); cfg.Store.Path != former.Store.Path {
		return fmt.Errorf("store.path cannot change from %q to %q while running: restart %s", former.Store.Path, cfg.Store.Path, program)
	}
	clients, err := x.clients.build(cfg)
	if err != nil {
		return err
	}
	writers, err := x.writers.build(cfg)
	if err != nil {
		return err
	}
	// The refresher reads the store, which can fail and then changes nothing. What follows cannot fail.
	if err := x.refresher.ApplyConfig(ctx, clients.refresh); err != nil {
		return err
	}
	x.clients.ApplyConfig(clients)
	x.writers.ApplyConfig(writers)
	x.loaded(cfg)
	level.Info(x.logger).Log("msg", "the configuration was reloaded", "accounts", len(cfg.Accounts))
	return nil
}

// reloadOnSignal reloads at each SIGHUP until the context ends.
func (x *exporter) reloadOnSignal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.hangups:
			_ = x.reloading.ask(ctx) // what is wrong has been logged
		}
	}
}
