package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Cached is a prometheus.Collector that caches the metrics of another one for a while. It is for metrics that
// take longer than the rest of a scrape, such as those of the process, which are read from a dozen files
// in /proc. The metrics of the other collector must not change after they were collected.
type Cached struct {
	of  prometheus.Collector
	age time.Duration
	now func() time.Time

	mu        sync.Mutex // also held while the other collector collects
	collected time.Time
	metrics   []prometheus.Metric
}

// NewCached returns a collector that caches the metrics of another one for the given time.
func NewCached(of prometheus.Collector, age time.Duration, now func() time.Time) *Cached {
	return &Cached{of: of, age: age, now: now}
}

// Describe implements prometheus.Collector.
func (c *Cached) Describe(descs chan<- *prometheus.Desc) { c.of.Describe(descs) }

// Collect implements prometheus.Collector.
func (c *Cached) Collect(metrics chan<- prometheus.Metric) {
	for _, m := range c.latest() {
		metrics <- m
	}
}

func (c *Cached) latest() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.collected); c.metrics != nil && age >= 0 && age < c.age {
		return c.metrics
	}
	fresh := make(chan prometheus.Metric)
	go func() {
		defer close(fresh)
		c.of.Collect(fresh)
	}()
	metrics := make([]prometheus.Metric, 0, len(c.metrics))
	for m := range fresh {
		metrics = append(metrics, m)
	}
	c.collected, c.metrics = now, metrics
	return metrics
}
