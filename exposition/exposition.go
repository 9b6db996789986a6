// Package exposition serves the metrics. Nearly all series describe accounts and change a few
// times a day, so they are rendered from the snapshot when it has changed and kept compressed; a
// scrape gets these bytes, followed by the few series that are gathered anew for each.
package exposition

import (
	"bytes"
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
	"weixin_exporter/snapshot"
)

// Options are the parts behind a Handler.
type Options struct {
	// Source has the snapshots; what a scrape shows of an account is read from one of them.
	Source collector.Source
	// Live has all other metrics. They are gathered for each scrape.
	Live *prometheus.Registry
	// ErrorLog is told what goes wrong during a scrape.
	ErrorLog Logger
	Now      func() time.Time
}

// Logger takes a line of text; *log.Logger is one.
type Logger interface{ Println(v ...any) }

// Handler serves what promhttp.HandlerFor would, with OpenMetrics and over one registry of both
// parts, except that the series of accounts stand before all others. With the parameter shard
// (see Shard) it serves a part of the accounts.
//
// No scrape waits for anything but the CPU. What Prometheus asks for, gzip, may show accounts as
// they were a little earlier (see pause); without compression it is always the latest snapshot.
type Handler struct {
	options Options
	forms   map[expfmt.FormatType]*form
	formats []expfmt.Format
	kept    keeper
	buffers sync.Pool // of *buffers
}

// New returns a Handler, or an error if Live has a metric of the same name as one of accounts.
func New(o Options) (*Handler, error) {
	if err := distinct(o); err != nil {
		return nil, err
	}
	h := &Handler{
		options: o,
		forms:   forms(),
		formats: expfmt.DefaultOpenMetricsAcceptedFormats(),
		kept:    keeper{now: o.Now, source: o.Source},
	}
	h.buffers.New = func() any { return newBuffers() }
	return h, nil
}

// distinct returns an error if a metric of accounts is among the live ones, too.
func distinct(o Options) error {
	both := prometheus.NewRegistry()
	if err := both.Register(o.Live); err != nil {
		return fmt.Errorf("joining the metrics: %w", err)
	}
	if err := both.Register(collector.New(o.Source)); err != nil {
		return fmt.Errorf("a metric of accounts is among the others, too: %w", err)
	}
	return nil
}

// scrape is one request for metrics.
type scrape struct {
	shard  Shard
	format expfmt.Format
	form   *form
	latest *snapshot.Snapshot // may be nil
	wanted map[string]bool    // the names of families; nil for all
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s := scrape{format: expfmt.NegotiateAccept(r.Header, h.formats...), latest: h.options.Source.Latest()}
	var err error
	if s.shard, err = shardOf(query); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if names := query["name[]"]; len(names) > 0 {
		s.wanted = map[string]bool{}
		for _, name := range names {
			s.wanted[name] = true
		}
	}
	s.form = h.forms[s.format.FormatType()] // all that can be negotiated are there
	h.serve(w, r, s)
}

// serve answers with what is rendered. The live part is made before anything is sent, so that what
// is wrong with it can still be said.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, s scrape) {
	b := h.buffers.Get().(*buffers)
	defer h.buffers.Put(b)
	if err := h.gather(&b.live, s); err != nil {
		h.fail(w, "gathering metrics", err)
		return
	}
	header := w.Header()
	header.Add("Vary", "Accept")
	header.Add("Vary", "Accept-Encoding")
	header.Set("Content-Type", string(s.format))
	compressed := acceptsGzip(r.Header["Accept-Encoding"])
	if compressed {
		header.Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead {
		return
	}
	var err error
	switch {
	case !compressed:
		err = s.render(w, b)
	case s.wanted != nil || !s.form.kept: // one of too many choices to keep the bytes of each
		err = pack(s, b).send(w, b)
	default:
		p, gone := h.kept.get(r.Context(), s, b)
		if gone != nil { // whoever asked, or the exporter is ending
			header.Del("Content-Encoding")
			http.Error(w, "The metrics were not waited for: "+gone.Error(), http.StatusServiceUnavailable)
			return
		}
		err = p.send(w, b)
	}
	if err != nil { // and nothing more can be said to whoever asked
		h.options.ErrorLog.Println("error sending metrics:", err)
	}
}

// fail answers as promhttp does. Nothing may have been sent yet.
func (h *Handler) fail(w http.ResponseWriter, doing string, err error) {
	h.options.ErrorLog.Println("error "+doing+":", err)
	http.Error(w, "An error has occurred while serving metrics:\n\n"+err.Error(), http.StatusInternalServerError)
}

// gather writes the live part with what ends the whole.
func (h *Handler) gather(live *bytes.Buffer, s scrape) error {
	live.Reset()
	encoder := expfmt.NewEncoder(live, s.format)
	if s.shard.first() {
		found, err := h.options.Live.Gather()
		if err != nil {
			return err
		}
		for _, f := range found {
			if s.wanted != nil && !s.wanted[f.GetName()] {
				continue
			}
			if err := encoder.Encode(f); err != nil {
				return err
			}
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		return closer.Close() // the line "# EOF" of OpenMetrics
	}
	return nil
}

// render writes all of the answer, in constant memory.
func (s scrape) render(w io.Writer, b *buffers) error {
	if err := s.form.render(w, &b.lines, s.shard.accounts(s.latest), s.wanted); err != nil {
		return err
	}
	_, err := w.Write(b.live.Bytes())
	return err
}

// acceptsGzip says whether gzip is preferred over no compression, as promhttp understands a
// well-formed header: gzip must be named, and with a higher weight than identity and the asterisk.
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
