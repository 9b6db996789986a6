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
	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"

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
	// Callbacks probes the callback servers of accounts; nil: there are none.
	Callbacks Callbacks
	// Source is what the pages show and what readiness waits for.
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
	// Figures reads what is stored, for the charts; nil: there are none.
	Figures Figures
	// Notices returns what is wrong with the exporter as a whole; nil: nothing.
	Notices func() []Notice
	// Status returns what the exporter does now; nil: nothing is known of it.
	Status func() Status
	// Version is shown on the pages.
	Version string
	Now     func() time.Time
	Logger  log.Logger
}

const (
	homePath    = "/"
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
	switch taken := []string{sdPath, probePath, probesPath, configPath, healthPath, healthyPath, readyPath, reloadPath}; {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("the path must begin with a slash, as /metrics does; not %q", path)
	case slices.Contains(taken, path):
		return fmt.Errorf("the path %s is taken; choose another than %s", path, strings.Join(taken, ", "))
	case strings.HasPrefix(path, accountsPath), strings.HasPrefix(path, staticPath):
		return fmt.Errorf("the path %s is taken: nothing else may be below %s and %s", path, accountsPath, staticPath)
	}
	return nil
}

// NewHandler returns the handler of all paths, or an error if the telemetry path is not
// usable. With "/" as the telemetry path there is no overview.
func NewHandler(o Options) (http.Handler, error) {
	if err := CheckTelemetryPath(o.TelemetryPath); err != nil {
		return nil, err
	}
	r, err := newRenderer(o)
	if err != nil {
		return nil, err
	}
	compress, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("compressing the pages: %w", err)
	}
	turns, sent := gate.New(pages), newUnsent(maxUnsent)
	page := func(h http.HandlerFunc) http.Handler { return readOnly(r.bounded(turns, sent, compress(h))) }
	paths := map[string]http.Handler{
		homePath:    page(r.serveOverview),
		healthPath:  page(r.serveHealth),
		sdPath:      readOnly(o.Discovery),
		configPath:  page(o.serveConfig),
		healthyPath: readOnly(http.HandlerFunc(o.serveHealthy)),
		readyPath:   readOnly(http.HandlerFunc(o.serveReady)),
		reloadPath:  http.NewCrossOriginProtection().Handler(http.HandlerFunc(o.serveReload)),
	}
	if o.Callbacks != nil {
		paths[probePath], paths[probesPath] = onlyGet(http.HandlerFunc(o.Callbacks.ServeProbe)), page(r.serveProbes)
	}
	paths[o.TelemetryPath] = readOnly(o.Metrics)
	below := map[string]http.Handler{
		accountsPath: page(r.serveAccount),
		staticPath:   readOnly(inMemory(sent, compress(r.assets))),
	}
	return r.route(paths, below), nil
}

// route answers each path, and those below some, below the prefix, and redirects from the ways in to the overview.
func (r *renderer) route(paths, below map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		path, ok := strings.CutPrefix(request.URL.Path, r.Prefix)
		if ok {
			if h := handlerOf(path, paths, below); h != nil {
				h.ServeHTTP(w, request)
				return
			}
		}
		switch {
		case r.Prefix != "" && request.URL.Path == "/":
			redirect(w, strings.TrimPrefix(r.Prefix, "/")+"/")
		case r.Prefix != "" && request.URL.Path == r.Prefix:
			redirect(w, r.Prefix[strings.LastIndexByte(r.Prefix, '/')+1:]+"/")
		case ok && wantsHTML(request):
			r.fail(w, request, http.StatusNotFound, "path")
		default:
			http.NotFound(w, request)
		}
	})
}

func handlerOf(path string, paths, below map[string]http.Handler) http.Handler {
	if h, ok := paths[path]; ok {
		return h
	}
	for start, h := range below {
		if strings.HasPrefix(path, start) {
			return h
		}
	}
	return nil
}

// redirect leads to a relative URL: behind a proxy the absolute path may be another one.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", (&url.URL{Path: "./" + path}).String())
	w.WriteHeader(http.StatusFound)
}

// pages is how many pages are made at a time.
const pages = 4

// bounded lets so many requests wait for their turn to make a page, and refuses those that have to wait for long. What was
// made is sent outside the turn, so that clients that read slowly keep no one from the pages.
func (r *renderer) bounded(turns *gate.Gate, sent *unsent, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		made := newAnswer()
		if !inTurn(turns, request, func() { h.ServeHTTP(made, request) }) {
			if request.Context().Err() != nil {
				w.WriteHeader(http.StatusServiceUnavailable) // read by a client only if the exporter stops
				return
			}
			r.fail(w, request, http.StatusServiceUnavailable, "busy")
			return
		}
		sent.send(w, made)
	})
}

// inTurn calls work once it has a turn, and reports whether it had one.
func inTurn(turns *gate.Gate, request *http.Request, work func()) bool {
	if !turns.Enter(request.Context()) {
		return false
	}
	defer turns.Leave()
	work()
	return true
}

// inMemory makes responses in memory before it sends them, so that no compressor is held while a client reads.
func inMemory(sent *unsent, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		made := newAnswer()
		h.ServeHTTP(made, request)
		sent.send(w, made)
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
	_, _ = io.WriteString(w, text) // an error means that the client has gone
}
