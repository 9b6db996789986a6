package exporter

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// without is a collector without one of its metrics.
type without struct {
	prometheus.Collector
	name string
}

// Describe implements prometheus.Collector.
func (w without) Describe(ch chan<- *prometheus.Desc) {
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		w.Collector.Describe(all)
	}()
	for desc := range all {
		if !w.is(desc) {
			ch <- desc
		}
	}
}

// Collect implements prometheus.Collector.
func (w without) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		w.Collector.Collect(all)
	}()
	for metric := range all {
		if !w.is(metric.Desc()) {
			ch <- metric
		}
	}
}

func (w without) is(desc *prometheus.Desc) bool {
	return strings.HasPrefix(desc.String(), `Desc{fqName: "`+w.name+`", `)
}
