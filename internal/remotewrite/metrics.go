package remotewrite

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the metrics of all senders, by endpoint.
type Metrics struct {
	samples     *prometheus.CounterVec
	failed      *prometheus.CounterVec
	pending     *prometheus.GaugeVec
	lastSuccess *prometheus.GaugeVec
}

// NewMetrics registers the metrics of remote write.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weixin_remote_write_samples_total",
			Help: "Samples of the history that the remote write endpoint accepted.",
		}, []string{"endpoint"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weixin_remote_write_samples_failed_total",
			Help: "Samples that were given up, by reason: refused by the endpoint, or older than max_age and not sent.",
		}, []string{"endpoint", "reason"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weixin_remote_write_pending_samples",
			Help: "Samples in the store that the endpoint does not have yet. Of exporters that share a store, each counts those that it sends.",
		}, []string{"endpoint"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weixin_remote_write_last_success_timestamp_seconds",
			Help: "When the endpoint last accepted samples, as Unix time; 0 if never.",
		}, []string{"endpoint"}),
	}
	for _, c := range []prometheus.Collector{m.samples, m.failed, m.pending, m.lastSuccess} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// endpointMetrics are those of one endpoint.
type endpointMetrics struct {
	samples     prometheus.Counter
	failed      [Reasons]prometheus.Counter
	setPending  func(samples int64)
	lastSuccess prometheus.Gauge
}

// of returns the metrics of an endpoint. They start at 0, but the number of pending samples is shown once it is known.
func (m *Metrics) of(endpoint string) *endpointMetrics {
	e := &endpointMetrics{
		samples:     m.samples.WithLabelValues(endpoint),
		setPending:  func(samples int64) { m.pending.WithLabelValues(endpoint).Set(float64(samples)) },
		lastSuccess: m.lastSuccess.WithLabelValues(endpoint),
	}
	for reason := range Reasons {
		e.failed[reason] = m.failed.WithLabelValues(endpoint, reason.String())
	}
	return e
}

// remove removes the metrics of an endpoint that is no longer configured.
func (m *Metrics) remove(endpoint string) {
	labels := prometheus.Labels{"endpoint": endpoint}
	m.samples.DeletePartialMatch(labels)
	m.failed.DeletePartialMatch(labels)
	m.pending.DeletePartialMatch(labels)
	m.lastSuccess.DeletePartialMatch(labels)
}

// succeeded counts samples that were accepted.
func (e *endpointMetrics) succeeded(samples int, at time.Time) {
	e.samples.Add(float64(samples))
	e.lastSuccess.Set(float64(at.UnixMilli()) / 1000)
}
