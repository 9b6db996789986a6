package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sharing is how the exporters that share a store divide the accounts.
type Sharing struct {
	// Known is false if this exporter has not renewed its slots in time: then it owns none, and knows nothing of the others.
	Known bool
	// Owned, Others and Unowned count the slots with accounts: those of this exporter, those of other ones, and those
	// whose accounts no exporter works on. Unused counts the slots without accounts.
	Owned, Others, Unowned, Unused int
	// Exporters is the number of living exporters, this one included.
	Exporters int
	// Renewed is when this exporter last renewed its slots, and Followed when it last read what the others had stored;
	// zero if never.
	Renewed, Followed time.Time
	// Used and Idle count connections to the database, of which there can be MaxConnections.
	Used, Idle, MaxConnections int
}

// sharing collects how exporters share a store.
type sharing struct {
	current                                                         func() (Sharing, bool)
	slots, exporters, renewed, followed, connections, maximumOfThem *prometheus.Desc
}

// NewSharing returns a collector for how exporters share a store. It collects nothing while current returns false, which
// means that only one exporter can use the store.
func NewSharing(current func() (Sharing, bool)) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("weixin_store_"+name, help, labels, nil)
	}
	return &sharing{
		current: current,
		slots: desc("slots", "The 256 slots into which the accounts are divided: owned by this exporter, by others, or unowned, so that no exporter "+
			"requests their accounts at present; unused slots have no account in the configuration. An exporter that could not renew its "+
			"slots in time owns none, and others and unowned are absent.", "state"),
		exporters: desc("exporters", "Exporters that share the store and are alive, this one included; absent if this one could not renew its slots in time."),
		renewed: desc("slots_renewed_timestamp_seconds",
			"When this exporter last renewed its slots, as Unix time; 0 if never. Without that it requests nothing after 13 seconds."),
		followed: desc("followed_timestamp_seconds",
			"When this exporter last read what the others had stored, as Unix time; 0 if never. What it shows includes everything stored by then."),
		connections:   desc("connections", "Connections to the database: used by a query or transaction, or idle.", "state"),
		maximumOfThem: desc("max_connections", "The largest number of connections to the database that this exporter makes."),
	}
}

// Describe implements prometheus.Collector.
func (s *sharing) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{s.slots, s.exporters, s.renewed, s.followed, s.connections, s.maximumOfThem} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (s *sharing) Collect(metrics chan<- prometheus.Metric) {
	now, ok := s.current()
	if !ok {
		return
	}
	add := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	add(s.slots, float64(now.Owned), "owned")
	add(s.slots, float64(now.Unused), "unused")
	if now.Known {
		add(s.slots, float64(now.Others), "others")
		add(s.slots, float64(now.Unowned), "unowned")
		add(s.exporters, float64(now.Exporters))
	}
	add(s.renewed, timestamp(now.Renewed))
	add(s.followed, timestamp(now.Followed))
	add(s.connections, float64(now.Used), "used")
	add(s.connections, float64(now.Idle), "idle")
	add(s.maximumOfThem, float64(now.MaxConnections))
}

// timestamp returns a time in Unix seconds; 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
