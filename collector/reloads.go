package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads are the metrics of the last reload of the configuration.
type Reloads struct {
	successful prometheus.Gauge
	timestamp  prometheus.Gauge
}

// NewReloads registers the metrics of reloads.
func NewReloads(r prometheus.Registerer) (*Reloads, error) {
	m := &Reloads{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weixin_exporter_config_last_reload_successful",
			Help: "Whether the last configuration reload succeeded (1) or failed (0).",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weixin_exporter_config_last_reload_success_timestamp_seconds",
			Help: "Time of the last successful configuration reload, as Unix time.",
		}),
	}
	for _, c := range []prometheus.Collector{m.successful, m.timestamp} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Succeeded records a configuration that was loaded at the given time.
func (m *Reloads) Succeeded(at time.Time) {
	m.successful.Set(1)
	m.timestamp.Set(float64(at.UnixMilli()) / 1000)
}

// Failed records a configuration that could not be loaded. The previous one stays in effect.
func (m *Reloads) Failed() { m.successful.Set(0) }
