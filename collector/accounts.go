package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/snapshot"
)

// Summary is a prometheus.Collector over what the latest snapshot says of all accounts together
// and of the store: a few series, however many accounts there are.
type Summary struct {
	source   Source
	accounts *prometheus.Desc
	failures *prometheus.Desc
}

// NewSummary returns a Summary over the snapshots of source.
func NewSummary(source Source) *Summary {
	return &Summary{
		source: source,
		accounts: prometheus.NewDesc("weixin_accounts",
			"Configured accounts by state: ok, waiting (Weixin has no figures of the latest day yet), pending (not asked for yet), "+
				"failing (for a reason that passes by itself), needs_action (for one that does not).",
			[]string{"state"}, nil),
		failures: prometheus.NewDesc("weixin_store_failures_total",
			"Failed attempts to write what was answered into the store, by reason.", []string{"reason"}, nil),
	}
}

// Describe sends the descriptions of all families.
func (s *Summary) Describe(descs chan<- *prometheus.Desc) {
	descs <- s.accounts
	descs <- s.failures
}

// Collect sends what the latest snapshot says.
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
