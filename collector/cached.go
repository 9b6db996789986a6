package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Cached is a Collector that shows what another one has said for a while. It is for metrics that
// cost more than all else of a scrape, such as those of the process, which come from a dozen files
// of /proc. The other one's metrics must not change once they are collected.
type Cached struct {
	of  prometheus.Collector
	age time.Duration
	now func() time.Time

	mu        sync.Mutex // held while the other one collects
	collected time.Time
	metrics   []prometheus.Metric
}

// NewCached returns a Collector that shows what of has said for as long as age.
func NewCached(of prometheus.Collector, age time.Duration, now func() time.Time) *Cached {
	return &Cached{of: of, age: age, now: now}
}

// Describe sends the descriptions of the other one.
func (c *Cached) Describe(descs chan<- *prometheus.Desc) { c.of.Describe(descs) }

// Collect sends what is kept or, if that is too old, has it collected anew.
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
