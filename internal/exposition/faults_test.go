package exposition_test

import (
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/exposition"
	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

var errBroken = errors.New("something broke")

// broken is a collector that fails.
type broken struct{ desc *prometheus.Desc }

func newBroken() broken { return broken{prometheus.NewDesc("broken", "Fails.", nil, nil)} }

func (b broken) Describe(descs chan<- *prometheus.Desc) { descs <- b.desc }
func (b broken) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.NewInvalidMetric(b.desc, errBroken)
}

func TestWhatCannotBeGathered(t *testing.T) {
	w := newWorld(t, append(someLive(), newBroken())...)
	w.board.Publish(foreign())
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		for _, encoding := range []string{"identity", "gzip"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				w.log.Reset()
				got := w.ask(w.handler, method, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
				want := w.ask(w.ordinary, method, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
				if got.status != http.StatusInternalServerError || got.plain != want.plain || got.header.Get("Content-Type") != want.header.Get("Content-Type") ||
					got.header.Get("Content-Encoding") != "" {
					t.Errorf("%s %s, %s: %d %q, want as promhttp %d %q", method, accept, encoding, got.status, got.plain, want.status, want.plain)
				}
				if !strings.Contains(w.log.String(), errBroken.Error()) {
					t.Errorf("logged: %s", &w.log)
				}
			}
		}
	}
	// Other shards do not need it.
	if got := w.get(w.handler, "/metrics?shard=2/2"); got.status != http.StatusOK {
		t.Errorf("status %d of the second shard", got.status)
	}
}

// TestWhatCannotBeWritten: OpenMetrics has no float histograms.
func TestWhatCannotBeWritten(t *testing.T) {
	w := newWorld(t, floats{})
	w.board.Publish(foreign())
	got := w.get(w.handler, "/metrics", "Accept", asOpenMetrics)
	if got.status != http.StatusInternalServerError || !strings.Contains(got.plain, "float histogram") || w.log.Len() == 0 {
		t.Errorf("%d %q; logged: %s", got.status, got.plain, &w.log)
	}
}

// torn is a connection that breaks after a number of bytes.
type torn struct {
	header http.Header
	left   int
	broken bool
	after  int // writes after it broke
}

func (w *torn) Header() http.Header { return w.header }
func (w *torn) WriteHeader(int)     {}
func (w *torn) Write(p []byte) (int, error) {
	if w.broken {
		w.after++
	}
	if len(p) > w.left {
		w.broken = true
		return w.left, errBroken
	}
	w.left -= len(p)
	return len(p), nil
}

// TestNothingFollowsWhatCouldNotBeSent, for a scraper must not take a torn answer for a whole one.
func TestNothingFollowsWhatCouldNotBeSent(t *testing.T) {
	w := newWorld(t, someLive()...)
	w.board.Publish(accounts(300, 1))
	for _, encoding := range []string{"identity", "gzip"} {
		whole := len(w.get(w.handler, "/metrics", "Accept-Encoding", encoding).body)
		for _, left := range []int{0, 1, whole / 2, whole - 1} {
			w.log.Reset()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
			r.Header.Set("Accept-Encoding", encoding)
			connection := &torn{header: http.Header{}, left: left}
			w.handler.ServeHTTP(connection, r)
			if !connection.broken || connection.after > 0 || !strings.Contains(w.log.String(), errBroken.Error()) {
				t.Errorf("%s, broken after %d bytes: %+v; logged: %s", encoding, left, connection, &w.log)
			}
		}
	}
}

// widest notes the largest write.
type widest struct {
	torn
	most int
}

func (w *widest) Write(p []byte) (int, error) {
	w.most = max(w.most, len(p))
	return len(p), nil
}

// TestMemoryIsConstantWithoutCompression: lines are sent soon after they are rendered.
func TestMemoryIsConstantWithoutCompression(t *testing.T) {
	w := newWorld(t)
	w.board.Publish(accounts(300, 1))
	connection := &widest{torn: torn{header: http.Header{}}}
	w.handler.ServeHTTP(connection, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if connection.most == 0 || connection.most > 1<<16 {
		t.Errorf("%d bytes were written at once", connection.most)
	}
}

func TestAFamilyInBothPartsIsRefused(t *testing.T) {
	for _, f := range families.All() {
		for name, opts := range map[string]prometheus.GaugeOpts{
			"with other labels": {Name: f.Name, Help: f.Help}, "with another text": {Name: f.Name, Help: "Other."},
		} {
			live := prometheus.NewRegistry()
			if err := live.Register(prometheus.NewGauge(opts)); err != nil {
				t.Fatal(err)
			}
			if _, err := newHandler(live); err == nil || !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s %s: error %v", f.Name, name, err)
			}
		}
		// One that is just the same and has no series yet.
		live := prometheus.NewRegistry()
		if err := live.Register(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.LabelNames())); err != nil {
			t.Fatal(err)
		}
		if _, err := newHandler(live); err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("%s: error %v", f.Name, err)
		}
	}
}

func newHandler(live *prometheus.Registry) (http.Handler, error) {
	return exposition.New(exposition.Options{
		Source: snapshot.NewLatest(), Live: live, ErrorLog: log.Default(), Now: func() time.Time { return time.Time{} },
	})
}
