package collector

import "github.com/prometheus/client_golang/prometheus"

// store collects whether the store is usable.
type store struct {
	fault func() error
	desc  *prometheus.Desc
}

// NewStore returns a collector for the state of the store. fault returns why the store is not usable; nil if it is.
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

// active collects whether this exporter asks Weixin.
type active struct {
	is   func() bool
	desc *prometheus.Desc
}

// NewActive returns a collector for whether this exporter asks Weixin, or is on standby.
func NewActive(is func() bool) prometheus.Collector {
	return active{is: is, desc: prometheus.NewDesc("weixin_refresh_active",
		"Whether this exporter asks Weixin (1), or is on standby while another one with the same store does (0).", nil, nil)}
}

// Describe implements prometheus.Collector.
func (a active) Describe(descs chan<- *prometheus.Desc) { descs <- a.desc }

// Collect implements prometheus.Collector.
func (a active) Collect(metrics chan<- prometheus.Metric) {
	value := 0.0
	if a.is() {
		value = 1
	}
	metrics <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, value)
}
