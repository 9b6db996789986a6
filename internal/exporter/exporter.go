// Package exporter builds the parts of a running exporter from a configuration, connects them and runs them.
//
// Run is what serve and demo do. The other commands use single parts: RefreshConfig, CheckAccounts
// and WeixinAccounts return clients of Weixin, NewWriteClient one of remote write, LoadConfig reads the
// configuration, and Web checks the flags of serving.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"golang.org/x/sync/errgroup"

	"weixin_exporter/collector"
	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/httpserver"
	"weixin_exporter/internal/probe"
	"weixin_exporter/internal/query"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/weixin/datacube"
)

// Program is the name of the program.
const Program = "weixin_exporter"

// ErrUsage is wrapped by the errors of flags whose values are not allowed.
var ErrUsage = errors.New("wrong usage")

// Options are the surroundings of a running exporter.
type Options struct {
	Web Web
	// Logger is for the exporter, Slog for the libraries that log with log/slog.
	Logger log.Logger
	Slog   *slog.Logger
	Now    func() time.Time
	// Elapsed is the time that the program has been running, by a clock that cannot be set; nil derives it
	// from Now.
	Elapsed func() time.Duration
	// Lease is how long other exporters wait before they take over the accounts of this one if it does not answer; 0
	// means 15 seconds. It must be the same for all that share a store.
	Lease time.Duration
	// Load reads the configuration for a reload.
	Load func(context.Context) (*config.Config, error)
	// Hangups requests a reload; may be nil.
	Hangups <-chan os.Signal
	// Listening is called with each address that is served; may be nil.
	Listening func(net.Addr)
	// ProbeInterval is how often all callbacks are probed without being asked; 0 leaves that to Prometheus.
	ProbeInterval time.Duration
	// Published is called with each snapshot that is shown; may be nil.
	Published func(*snapshot.Snapshot)
}

// exporter is a running exporter.
type exporter struct {
	Options

	clock     *clock.Clock
	location  Location
	clients   clients
	writers   *writers
	refresher *refresh.Refresher
	prober    *probe.Prober
	reloads   *collector.Reloads
	requests  *collector.Requests
	reloading *reloads
	history   *query.Storage
	current   atomic.Pointer[config.Config]
	shown     atomic.Pointer[shownConfig] // current, as /config shows it
	// started is when Run was called, configured when the configuration came into force, and reloadFault why the
	// last reload failed; nil if it did not.
	started     time.Time
	configured  atomic.Pointer[time.Time]
	reloadFault atomic.Pointer[reloadFault]
	calls       calls
	// sharing divides the accounts among the exporters that share the store.
	sharing  store.Sharing
	division division
	// reclaim requests that slots are renewed and claimed at once, since the accounts have changed.
	reclaim chan struct{}
	// storeFault is what the last call of recoverStore has found.
	storeFault atomic.Pointer[error]
}

// Run serves with the configuration until the context ends. Failures of Weixin are logged and shown; a
// returned error says what kept the exporter from starting or made it stop.
func Run(ctx context.Context, cfg *config.Config, o Options) error {
	x := exporter{Options: o, started: o.Now(), reclaim: make(chan struct{}, 1), division: division{logger: o.Logger}}
	return x.run(ctx, cfg)
}

// run checks what can be checked before the store is opened.
func (x *exporter) run(ctx context.Context, cfg *config.Config) error {
	if now := x.Now(); datacube.DateOf(now) <= datacube.FirstDate {
		return fmt.Errorf("the clock of this host says %s, but Weixin's statistics begin at %s: set the clock", now.UTC().Format(time.RFC3339), datacube.FirstDate)
	}
	var err error
	if x.location, err = x.Web.Location(); err != nil {
		return err
	}
	if err := x.Web.CheckConfigFile(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped before it began
		}
		return err
	}
	level.Info(x.Logger).Log("msg", "starting "+Program, "version", version.Info(), "build", version.BuildContext())
	return withinStopTime(ctx, func() error { return x.open(ctx, cfg) })
}

// open serves with the store of a configuration.
func (x *exporter) open(ctx context.Context, cfg *config.Config) error {
	db, err := engine.Serve(ctx, cfg.Store, engine.ServeOptions{Now: x.Now, Lease: x.Lease})
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped before it began
		}
		return err
	}
	return x.use(ctx, cfg, db)
}

// use serves with an open store and closes it.
func (x *exporter) use(ctx context.Context, cfg *config.Config, db store.Store) error {
	var err error
	if x.clock, err = NewClock(ctx, db, x.Logger, x.Now, x.Elapsed); err == nil {
		err = x.serve(ctx, cfg, db)
	}
	level.Info(x.Logger).Log("msg", "stopped")
	_, _ = x.recoverStore(ctx, db) // it has logged what failed
	if closed := db.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("closing the store: %w", closed))
	}
	return err
}

// serve runs the parts until the context ends or one of them fails.
func (x *exporter) serve(ctx context.Context, cfg *config.Config, db store.Store) error {
	x.sharing = db
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
	x.want(cfg)
	if err := x.renewSlots(ctx); err != nil && ctx.Err() == nil {
		x.division.failed(err)
	}

	parts, ctx := errgroup.WithContext(ctx)
	server := httpserver.New(ctx, httpserver.Options{
		Handler:   handler,
		ErrorLog:  slog.NewLogLogger(x.Slog.Handler(), slog.LevelWarn),
		Now:       x.Now,
		Listening: x.Listening,

		ResponseTimeout: x.Web.Query.Timeout + responseMargin,
	})
	parts.Go(func() error { return x.refresher.Run(ctx, clients.refresh) })
	parts.Go(func() error { x.clock.Run(ctx, db); return nil })
	parts.Go(func() error { x.keepStore(ctx, db); return nil })
	parts.Go(func() error { x.writers.group.Run(ctx, writers.endpoints); return nil })
	parts.Go(func() error {
		switch err := x.listenAndServe(ctx, server); {
		case errors.Is(err, http.ErrServerClosed):
			return nil
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("%w: end the other program, or choose another port with --web.listen-address", err)
		default:
			return fmt.Errorf("--web.listen-address=%s: %w", strings.Join(*x.Web.Toolkit.WebListenAddresses, " "), err)
		}
	})
	parts.Go(func() error { x.keepProbing(ctx); return nil })
	parts.Go(func() error { return x.drain(ctx, server) })
	parts.Go(func() error { x.reloading.run(ctx, x.reload); return nil })
	parts.Go(func() error { x.reloadOnSignal(ctx); return nil })
	return parts.Wait()
}

// drain stops the server when the context ends: running requests are completed, new ones are refused.
func (x *exporter) drain(ctx context.Context, server *httpserver.Server) error {
	<-ctx.Done()
	level.Info(x.Logger).Log("msg", "stopping; running requests may end")
	if err := server.Drain(ctx); err != nil {
		level.Warn(x.Logger).Log("msg", "some requests were cut off", "err", err)
	}
	return nil
}
