package collector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weixin_exporter/collector"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// Each account is counted once, by the worse of the states of its two calls.
func TestSummary(t *testing.T) {
	at := time.Unix(1773108000, 0)
	account := func(daily, hourly snapshot.Work) *snapshot.Account {
		return &snapshot.Account{Work: [datacube.APIs]snapshot.Work{daily, hourly}}
	}
	well := snapshot.Work{Succeeded: true, LastSuccess: at}
	waits := snapshot.Work{Succeeded: true, LastSuccess: at, NotReady: true}
	busy := snapshot.Work{LastSuccess: at, Problem: &snapshot.Problem{}}
	refused := snapshot.Work{Problem: &snapshot.Problem{NeedsAction: true}}
	latest := snapshot.NewLatest()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector.NewSummary(latest)); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Errorf("before the first snapshot: %d series, %v", n, err)
	}
	latest.Publish(&snapshot.Snapshot{
		Accounts: []*snapshot.Account{
			account(well, well), account(well, well), account(well, waits), account(snapshot.Work{}, waits),
			account(busy, snapshot.Work{}), account(busy, refused), account(refused, refused),
		},
		StoreFailures: map[string]int64{"full": 3},
	})
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP weixin_accounts Configured accounts by state: ok, waiting (Weixin has no figures for the latest day yet), pending (not requested yet), failing (for a temporary reason), needs_action (someone has to act).
# TYPE weixin_accounts gauge
weixin_accounts{state="failing"} 1
weixin_accounts{state="needs_action"} 2
weixin_accounts{state="ok"} 2
weixin_accounts{state="pending"} 1
weixin_accounts{state="waiting"} 1
# HELP weixin_store_failures_total Failed attempts to save responses in the store, by reason.
# TYPE weixin_store_failures_total counter
weixin_store_failures_total{reason="damaged"} 0
weixin_store_failures_total{reason="full"} 3
weixin_store_failures_total{reason="io"} 0
weixin_store_failures_total{reason="locked"} 0
weixin_store_failures_total{reason="other"} 0
weixin_store_failures_total{reason="read_only"} 0
weixin_store_failures_total{reason="unreachable"} 0
`)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
