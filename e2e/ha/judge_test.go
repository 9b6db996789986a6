package ha_test

import (
	"errors"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// TestJudge: the judge of the rounds finds each way in which a call can be made twice, and excuses only what a fault
// explains.
func TestJudge(t *testing.T) {
	t.Parallel()
	const account, date = "wx0000000000000001", datacube.Date(20_000)
	// Processes 10, 11 and 12 are those of the members 0, 1 and 2.
	call := func(member int, epoch int64, owner int, known ...datacube.Date) arrival {
		return arrival{
			call:   weixintest.Call{API: "daily", AppID: account, Begin: date, End: date + 1},
			member: member, duty: duty{epoch: epoch, pid: 10 + owner, known: known},
		}
	}
	held := call(1, 2, 1)
	held.duty.held = true
	unclear := call(0, 0, 0)
	unclear.unclear = errors.New("the database is away")
	lost := []loss{{slot: store.SlotOf(account), loser: "a", winner: "b", epoch: 2}}
	for _, c := range []struct {
		name     string
		calls    []arrival
		losses   []loss
		around   circumstances
		fault    string // a part of it; "" if there must be none
		repeated [members]int
	}{
		{name: "once", calls: []arrival{call(0, 1, 0)}},
		{name: "twice by its owner", calls: []arrival{call(0, 1, 0), call(0, 1, 0)}, fault: "which has not lost the slot"},
		{name: "twice after an orderly hand-over", calls: []arrival{call(0, 1, 0), call(1, 2, 1)}, fault: "which has not lost the slot"},
		{name: "again after a loss", calls: []arrival{call(0, 1, 0), call(1, 2, 1)}, losses: lost, repeated: [members]int{1, 0, 0}},
		{name: "after a loss by another member", calls: []arrival{call(2, 1, 2), call(1, 2, 1)}, losses: lost, fault: "which has not lost the slot"},
		{name: "twice by the new owner", calls: []arrival{call(1, 2, 1), call(1, 2, 1)}, losses: lost, fault: "which has not lost the slot"},
		{name: "known before", calls: []arrival{call(1, 2, 1, date+1)}, losses: lost, fault: "the answer is in the database"},
		{name: "held before", calls: []arrival{held}, losses: lost, fault: "the answer is in the database"},
		{name: "held before a reload", calls: []arrival{held}, around: circumstances{forgiven: true}},
		{name: "known, by one that lost the slot", calls: []arrival{call(0, 2, 1, date)}, losses: lost, repeated: [members]int{1, 0, 0}},
		{name: "by one that never had the slot", calls: []arrival{call(2, 2, 1, date)}, losses: lost, fault: "process 11 is responsible"},
		{name: "again after a stop", calls: []arrival{call(0, 1, 0), call(1, 2, 1)}, around: circumstances{stopped: []int{0}}, repeated: [members]int{1, 0, 0}},
		{name: "known before a stop", calls: []arrival{call(0, 1, 0), call(1, 2, 1, date)}, around: circumstances{stopped: []int{0}}, fault: "the answer is in the database"},
		{name: "unclear", calls: []arrival{call(0, 1, 0), unclear}, fault: "the database is away"},
		{name: "unclear after a loss", calls: []arrival{call(0, 1, 0), unclear}, losses: lost, repeated: [members]int{1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := judge{
				asked: map[question]arrival{}, pids: map[int]int{10: 0, 11: 1, 12: 2}, losses: c.losses,
				names: map[string]string{"a": "host, process 10 since today", "b": "host, process 11 since today"},
			}
			v := j.review(c.calls, c.around)
			found := strings.Join(v.faults, "\n")
			if (c.fault == "") != (found == "") || !strings.Contains(found, c.fault) {
				t.Errorf("found %q, want %q", found, c.fault)
			}
			if v.repeated != c.repeated {
				t.Errorf("repeated %v, want %v", v.repeated, c.repeated)
			}
		})
	}
}
