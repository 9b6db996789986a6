package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"weixin_exporter/internal/compress"
	"weixin_exporter/internal/gate"
)

const (
	// Path is what the paths of the API begin with.
	Path = "/api/v1/"

	// subqueryStep is the default step of subqueries: the default evaluation interval of Prometheus.
	subqueryStep = time.Minute
	// maxForm limits the body of a request, in bytes.
	maxForm = 1 << 20
)

// Limits are the limits of queries. All are above 0.
type Limits struct {
	Timeout time.Duration
	// MaxSamples limits the samples that all queries together have in memory, 16 bytes each.
	MaxSamples     int
	MaxConcurrency int
	LookbackDelta  time.Duration
}

// APIOptions are the options of an API.
type APIOptions struct {
	Storage *Storage
	Limits  Limits
	Build   Build
	Now     func() time.Time
	Logger  *slog.Logger
}

// Build describes the program for status/buildinfo.
type Build struct {
	Application string `json:"application"`
	Version     string `json:"version"`
	Revision    string `json:"revision"`
	Branch      string `json:"branch"`
	BuildUser   string `json:"buildUser"`
	BuildDate   string `json:"buildDate"`
	GoVersion   string `json:"goVersion"`
}

// API is the querying part of Prometheus' HTTP API. It is an http.Handler for all paths below Path.
type API struct {
	storage *Storage
	limits  Limits
	build   Build
	now     func() time.Time
	logger  *slog.Logger

	engine  *promql.Engine
	parser  parser.Parser
	limiter *limiter
	mux     *http.ServeMux

	requests *gate.Gate
	room     room

	compressors compress.Pool
}

// NewAPI returns the API.
func NewAPI(o APIOptions) *API {
	p := parser.NewParser(parser.Options{})
	a := &API{
		storage: o.Storage, limits: o.Limits, build: o.Build, now: o.Now, logger: o.Logger,
		parser:  p,
		limiter: newLimiter(o.Limits.MaxConcurrency, o.Limits.MaxSamples),

		requests: gate.New(maxRequests),
		room:     newRoom(),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger:                   o.Logger,
			MaxSamples:               o.Limits.MaxSamples,
			Timeout:                  o.Limits.Timeout,
			LookbackDelta:            o.Limits.LookbackDelta,
			NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			Parser:                   p,
		}),
	}
	a.mux = a.routes()
	return a
}

// answer is what an endpoint returns.
type answer struct {
	// data is encoded as JSON unless write is set, which then writes it.
	data     any
	write    func(*encoder)
	warnings annotations.Annotations
	// release is called after the answer is written; may be nil.
	release func()
}

func (a *answer) done() {
	if a.release != nil {
		a.release()
	}
}

type endpoint func(context.Context, *request) (answer, error)

// routes returns the table of the endpoints.
func (a *API) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range []struct {
		path string
		post bool // by POST, too
		do   endpoint
	}{
		{"query", true, a.instant},
		{"query_range", true, a.queryRange},
		{"query_exemplars", true, a.exemplars},
		{"format_query", true, a.format},
		{"parse_query", true, a.parse},
		{"series", true, a.series},
		{"labels", true, a.labelNames},
		{"label/{name}/values", false, a.labelValues},
		{"metadata", false, a.metadata},
		{"rules", false, fixed(map[string]any{"groups": []any{}})},
		{"alerts", false, fixed(map[string]any{"alerts": []any{}})},
		{"status/buildinfo", false, fixed(a.build)},
	} {
		handler, methods := a.handler(e.do), "GET"
		mux.Handle("GET "+Path+e.path, handler)
		if e.post {
			mux.Handle("POST "+Path+e.path, handler)
			methods = "GET, POST"
		}
		mux.HandleFunc(Path+e.path, onlyBy(methods))
	}
	mux.HandleFunc("POST "+Path+"read", a.read)
	mux.HandleFunc(Path+"read", onlyBy("POST"))
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, &apiError{notFound, fmt.Errorf("%s does not exist: the exporter only has the endpoints of Prometheus that query", r.URL.Path)})
	})
	return mux
}

// onlyBy rejects requests with other methods than these.
func onlyBy(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", methods)
		http.Error(w, "Only "+methods+" is answered here.", http.StatusMethodNotAllowed)
	}
}

// fixed returns an endpoint with a constant answer.
func fixed(data any) endpoint {
	return func(context.Context, *request) (answer, error) { return answer{data: data}, nil }
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	release, err := a.takeBody(w, r)
	defer release()
	switch {
	case errors.Is(err, errBusy), err == nil && !a.requests.Enter(r.Context()):
		a.refuse(w, errBusy)
	case err != nil:
		a.refuse(w, &apiError{badData, fmt.Errorf("reading the request: %w", err)})
	default:
		defer a.requests.Leave()
		a.mux.ServeHTTP(w, r)
	}
}

func (a *API) handler(do endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			a.refuse(w, &apiError{badData, fmt.Errorf("error parsing form values: %w", err)})
			return
		}
		request := &request{Request: r, now: a.now()}
		timeout, err := request.timeout()
		if err != nil {
			a.refuse(w, err)
			return
		}
		if timeout <= 0 || timeout > a.limits.Timeout {
			timeout = a.limits.Timeout
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		size, err := expressionsOf(r.Form)
		if err != nil {
			a.refuse(w, err)
			return
		}
		release, err := a.room.takeTexts(ctx, size)
		if err != nil {
			a.refuse(w, err)
			return
		}
		defer release()
		answer, err := do(ctx, request)
		defer answer.done()
		if err != nil {
			a.refuse(w, err)
			return
		}
		a.respond(w, r, &answer)
	})
}

// respond writes an answer, compressed if the client accepts that.
func (a *API) respond(w http.ResponseWriter, r *http.Request, answer *answer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Vary", "Accept-Encoding")
	var out *encoder
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := a.compressors.NewWriter(w)
		out = newEncoder(compressed, largeBuffer)
		defer func() { _ = compressed.Close() }() // the client has gone
	} else {
		out = newEncoder(w, largeBuffer)
	}
	out.raw(`{"status":"success","data":`)
	if answer.write != nil {
		answer.write(out)
	} else {
		out.any(answer.data)
	}
	const most = 10 // of each kind, as in Prometheus
	warnings, infos := answer.warnings.AsStrings(r.FormValue("query"), most, most)
	if len(warnings) > 0 {
		out.raw(`,"warnings":`)
		out.any(warnings)
	}
	if len(infos) > 0 {
		out.raw(`,"infos":`)
		out.any(infos)
	}
	out.raw("}")
	if err := out.flush(); err != nil {
		a.logger.Debug("a response to a query was not written", "err", err)
	}
}

// refuse responds with an error.
func (a *API) refuse(w http.ResponseWriter, err error) {
	refused := classify(err)
	if refused.class == internalError {
		// Faults of the store are logged elsewhere, once; dashboards would repeat them every few seconds.
		a.logger.Debug("a query failed", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refused.class.status())
	out := newEncoder(w, smallBuffer)
	out.raw(`{"status":"error","errorType":`)
	out.text(string(refused.class))
	out.raw(`,"error":`)
	out.text(refused.Error())
	out.raw("}")
	_ = out.flush() // the client has gone
}

// errTruncated is the warning for results that exceed the limit of the request.
var errTruncated = errors.New("results truncated due to limit")
