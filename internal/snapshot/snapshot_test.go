package snapshot_test

import (
	"testing"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
)

func TestLatest(t *testing.T) {
	latest := snapshot.NewLatest()
	if latest.Load() != nil {
		t.Error("Load returns a snapshot before the first one")
	}
	for range 2 {
		s := &snapshot.Snapshot{}
		latest.Publish(s)
		if latest.Load() != s {
			t.Error("Load does not return the latest snapshot")
		}
	}
}

func TestReasonsHaveDistinctNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range snapshot.Reasons {
		if seen[r.String()] || r.String() == "" {
			t.Errorf("the name %q of reason %d is empty or not unique", r, r)
		}
		seen[r.String()] = true
	}
	if got := weixin.AllowList.String(); got != "allow_list" {
		t.Errorf("the reason of an allow-list error is %q", got)
	}
	if got := snapshot.StoreFault.String(); got != "store" {
		t.Errorf("the name of the reason StoreFault is %q", got)
	}
}
