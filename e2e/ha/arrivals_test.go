package ha_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// arrivals are the calls for figures that have reached the simulated Weixin.
type arrivals struct {
	fleet *fleet

	mu  sync.Mutex
	all []arrival
}

// arrival is a call, with what the database said when it arrived and before it was answered.
type arrival struct {
	call   weixintest.Call
	member int // whose call it is
	duty   duty
	// unclear is why duty could not be read.
	unclear error
}

// note is called by the simulated Weixin with each request.
func (l *arrivals) note(c weixintest.Call, from string) {
	// A call whose token Weixin refuses is made again with another one.
	if c.Begin == 0 || c.AppID == "" {
		return
	}
	const long = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	a := arrival{call: c, member: memberAt(from)}
	a.duty, a.unclear = l.fleet.database.dutyOf(ctx, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

// since returns the calls after the first n.
func (l *arrivals) since(n int) []arrival {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all[n:])
}

// question is what a call asks: one day of one account.
type question struct {
	appID, api string
	date       datacube.Date
}

// judge judges whether calls were made twice. It is used for one fleet from its start on.
type judge struct {
	asked map[question]arrival // the latest call for it
	// pids has the member of each process.
	pids   map[int]int
	losses []loss
	names  map[string]string // of processes, by ID
}

// circumstances are what a round did to the members.
type circumstances struct {
	// stopped are the members that were stopped in an orderly way: calls that they had not finished are made again.
	stopped []int
	// forgiven is true after a reload: the configuration may have been mended, so that refused calls are made again.
	forgiven bool
}

// verdict is the result of a round.
type verdict struct {
	faults []string
	// repeated counts, for each member, calls of its own that were made again by another process because it lost its
	// slots before it had stored the answers, and calls that it still made after it had lost them.
	repeated [members]int
}

// review judges the calls of a round.
func (j *judge) review(calls []arrival, c circumstances) verdict {
	var v verdict
	for _, a := range calls {
		stale := a.unclear == nil && j.memberOf(a.duty.pid) != a.member
		var cause int
		fault := ""
		again := false
		for date := a.call.Begin; date <= a.call.End; date++ {
			q := question{a.call.AppID, a.call.API, date}
			before, asked := j.asked[q]
			known := slices.Contains(a.duty.known, date) || a.duty.held && !c.forgiven
			j.asked[q] = a
			if !asked && !known || a.call.AppID == refused && c.forgiven {
				continue
			}
			again = true
			if fault == "" {
				cause, fault = j.excuse(before, a, stale, known, c)
			}
		}
		switch {
		case fault != "":
			v.faults = append(v.faults, fmt.Sprintf("%s: %s", describe(a), fault))
		case again:
			v.repeated[cause]++
		}
	}
	return v
}

// excuse returns the member because of whose misfortune a call was repeated, or why there is no excuse.
func (j *judge) excuse(before, a arrival, stale, known bool, c circumstances) (int, string) {
	slot := store.SlotOf(a.call.AppID)
	switch {
	case stale && j.lost(slot, 0, a.duty.epoch, a.member):
		return a.member, ""
	case stale && slices.Contains(c.stopped, a.member):
		return a.member, "" // it arrived after the process had ended
	case stale:
		return 0, fmt.Sprintf("process %d is responsible for it, and no one has lost it", a.duty.pid)
	case known:
		return 0, "the answer is in the database"
	case slices.Contains(c.stopped, before.member):
		return before.member, ""
	case a.unclear != nil || before.unclear != nil:
		if j.lost(slot, 0, 1<<62, before.member) {
			return before.member, ""
		}
		return 0, fmt.Sprintf("it was made before, and no one has lost the slot: %v, %v", before.unclear, a.unclear)
	case j.lost(slot, before.duty.epoch, a.duty.epoch, before.member) || j.lost(slot, 0, before.duty.epoch, before.member):
		return before.member, ""
	default:
		return 0, "it was made before by " + describe(before) + ", which has not lost the slot since then"
	}
}

// lost reports whether a member lost a slot to a process whose ownership began after one epoch and not after another.
func (j *judge) lost(slot int, after, until int64, member int) bool {
	return slices.ContainsFunc(j.losses, func(l loss) bool {
		return l.slot == slot && l.epoch > after && l.epoch <= until && j.memberOf(pidIn(j.names[l.loser])) == member
	})
}

// memberOf returns the member of a process; -1 if there is none.
func (j *judge) memberOf(pid int) int {
	if index, ok := j.pids[pid]; ok {
		return index
	}
	return -1
}

func describe(a arrival) string {
	return fmt.Sprintf("call %s for %s, %v to %v, by member %d in epoch %d of slot %d", a.call.API, nameOf(a.call.AppID),
		a.call.Begin, a.call.End, a.member, a.duty.epoch, store.SlotOf(a.call.AppID))
}
