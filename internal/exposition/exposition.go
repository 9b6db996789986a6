// Package exposition serves the metrics. Nearly all series describe accounts and change a few
// times a day, so they are rendered from the snapshot when it changes and cached compressed; a
// scrape returns these bytes, followed by the few series that are gathered for each scrape.
package exposition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"weixin_exporter/collector"
	"weixin_exporter/internal/compress"
	"weixin_exporter/internal/gate"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/yield"
)

// Options are the dependencies of a Handler.
type Options struct {
	// Source provides the snapshots. A scrape reads everything about an account from one of them.
	Source collector.Source
	// Live holds all other metrics. They are gathered after a scrape has arrived, and once for those that have to wait.
	Live *prometheus.Registry
	// ErrorLog receives errors that happen during a scrape.
	ErrorLog Logger
	Now      func() time.Time
	// MaxRequests limits concurrent scrapes: one half for those that render bytes for the cache, the other
	// for those rendered while they are sent. Cached bytes and the wait for those that another scrape
	// renders do not count, since they take neither memory nor CPU. Further requests wait and get 503
	// after ten seconds. 0 means no limit.
	MaxRequests int
}

// maxNames limits the number of name[] parameters. There are fewer families than that.
const maxNames = 200

// Logger logs a line of text. *log.Logger implements it.
type Logger interface{ Println(v ...any) }

// Handler serves the same metrics as promhttp.HandlerFor with OpenMetrics over one registry of both parts,
// except that the series of accounts come first. With the parameter shard (see Shard) it serves a
// part of the accounts.
//
// A scrape waits for nothing but CPU. With gzip, which Prometheus requests, the accounts may be those of a few
// seconds earlier (see pause); without compression they are always those of the latest snapshot.
type Handler struct {
	options Options
	forms   map[expfmt.FormatType]*form
	formats []expfmt.Format
	cache   renderCache
	live    sharedLive
	buffers sync.Pool // of *buffers

	compressors          compress.Pool
	rendering, streaming *gate.Gate
}

// New returns a Handler. It fails if a metric in Live has the name of one of the accounts.
func New(o Options) (*Handler, error) {
	if err := distinct(o); err != nil {
		return nil, err
	}
	h := &Handler{
		options: o,
		forms:   forms(),
		formats: expfmt.DefaultOpenMetricsAcceptedFormats(),
		cache:   renderCache{now: o.Now, source: o.Source, maxOutdated: maxOutdated},
		live:    newSharedLive(),

		rendering: gate.New((o.MaxRequests + 1) / 2),
		streaming: gate.New((o.MaxRequests + 1) / 2),
	}
	h.buffers.New = func() any { return &buffers{} }
	return h, nil
}

// distinct returns an error if a metric of the accounts is also in Live.
func distinct(o Options) error {
	both := prometheus.NewRegistry()
	if err := both.Register(o.Live); err != nil {
		return fmt.Errorf("joining the metrics: %w", err)
	}
	if err := both.Register(collector.New(o.Source)); err != nil {
		return fmt.Errorf("a metric of the accounts is also among the others: %w", err)
	}
	return nil
}

// scrape is one request for metrics.
type scrape struct {
	at     time.Time
	shard  Shard
	format expfmt.Format
	form   *form
	latest *snapshot.Snapshot // may be nil
	wanted map[string]bool    // the names of the families; nil for all
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := scrape{at: h.options.Now(), format: expfmt.NegotiateAccept(r.Header, h.formats...), latest: h.options.Source.Load()}
	query, err := queryOf(r)
	if err == nil {
		s.shard, err = shardOf(query)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	names := query["name[]"]
	if len(names) > maxNames {
		http.Error(w, fmt.Sprintf("%d names in name[]; at most %d are allowed", len(names), maxNames), http.StatusBadRequest)
		return
	}
	if len(names) > 0 {
		s.wanted = map[string]bool{}
		for _, name := range names {
			s.wanted[name] = true
		}
	}
	s.form = h.forms[s.format.FormatType()] // there is one for every negotiable format
	h.serve(w, r, s)
}

// serve responds from the cache if it can, and renders the response otherwise. The live part is gathered
// before anything is sent, so that its errors can still be reported.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, s scrape) {
	compressed := acceptsGzip(r.Header["Accept-Encoding"])
	// There are too many combinations of names to cache each of them.
	if !compressed || s.wanted != nil || !s.form.cached || r.Method == http.MethodHead {
		h.stream(w, r, s, compressed)
		return
	}
	p, tail, err := h.prepare(r.Context(), s)
	switch {
	case errors.Is(err, errNotCached):
		h.stream(w, r, s, compressed)
	case err != nil:
		h.fail(w, err)
	default:
		defer h.cache.release(p)
		s.writeHead(w.Header(), compressed)
		h.sent(p.send(w, tail))
	}
}

// prepare returns the cached bytes and the rest of the response, or errNotCached.
func (h *Handler) prepare(ctx context.Context, s scrape) (*packed, tail, error) {
	gathered, err := h.live.get(ctx, s.liveKey(), func() (*live, error) {
		b := h.buffers.Get().(*buffers)
		defer h.buffers.Put(b)
		if err := gatherLive(&b.live, h.options.Live, s.liveKey(), nil); err != nil {
			return nil, err
		}
		return b.packLive(&h.compressors), nil
	})
	if err != nil {
		return nil, tail{}, err
	}
	p, err := h.cache.get(ctx, s, h.pack)
	if err != nil {
		return nil, tail{}, err
	}
	return p, p.finish(gathered), nil
}

// pack renders the bytes of a shard for the cache.
func (h *Handler) pack(ctx context.Context, s scrape) (*packed, error) {
	if !h.rendering.Enter(ctx) {
		return nil, h.busy()
	}
	defer h.rendering.Leave()
	b := h.buffers.Get().(*buffers)
	defer h.buffers.Put(b)
	return pack(s, h.cache.shards.accounts(s.shard, s.latest), b, &h.compressors), nil
}

// stream renders the response while it sends it, in constant memory.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, s scrape, compressed bool) {
	if !h.streaming.Enter(r.Context()) {
		h.fail(w, h.busy())
		return
	}
	defer h.streaming.Leave()
	b := h.buffers.Get().(*buffers)
	defer h.buffers.Put(b)
	err := h.live.alone(r.Context(), func() error { return gatherLive(&b.live, h.options.Live, s.liveKey(), s.wanted) })
	if err != nil {
		h.fail(w, err)
		return
	}
	s.writeHead(w.Header(), compressed)
	switch {
	case r.Method == http.MethodHead:
	case compressed:
		member := h.compressors.NewWriter(w)
		err = s.render(member, b)
		if err == nil {
			err = member.Close()
		}
		h.sent(err)
	default:
		h.sent(s.render(&yield.Writer{Writer: w}, b))
	}
}

func (s scrape) liveKey() liveKey { return liveKey{s.format, s.shard.first()} }

func (s scrape) writeHead(header http.Header, compressed bool) {
	header.Add("Vary", "Accept")
	header.Add("Vary", "Accept-Encoding")
	header.Set("Content-Type", string(s.format))
	if compressed {
		header.Set("Content-Encoding", "gzip")
	}
}

// unavailableError is the reason for a status 503.
type unavailableError struct{ text string }

func (e unavailableError) Error() string { return e.text }

// ended is the error of a scrape whose context ended while it waited.
func ended(ctx context.Context) error {
	return unavailableError{"The request ended before the metrics were ready: " + context.Cause(ctx).Error()}
}

func (h *Handler) busy() error {
	return unavailableError{fmt.Sprintf("The limit of concurrent scrapes is reached (--web.max-requests=%d). Try again later.", h.options.MaxRequests)}
}

// fail responds like promhttp. Nothing may have been sent yet.
func (h *Handler) fail(w http.ResponseWriter, err error) {
	if unavailable, ok := errors.AsType[unavailableError](err); ok {
		http.Error(w, unavailable.text, http.StatusServiceUnavailable)
		return
	}
	h.options.ErrorLog.Println("error gathering metrics:", err)
	http.Error(w, "An error has occurred while serving metrics:\n\n"+err.Error(), http.StatusInternalServerError)
}

// sent logs a response that could not be sent. It is too late to tell the client.
func (h *Handler) sent(err error) {
	if err != nil {
		h.options.ErrorLog.Println("error sending metrics:", err)
	}
}

// render writes the whole response, in constant memory.
func (s scrape) render(w io.Writer, b *buffers) error {
	if err := s.form.render(w, &b.lines, s.shard.accounts(s.latest), s.wanted); err != nil {
		return err
	}
	_, err := w.Write(b.live.Bytes())
	return err
}

// acceptsGzip reports whether gzip is preferred over no compression. It interprets a well-formed header like
// promhttp: gzip must be named, with a higher weight than identity and the asterisk.
func acceptsGzip(header []string) bool {
	gzip, others := 0.0, 0.0
	for _, line := range header {
		for offer := range strings.SplitSeq(line, ",") {
			name, parameter, weighted := strings.Cut(offer, ";")
			weight := 1.0
			if weighted {
				text, _ := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
				var err error
				if weight, err = strconv.ParseFloat(text, 64); err != nil {
					break
				}
			}
			switch strings.TrimSpace(name) {
			case "gzip":
				gzip = max(gzip, weight)
			case "identity", "*":
				others = max(others, weight)
			}
		}
	}
	return gzip > others
}
