package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads shows how the last reading of the configuration went.
type Reloads struct {
	successful prometheus.Gauge
	timestamp  prometheus.Gauge
}

// NewReloads registers the metrics of the configuration.
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

// Succeeded notes a configuration that was read at the given time.
func (m *Reloads) Succeeded(at time.Time) {
	m.successful.Set(1)
	m.timestamp.Set(float64(at.UnixMilli()) / 1000)
}

// Failed notes a configuration that could not be read; the former one stays in force.
func (m *Reloads) Failed() { m.successful.Set(0) }
