package collector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/collector"
)

func TestSharing(t *testing.T) {
	var now collector.Sharing
	shared := false
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector.NewSharing(func() (collector.Sharing, bool) { return now, shared }))
	if n, err := testutil.GatherAndCount(registry); n != 0 || err != nil {
		t.Errorf("there are %d metrics of a store that is not shared: %v", n, err)
	}
	shared = true
	now = collector.Sharing{
		Known: true, Owned: 85, Others: 160, Unowned: 1, Unused: 10, Exporters: 3,
		Renewed: time.UnixMilli(1_700_000_000_500), Used: 2, Idle: 3, MaxConnections: 9,
	}
	const want = `# HELP weixin_store_slots The 256 slots into which the accounts are divided: owned by this exporter, by others, or unowned, so that no exporter requests their accounts at present; unused slots have no account in the configuration. An exporter that could not renew its slots in time owns none, and others and unowned are absent.
# TYPE weixin_store_slots gauge
weixin_store_slots{state="others"} 160
weixin_store_slots{state="owned"} 85
weixin_store_slots{state="unowned"} 1
weixin_store_slots{state="unused"} 10
# HELP weixin_store_exporters Exporters that share the store and are alive, this one included; absent if this one could not renew its slots in time.
# TYPE weixin_store_exporters gauge
weixin_store_exporters 3
# HELP weixin_store_slots_renewed_timestamp_seconds When this exporter last renewed its slots, as Unix time; 0 if never. Without that it requests nothing after 13 seconds.
# TYPE weixin_store_slots_renewed_timestamp_seconds gauge
weixin_store_slots_renewed_timestamp_seconds 1.7000000005e+09
# HELP weixin_store_followed_timestamp_seconds When this exporter last read what the others had stored, as Unix time; 0 if never. What it shows includes everything stored by then.
# TYPE weixin_store_followed_timestamp_seconds gauge
weixin_store_followed_timestamp_seconds 0
# HELP weixin_store_connections Connections to the database: used by a query or transaction, or idle.
# TYPE weixin_store_connections gauge
weixin_store_connections{state="idle"} 3
weixin_store_connections{state="used"} 2
# HELP weixin_store_max_connections The largest number of connections to the database that this exporter makes.
# TYPE weixin_store_max_connections gauge
weixin_store_max_connections 9
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	now = collector.Sharing{Unused: 10, Renewed: now.Renewed}
	const slots, exporters = "weixin_store_slots", "weixin_store_exporters"
	const ended = `# HELP weixin_store_slots The 256 slots into which the accounts are divided: owned by this exporter, by others, or unowned, so that no exporter requests their accounts at present; unused slots have no account in the configuration. An exporter that could not renew its slots in time owns none, and others and unowned are absent.
# TYPE weixin_store_slots gauge
weixin_store_slots{state="owned"} 0
weixin_store_slots{state="unused"} 10
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(ended), slots, exporters); err != nil {
		t.Errorf("slots that were not renewed: %v", err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v: %v", problems, err)
	}
}
