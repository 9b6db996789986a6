package collector

import "github.com/prometheus/client_golang/prometheus"

// store shows whether the store can be used.
type store struct {
	fault func() error
	desc  *prometheus.Desc
}

// NewStore returns the metric of the store. fault says why it cannot be used; nil if it can.
func NewStore(fault func() error) prometheus.Collector {
	return store{fault: fault, desc: prometheus.NewDesc("weixin_store_usable",
		"Whether the store can be used (1), or its file was deleted or replaced, or its disk does not answer (0).", nil, nil)}
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
