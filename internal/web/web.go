// Package web is the HTTP surface of the exporter.
package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/gate"
	"weixin_exporter/internal/snapshot"
)

// Source has the latest snapshot; *snapshot.Latest is one.
type Source interface {
	// Latest returns nil while there is none.
	Load() *snapshot.Snapshot
}

// Options are the parts behind the surface.
type Options struct {
	// Prefix stands before all paths: "" or one such as "/weixin".
	Prefix string
	// Metrics answers at TelemetryPath.
	Metrics       http.Handler
	TelemetryPath string
	// Discovery answers Prometheus' HTTP service discovery.
	Discovery http.Handler
	// Probe probes the callback of an account, and Probes shows what was found lately; nil where there is neither.
	Probe, Probes http.Handler
	// Source is what the landing page shows and what readiness waits for.
	Source Source
	// Config returns the configuration in force as YAML, without any secret.
	Config func() ([]byte, error)
	// Reload brings the configuration file into force; its error names what is wrong.
	Reload func(context.Context) error
	// Lifecycle allows to reload over HTTP.
	Lifecycle bool
	// Unready and Unhealthy return why the store cannot be used, and why it would not even answer; nil
	// if there is nothing, and nil functions if there never is.
	Unready, Unhealthy func() error
	// Notices returns what is wrong with the exporter as a whole, for the landing page; nil: nothing.
	Notices func() []Notice
	// Version is shown on the landing page.
	Version string
	Now     func() time.Time
	Logger  log.Logger
}

// Notice is something that is wrong, and what to do about it.
type Notice struct{ Text, Advice string }

const (
	landingPath = "/"
	sdPath      = "/sd"
	probePath   = "/probe"
	probesPath  = "/probes"
	configPath  = "/config"
	healthyPath = "/-/healthy"
	readyPath   = "/-/ready"
	reloadPath  = "/-/reload"
)

// CheckTelemetryPath returns an error that says what is allowed if the metrics cannot be served there.
func CheckTelemetryPath(path string) error {
	switch taken := []string{sdPath, probePath, probesPath, configPath, healthyPath, readyPath, reloadPath}; {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("the path must begin with a slash, as /metrics does; not %q", path)
	case slices.Contains(taken, path):
		return fmt.Errorf("the path %s is taken; choose another than %s", path, strings.Join(taken, ", "))
	}
	return nil
}

// NewHandler returns the handler of all paths, or an error if the telemetry path is not
// usable. With "/" as the telemetry path there is no landing page.
func NewHandler(o Options) (http.Handler, error) {
	if err := CheckTelemetryPath(o.TelemetryPath); err != nil {
		return nil, err
	}
	page, err := newLanding(o)
	if err != nil {
		return nil, err
	}
	paths := map[string]http.Handler{
		landingPath: readOnly(bounded(page)),
		sdPath:      readOnly(o.Discovery),
		configPath:  readOnly(bounded(http.HandlerFunc(o.serveConfig))),
		healthyPath: readOnly(http.HandlerFunc(o.serveHealthy)),
		readyPath:   readOnly(http.HandlerFunc(o.serveReady)),
		reloadPath:  http.NewCrossOriginProtection().Handler(http.HandlerFunc(o.serveReload)),
	}
	if o.Probe != nil {
		paths[probePath], paths[probesPath] = onlyGet(o.Probe), readOnly(bounded(o.Probes))
	}
	paths[o.TelemetryPath] = readOnly(o.Metrics)
	return o.route(paths), nil
}

// route answers each path below the prefix, and leads from the ways in to the landing page.
func (o Options) route(paths map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, below := strings.CutPrefix(r.URL.Path, o.Prefix)
		h, ok := paths[path]
		switch {
		case below && ok:
			h.ServeHTTP(w, r)
		case o.Prefix != "" && r.URL.Path == "/":
			redirect(w, strings.TrimPrefix(o.Prefix, "/")+"/")
		case o.Prefix != "" && r.URL.Path == o.Prefix:
			redirect(w, o.Prefix[strings.LastIndexByte(o.Prefix, '/')+1:]+"/")
		default:
			http.NotFound(w, r)
		}
	})
}

// redirect leads to a relative URL: behind a proxy the absolute path may be another one.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", (&url.URL{Path: "./" + path}).String())
	w.WriteHeader(http.StatusFound)
}

// pages is how many requests of a page are answered at a time: the text of a page is in memory until
// it is sent, and with thousands of accounts it has megabytes.
const pages = 4

// bounded lets so many requests wait for their turn, and refuses those that have to wait for long.
func bounded(h http.Handler) http.Handler {
	turns := gate.New(pages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !turns.Enter(r.Context()) {
			http.Error(w, "Too many requests of this page are being answered; try again later.", http.StatusServiceUnavailable)
			return
		}
		defer turns.Leave()
		h.ServeHTTP(w, r)
	})
}

// onlyGet answers other methods than GET with 405: a request that asks for the headers alone would probe, too.
func onlyGet(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "Only GET is answered here.", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// readOnly answers other methods than GET and HEAD with 405.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Only GET and HEAD are answered here.", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (o Options) serveHealthy(w http.ResponseWriter, _ *http.Request) {
	if o.Unhealthy != nil {
		if err := o.Unhealthy(); err != nil {
			http.Error(w, fmt.Sprintf("weixin_exporter is not healthy: %v.", err), http.StatusServiceUnavailable)
			return
		}
	}
	say(w, "weixin_exporter is healthy.\n")
}

// serveReady depends on the store alone: the first snapshot is made from it. Whether Weixin
// answers does not matter.
func (o Options) serveReady(w http.ResponseWriter, _ *http.Request) {
	if o.Source.Load() == nil {
		http.Error(w, "weixin_exporter is not ready: the store is being read.", http.StatusServiceUnavailable)
		return
	}
	if o.Unready != nil {
		if err := o.Unready(); err != nil {
			http.Error(w, fmt.Sprintf("weixin_exporter is not ready: %v.", err), http.StatusServiceUnavailable)
			return
		}
	}
	say(w, "weixin_exporter is ready.\n")
}

func (o Options) serveConfig(w http.ResponseWriter, _ *http.Request) {
	text, err := o.Config()
	if err != nil {
		level.Error(o.Logger).Log("msg", "cannot show the configuration", "err", err)
		http.Error(w, "The configuration cannot be shown; see the log.", http.StatusInternalServerError)
		return
	}
	say(w, string(text))
}

func (o Options) serveReload(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "To reload the configuration, send a POST request.", http.StatusMethodNotAllowed)
		return
	}
	if !o.Lifecycle {
		http.Error(w, "Reloading over HTTP is off; start weixin_exporter with --web.enable-lifecycle, or send it SIGHUP.", http.StatusForbidden)
		return
	}
	if err := o.Reload(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("The configuration was not reloaded, the former one stays in force:\n%v", err), http.StatusInternalServerError)
		return
	}
	say(w, "The configuration was reloaded.\n")
}

func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, text) // whoever asked is gone: nothing to be done
}
