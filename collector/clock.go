package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clock collects the error of this host's clock.
type clock struct {
	offset func() (time.Duration, bool)
	desc   *prometheus.Desc
}

// NewClock returns a collector for the error of the host's clock. offset returns how far the clock is ahead, or
// false while that is unknown: then there is no series.
func NewClock(offset func() (time.Duration, bool)) prometheus.Collector {
	return clock{offset: offset, desc: prometheus.NewDesc("weixin_clock_offset_seconds",
		"How far the clock of the exporter's host is ahead of the Date header of Weixin's responses (median of the latest); negative if it is behind.", nil, nil)}
}

// Describe implements prometheus.Collector.
func (c clock) Describe(descs chan<- *prometheus.Desc) { descs <- c.desc }

// Collect implements prometheus.Collector.
func (c clock) Collect(metrics chan<- prometheus.Metric) {
	if offset, known := c.offset(); known {
		metrics <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, offset.Seconds())
	}
}
