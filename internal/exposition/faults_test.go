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

func TestGatheringFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, append(someLive(), newBroken())...)
	f.latest.Publish(awkward())
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		for _, encoding := range []string{"identity", "gzip"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				f.log.Reset()
				got := f.request(f.handler, method, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
				want := f.request(f.promhttp, method, "/metrics", "Accept", accept, "Accept-Encoding", encoding)
				if got.status != http.StatusInternalServerError || got.plain != want.plain || got.header.Get("Content-Type") != want.header.Get("Content-Type") ||
					got.header.Get("Content-Encoding") != "" {
					t.Errorf("%s %s, %s: %d %q, want as promhttp %d %q", method, accept, encoding, got.status, got.plain, want.status, want.plain)
				}
				if !strings.Contains(f.log.String(), errBroken.Error()) {
					t.Errorf("logged: %s", &f.log)
				}
			}
		}
	}
	// Other shards do not need the live metrics.
	if got := f.get(f.handler, "/metrics?shard=2/2"); got.status != http.StatusOK {
		t.Errorf("status %d of the second shard", got.status)
	}
}

// OpenMetrics has no float histograms.
func TestEncodingFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, floats{})
	f.latest.Publish(awkward())
	got := f.get(f.handler, "/metrics", "Accept", asOpenMetrics)
	if got.status != http.StatusInternalServerError || !strings.Contains(got.plain, "float histogram") || f.log.Len() == 0 {
		t.Errorf("%d %q; logged: %s", got.status, got.plain, &f.log)
	}
}

// brokenConnection is a connection that breaks after a number of bytes.
type brokenConnection struct {
	header http.Header
	left   int
	broken bool
	after  int // writes after it broke
}

func (w *brokenConnection) Header() http.Header { return w.header }
func (w *brokenConnection) WriteHeader(int)     {}
func (w *brokenConnection) Write(p []byte) (int, error) {
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

// Nothing is written after an error, so that no scraper takes a part of a response to be complete.
func TestNothingIsWrittenAfterAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, someLive()...)
	f.latest.Publish(accounts(300, 1))
	for _, encoding := range []string{"identity", "gzip"} {
		size := len(f.get(f.handler, "/metrics", "Accept-Encoding", encoding).body)
		for _, left := range []int{0, 1, size / 2, size - 1} {
			f.log.Reset()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
			r.Header.Set("Accept-Encoding", encoding)
			connection := &brokenConnection{header: http.Header{}, left: left}
			f.handler.ServeHTTP(connection, r)
			if !connection.broken || connection.after > 0 || !strings.Contains(f.log.String(), errBroken.Error()) {
				t.Errorf("%s, broken after %d bytes: %+v; logged: %s", encoding, left, connection, &f.log)
			}
		}
	}
}

// largestWrite records the size of the largest write.
type largestWrite struct {
	brokenConnection
	size int
}

func (w *largestWrite) Write(p []byte) (int, error) {
	w.size = max(w.size, len(p))
	return len(p), nil
}

// Without compression, lines are written soon after they are rendered.
func TestMemoryIsConstantWithoutCompression(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.latest.Publish(accounts(300, 1))
	connection := &largestWrite{brokenConnection: brokenConnection{header: http.Header{}}}
	f.handler.ServeHTTP(connection, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if connection.size == 0 || connection.size > 1<<16 {
		t.Errorf("%d bytes were written at once", connection.size)
	}
}

func TestAFamilyInBothPartsIsAnError(t *testing.T) {
	t.Parallel()
	for _, f := range families.All() {
		for name, opts := range map[string]prometheus.GaugeOpts{
			"with other labels": {Name: f.Name, Help: f.Help}, "with another HELP": {Name: f.Name, Help: "Other."},
		} {
			live := prometheus.NewRegistry()
			if err := live.Register(prometheus.NewGauge(opts)); err != nil {
				t.Fatal(err)
			}
			if _, err := newHandler(live); err == nil || !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s %s: error %v", f.Name, name, err)
			}
		}
		// The same family, without series.
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
