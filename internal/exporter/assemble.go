package exporter

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"

	"weixin_exporter/collector"
	"weixin_exporter/internal/exposition"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/web"
)

// assemble makes the parts that do not depend on the configuration.
func (x *exporter) assemble(registry *prometheus.Registry, latest *snapshot.Latest, db store.Store) (http.Handler, error) {
	own := []prometheus.Collector{versioncollector.NewCollector(Program), collector.NewSummary(latest)}
	if !x.Web.DisableExporterMetrics {
		// In OpenMetrics the counter go_memstats_alloc_bytes_total is a second family of this name. The gauge
		// has the same value as go_memstats_heap_alloc_bytes.
		own = append(own, without{collectors.NewGoCollector(), "go_memstats_alloc_bytes"},
			collector.NewCached(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), time.Second, x.Now))
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
	if x.writers, err = newWriters(registry, db, db, x.Logger, x.Now, x.clock.TrustedNow); err != nil {
		return nil, err
	}
	if err := registry.Register(collector.NewClock(x.clock.Offset)); err != nil {
		return nil, err
	}
	if err := registry.Register(collector.NewStore(x.knownFault)); err != nil {
		return nil, err
	}
	if err := registry.Register(collector.NewSharing(x.sharingMetrics)); err != nil {
		return nil, err
	}
	x.clients = clients{now: x.Now, observe: x.observe, shared: x.sharedTokens(db)}
	x.refresher = refresh.New(refresh.Options{Store: db, Changes: db, Publisher: publisher{latest, x.Published}, Logger: x.Logger, Now: x.Now, TrustedNow: x.clock.TrustedNow, Sharing: db})
	x.reloading = newReloads(x.Now)
	x.prober = newProber(x.Now)
	metrics, err := exposition.New(exposition.Options{
		Source:   latest,
		Live:     registry,
		ErrorLog: slog.NewLogLogger(x.Slog.Handler(), slog.LevelError),
		Now:      x.Now,

		MaxRequests: x.Web.MaxRequests,
	})
	if err != nil {
		return nil, err
	}
	pages, err := web.NewHandler(web.Options{
		Prefix:        x.location.Prefix,
		Metrics:       metrics,
		TelemetryPath: x.Web.TelemetryPath,
		Discovery:     x.discovery(),
		Callbacks:     x.prober,
		Source:        latest,
		Config:        func() ([]byte, error) { return x.shown.Load().text() },
		Reload:        x.reloading.ask,
		Lifecycle:     x.Web.EnableLifecycle,
		Unready:       db.Fault,
		Unhealthy:     db.CheckDisk,
		Figures:       figures{db},
		Notices:       x.notices,
		Status:        func() web.Status { return x.status(registry) },
		Version:       version.Version,
		Now:           x.Now,
		Logger:        x.Logger,
	})
	if err != nil {
		return nil, err
	}
	return x.withQueries(pages, latest, db), nil
}

// publisher passes each published snapshot on to a function.
type publisher struct {
	*snapshot.Latest
	published func(*snapshot.Snapshot) // may be nil
}

// Publish implements refresh.Publisher.
func (p publisher) Publish(s *snapshot.Snapshot) {
	p.Latest.Publish(s)
	if p.published != nil {
		p.published(s)
	}
}
