package collector_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/collector"
)

// counting is a collector that counts how often it was collected.
type counting struct {
	desc  *prometheus.Desc
	times float64
}

func (c *counting) Describe(descs chan<- *prometheus.Desc) { descs <- c.desc }

func (c *counting) Collect(metrics chan<- prometheus.Metric) {
	c.times++
	metrics <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, c.times)
}

func TestCached(t *testing.T) {
	now := time.Unix(1773108000, 0)
	counted := &counting{desc: prometheus.NewDesc("times_collected", "How often it was collected.", nil, nil)}
	cached := collector.NewCached(counted, time.Second, func() time.Time { return now })
	for _, step := range []struct {
		wait time.Duration
		want float64
	}{
		{0, 1},
		{999 * time.Millisecond, 1},
		{time.Millisecond, 2},
		{time.Hour, 3},
		{0, 3},
		{-2 * time.Hour, 4}, // the clock was set back
		{0, 4},
	} {
		now = now.Add(step.wait)
		if got := testutil.ToFloat64(cached); got != step.want {
			t.Errorf("after %v: %v, want %v", step.wait, got, step.want)
		}
	}
	if problems, err := testutil.CollectAndLint(cached); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
