package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/snapshot"
)

// Summary is a prometheus.Collector of metrics about all accounts together and the store, from the latest
// snapshot. The number of series does not depend on the number of accounts.
type Summary struct {
	source   Source
	accounts *prometheus.Desc
	failures *prometheus.Desc
}

// NewSummary returns a Summary of the snapshots of source.
func NewSummary(source Source) *Summary {
	return &Summary{
		source: source,
		accounts: prometheus.NewDesc("weixin_accounts",
			"Configured accounts by state: ok, waiting (Weixin has no figures for the latest day yet), pending (not requested yet), "+
				"failing (for a temporary reason), needs_action (someone has to act).",
			[]string{"state"}, nil),
		failures: prometheus.NewDesc("weixin_store_failures_total",
			"Failed attempts to save responses in the store, by reason.", []string{"reason"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *Summary) Describe(descs chan<- *prometheus.Desc) {
	descs <- s.accounts
	descs <- s.failures
}

// Collect implements prometheus.Collector.
func (s *Summary) Collect(metrics chan<- prometheus.Metric) {
	latest := s.source.Load()
	if latest == nil {
		return
	}
	var counts [snapshot.States]int
	for _, a := range latest.Accounts {
		counts[a.State()]++
	}
	for state, n := range counts {
		metrics <- prometheus.MustNewConstMetric(s.accounts, prometheus.GaugeValue, float64(n), snapshot.State(state).String())
	}
	for _, reason := range snapshot.StoreReasons() {
		metrics <- prometheus.MustNewConstMetric(s.failures, prometheus.CounterValue, float64(latest.StoreFailures[reason]), reason)
	}
}
