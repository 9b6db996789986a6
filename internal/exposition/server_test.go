package exposition_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"weixin_exporter/collector"
)

// over serves the handler on the loopback interface.
func (f *fixture) over(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(f.handler)
	t.Cleanup(server.Close)
	return server
}

// programs returns live metrics of the program.
func programs() []prometheus.Collector {
	return []prometheus.Collector{
		collectors.NewGoCollector(), collector.NewCached(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), time.Second, time.Now),
	}
}

func newGauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "some_level", Help: "Moves."})
}

// floats has a float histogram, which OpenMetrics does not support.
type floats struct{}

func (floats) desc() *prometheus.Desc {
	return prometheus.NewDesc("floats", "Counts of floats.", nil, nil)
}
func (f floats) Describe(descs chan<- *prometheus.Desc)   { descs <- f.desc() }
func (f floats) Collect(metrics chan<- prometheus.Metric) { metrics <- f }
func (f floats) Desc() *prometheus.Desc                   { return f.desc() }
func (floats) Write(m *dto.Metric) error {
	m.Histogram = &dto.Histogram{SampleCountFloat: new(1.5), SampleSum: new(1.0)}
	return nil
}
