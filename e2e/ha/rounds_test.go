package ha_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"weixin_exporter/weixin/weixintest"
)

// perFleet is the number of rounds after which a new fleet is started.
const perFleet = 10

// atRisk is how many calls may have to be made again after a member lost its slots: those under way, and those whose
// answers are being stored, fewer than twice the concurrency.
const atRisk = 3*concurrency - 1

// TestRounds lets HA_ROUNDS faults happen to exporters that share a database while they work, at random moments that
// follow from HA_SEED. After each of them every figure is stored and shown by all exporters, and no call was made twice
// but those under way at the fault.
func TestRounds(t *testing.T) {
	t.Parallel()
	rounds := setting(t, "HA_ROUNDS", 2*perFleet)
	seed := setting(t, "HA_SEED", uint64(time.Now().UnixNano())%1e6)
	for n := uint64(0); n*perFleet < rounds; n++ {
		t.Run(strconv.FormatUint(seed+n, 10), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again: HA_SEED=%d HA_ROUNDS=%d go test ./e2e/ha -count=1 -run TestRounds", seed+n, perFleet)
				}
			})
			w := &watch{fleet: newFleet(t, rand.New(rand.NewPCG(seed+n, 0)), (seed+n)%2 == 0, nil)}
			w.begin()
			order := w.order(int(min(perFleet, rounds-n*perFleet)))
			for number, what := range order {
				w.round(number, what)
			}
			w.finish()
		})
	}
}

// watch is what is observed of a fleet.
type watch struct {
	*fleet
	judge   judge
	judged  int // calls
	total   int
	allowed [members]int
	made    [members]int
	seen    int // requests to Weixin whose tokens were reviewed
	retaken int // tokens that were requested more than once a day

	slowest, latest time.Duration
}

// begin starts all members and waits until they are complete for the first time.
func (w *watch) begin() {
	w.t.Helper()
	for _, m := range w.members {
		w.start(m)
		if m.index == 0 {
			w.database.watchLosses(w.t) // it has made the tables
		}
	}
	w.judge = judge{asked: map[question]arrival{}, pids: map[int]int{}, names: map[string]string{}}
	w.waitStored()
	w.waitShown()
	w.review("the start", episode{quiet: true})
}

// order returns the faults of so many rounds: each kind at most once more than any other.
func (w *watch) order(rounds int) []fault {
	var order []fault
	for len(order) < rounds {
		all := faults()
		w.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		order = append(order, all...)
	}
	return order[:rounds]
}

// round lets a day pass, and a fault happen while its figures are requested.
func (w *watch) round(number int, what fault) {
	w.t.Helper()
	calls := (len(w.appIDs) + 1) * 2
	when := w.random.IntN(calls)
	before := len(w.arrivals.since(0))
	w.nextDay()
	began := time.Now()
	eventually(w.t, fmt.Sprintf("call %d of the day", when), func() error {
		if n := len(w.arrivals.since(before)); n < when {
			return fmt.Errorf("there were %d", n)
		}
		return nil
	})
	e := what.strike(w.fleet)
	if !e.alone {
		e.heal()
	}
	w.waitStored()
	stored := time.Since(began)
	if e.alone {
		e.heal()
	}
	shown := w.waitShown()
	w.slowest, w.latest = max(w.slowest, stored), max(w.latest, shown)
	repeated := w.review(what.name, e)
	w.t.Logf("round %d: %s at call %d: stored after %v, shown by all %v later; %d calls, %d of them again",
		number, what.name, when, stored.Round(time.Millisecond), shown.Round(time.Millisecond), len(w.arrivals.since(before)), repeated)
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// waitShown waits until all exporters show what is true, and returns how long it took.
func (w *watch) waitShown() time.Duration {
	w.t.Helper()
	began := time.Now()
	want := w.truth()
	eventually(w.t, "all exporters to show the same", func() error {
		var wrong []error
		for _, m := range w.members {
			got, err := figuresOf(w.t, m.exporter)
			if err == nil {
				if text := difference(want, got); text != "" {
					err = errors.New(text)
				}
			}
			if err != nil {
				wrong = append(wrong, fmt.Errorf("member %d: %w", m.index, err))
			}
		}
		return errors.Join(wrong...)
	})
	return time.Since(began)
}

// review judges the calls since the last review, and returns how many of them were made again.
func (w *watch) review(what string, e episode) int {
	w.t.Helper()
	for _, m := range w.members {
		w.judge.pids[m.exporter.PID()] = m.index
	}
	slow := w.readLosses(what, e)
	calls := w.arrivals.since(w.judged)
	w.judged += len(calls)
	v := w.judge.review(calls, e.circumstances)
	for _, fault := range v.faults {
		w.t.Errorf("%s: %s", what, fault)
	}
	w.reviewTokens(what, e.quiet && !slow)
	for _, index := range slices.Concat(e.victims, e.stopped) {
		w.allowed[index] += atRisk
	}
	repeated := 0
	for index, n := range v.repeated {
		repeated += n
		if w.made[index] += n; w.made[index] > w.allowed[index] {
			w.t.Errorf("%s: %d calls were made again because of member %d, at most %d were under way", what, w.made[index], index, w.allowed[index])
		}
	}
	w.total += repeated
	return repeated
}

// reviewTokens fails if Weixin has refused a refresh token, which then is lost, or if a token was requested twice for no
// reason.
func (w *watch) reviewTokens(what string, quiet bool) {
	w.t.Helper()
	calls := w.weixin.Calls()
	requested := map[string]int{}
	for _, c := range calls[w.seen:] {
		if c.API != "authorizer" && c.API != "stable_token" {
			continue
		}
		if requested[c.AppID]++; c.Errcode != 0 && c.Errcode != weixintest.NoAnswer {
			w.t.Errorf("%s: Weixin has answered the call %s for %s with errcode %d", what, c.API, nameOf(c.AppID), c.Errcode)
		}
	}
	w.seen = len(calls)
	for appID, n := range requested {
		w.retaken += n - 1
		if n > 1 && quiet {
			w.t.Errorf("%s: %d requests for a token of %s", what, n, nameOf(appID))
		}
	}
}

// readLosses reads which slots were lost. A member that loses its slots without a fault is slow, because the machine is;
// it reports whether there was one.
func (w *watch) readLosses(what string, e episode) bool {
	w.t.Helper()
	var lost []loss
	eventually(w.t, "the slots that were lost", func() error {
		names, err := w.database.names(w.t.Context())
		if err != nil {
			return err
		}
		maps.Copy(w.judge.names, names)
		lost, err = w.database.losses(w.t.Context(), len(w.judge.losses))
		return err
	})
	w.judge.losses = append(w.judge.losses, lost...)
	slow := map[int]int{}
	for _, l := range lost {
		pid := pidIn(w.judge.names[l.loser])
		loser := w.judge.memberOf(pid)
		// Those of a process that was killed are claimed in a later round if the day was complete before.
		if loser >= 0 && pid == w.members[loser].exporter.PID() && !slices.Contains(e.victims, loser) {
			slow[loser]++
		}
	}
	for index, n := range slow {
		w.t.Logf("%s: member %d lost %d slots because it was slow", what, index, n)
		w.allowed[index] += atRisk
	}
	return len(slow) > 0
}

// finish checks what can be said at the end.
func (w *watch) finish() {
	w.t.Helper()
	w.checkStored()
	w.checkSent()
	w.t.Logf("%d calls, %d of them made again, at most %v per member because of the faults; %d tokens were requested again; the longest day took %v, the slowest exporter %v; %d samples were sent again",
		len(w.arrivals.since(0)), w.total, w.allowed, w.retaken, w.slowest.Round(time.Millisecond), w.latest.Round(time.Millisecond), w.receiver.Repeats())
}
