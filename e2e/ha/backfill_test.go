package ha_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/internal/store"
)

// backfillDays is the length of the range that is filled.
const backfillDays = 12

// TestBackfillsShareTheWork: two backfills of one range at once, beside an exporter, divide the calls between them. If
// one of them is killed, the other one completes the range.
func TestBackfillsShareTheWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kill bool
	}{{"both end", false}, {"one is killed", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := setting(t, "HA_SEED", uint64(time.Now().UnixNano())%1e6)
			t.Logf("HA_SEED=%d", seed)
			held := make(chan struct{})
			f := newFleet(t, rand.New(rand.NewPCG(seed, 1)), c.kill, held)
			f.start(f.members[0])
			f.waitStored()
			from := len(f.arrivals.since(0))

			f.first = f.yesterday() - backfillDays + 1
			fills := []*exportertest.Process{f.backfill(f.members[1]), f.backfill(f.members[2])}
			eventually(t, "both backfills to own accounts", func() error { return f.database.sharedBy(t.Context(), store.Backfilling, len(fills)) })
			close(held)
			if c.kill {
				eventually(t, "calls of the backfill", func() error {
					if n := f.callsBy(from, 1); n < 1+int(seed%100) {
						return fmt.Errorf("there were %d", n)
					}
					return nil
				})
				fills[0].Kill()
				fills = fills[1:]
			}
			for _, p := range fills {
				p.Finish(t) // its exit code is examined at the end
			}
			f.waitStored()
			f.checkStored()
			again := f.callsAgain(from)
			t.Logf("%d calls by one backfill, %d by the other one, %d of them again", f.callsBy(from, 1), f.callsBy(from, 2), again)
			if f.callsBy(from, 1) == 0 || f.callsBy(from, 2) == 0 {
				t.Error("one of them did not work")
			}
			if again > 0 && !c.kill || again > atRisk {
				t.Errorf("%d calls were made again", again)
			}
			want := f.truth()
			eventually(t, "the exporter to show the range", func() error {
				got, err := figuresOf(t, f.members[0].exporter)
				if text := difference(want, got); err == nil && text != "" {
					return fmt.Errorf("%s", text)
				}
				return err
			})
		})
	}
}

// backfill starts a backfill of all accounts that Weixin does not refuse, from the first day on, with the configuration
// of a member.
func (f *fleet) backfill(m *member) *exportertest.Process {
	f.t.Helper()
	args := []string{"backfill", "--config.file=" + m.config, fmt.Sprintf("--since=%v", f.first)}
	for _, appID := range f.appIDs {
		args = append(args, "--account="+nameOf(appID))
	}
	return m.run(f.t, args...)
}

// callsBy returns the number of calls of a member after the first ones.
func (f *fleet) callsBy(from, member int) int {
	n := 0
	for _, a := range f.arrivals.since(from) {
		if a.member == member {
			n++
		}
	}
	return n
}

// callsAgain returns the number of calls after the first ones that ask again what had been asked.
func (f *fleet) callsAgain(from int) int {
	again := 0
	asked := map[question]bool{}
	for i, a := range f.arrivals.since(0) {
		repeated := false
		for date := a.call.Begin; date <= a.call.End; date++ {
			q := question{a.call.AppID, a.call.API, date}
			repeated = repeated || asked[q]
			asked[q] = true
		}
		if repeated && i >= from {
			again++
		}
	}
	return again
}
