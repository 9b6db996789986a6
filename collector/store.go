package collector

import "github.com/prometheus/client_golang/prometheus"

// store collects whether the store is usable.
type store struct {
	fault func() error
	desc  *prometheus.Desc
}

// NewStore returns a collector for the state of the store. fault returns why the store is not usable, without waiting for
// it; nil if it is usable.
func NewStore(fault func() error) prometheus.Collector {
	return store{fault: fault, desc: prometheus.NewDesc("weixin_store_usable",
		"Whether the store is usable (1), or its file was deleted or replaced, its disk does not respond, or its database cannot be reached (0).", nil, nil)}
}

// Describe implements prometheus.Collector.
func (s store) Describe(descs chan<- *prometheus.Desc) { descs <- s.desc }

// Collect implements prometheus.Collector.
func (s store) Collect(metrics chan<- prometheus.Metric) {
	usable := 1.0
	if s.fault() != nil {
		usable = 0
	}
	metrics <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, usable)
}
