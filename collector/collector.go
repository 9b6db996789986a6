// Package collector provides a snapshot, and the exporter's own requests, as Prometheus metrics.
package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// Source provides the latest snapshot. *snapshot.Latest implements it.
type Source interface {
	// Load returns nil before the first snapshot.
	Load() *snapshot.Snapshot
}

// Collector is a prometheus.Collector for the latest snapshot. A collection reads one
// snapshot from memory and waits for nothing.
type Collector struct {
	source   Source
	families []family
}

type family struct {
	families.Family
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// New returns a Collector for the snapshots of source.
func New(source Source) *Collector {
	c := &Collector{source: source}
	for _, f := range families.All() {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		c.families = append(c.families, family{f, prometheus.NewDesc(f.Name, f.Help, f.LabelNames(), nil), kind})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range c.families {
		descs <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	latest := c.source.Load()
	if latest == nil {
		return
	}
	for _, a := range latest.Accounts {
		for j := range c.families {
			f := &c.families[j]
			for i := range f.Values {
				if value, ok := f.Read(a, i); ok {
					metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, value, f.LabelValues(a, i)...)
				}
			}
		}
	}
}
