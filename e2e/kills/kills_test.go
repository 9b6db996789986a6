package kills_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/racetest"
)

// perWorld is how many kills a world has. What a world has to compare grows with each of them, and its number bounds what has
// to be repeated to find a fault.
const perWorld = 50

// An exporter is killed at random moments, TORTURE_KILLS times on both engines of the store together, while it refreshes, writes remotely,
// exchanges refresh tokens, probes and answers queries, often with a backfill beside it. TORTURE_SEED decides what happens
// when, as far as that does not depend on how fast the machine is.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills := uint64(300)
	if racetest.Enabled() {
		kills = 20 // a start takes ten times as long
	}
	kills = setting(t, "TORTURE_KILLS", kills)
	seed := setting(t, "TORTURE_SEED", rand.Uint64()%1e9)
	all := engines()
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			newSite := e.start(t)
			var sum tally
			t.Cleanup(func() { sum.report(t) })
			left := (kills + uint64(len(all)) - 1) / uint64(len(all))
			for n := uint64(0); left > 0; n++ {
				rounds := min(left, perWorld)
				left -= rounds
				t.Run(strconv.FormatUint(seed+n, 10), func(t *testing.T) {
					t.Parallel()
					t.Cleanup(func() {
						if t.Failed() {
							t.Logf("again: TORTURE_SEED=%d TORTURE_KILLS=%d go test ./e2e/kills -count=1 -run TestKilledAtAnyMoment/%s",
								seed+n, rounds*uint64(len(all)), e.name)
						}
					})
					w := newWorld(t, seed+n, newSite)
					t.Cleanup(func() { sum.add(&w.tally) })
					for range rounds {
						w.round()
					}
					w.end()
				})
			}
		})
	}
}

// tally is what has happened in worlds.
type tally struct {
	mu sync.Mutex

	kills, backfills int
	answers          int // of the exporter that were right
	idles            int // kills of an exporter that had nothing to do
	calls, lost      int // that succeeded, and those of them whose answers were not stored
	worst            int // of lost, with one kill
	oldest           time.Duration
	days             int
	exchanges        int
	repeats          int // samples that arrived again
}

func (s *tally) add(w *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills += w.kills
	s.backfills += w.backfills
	s.answers += w.answers
	s.idles += w.idles
	s.calls += w.calls
	s.lost += w.lost
	s.worst = max(s.worst, w.worst)
	s.oldest = max(s.oldest, w.oldest)
	s.days += w.days
	s.exchanges += w.exchanges
	s.repeats += w.repeats
}

func (s *tally) report(t *testing.T) {
	t.Helper()
	const enough = 20 // kills, so that one of them is certainly during a call
	if !t.Failed() && s.kills >= enough && s.lost == 0 {
		t.Error("no answer was ever lost, so no kill was during a call")
	}
	if !t.Failed() && s.kills >= enough && (s.answers == 0 || s.idles == 0) {
		t.Errorf("%d right answers and %d kills of an idle exporter show nothing", s.answers, s.idles)
	}
	t.Logf("%d kills, %d of a backfill as well, %d of an idle exporter; %d right answers; %d of %d calls lost their answers, at most %d with one kill, the oldest had arrived %v before it; %d days, %d exchanges of refresh tokens, %d samples sent again",
		s.kills, s.backfills, s.idles, s.answers, s.lost, s.calls, s.worst, s.oldest.Round(time.Millisecond), s.days, s.exchanges, s.repeats)
}
