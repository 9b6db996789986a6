package clock_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/clock"
)

const year = 365 * 24 * time.Hour

// host is a host whose clock can be set; the bubble's clock is the truth.
type host struct {
	*clock.Clock
	mu   sync.Mutex    // for off while Run looks at the clock
	off  time.Duration // of the host's clock, ahead
	lost time.Duration // of the clock that cannot be set: the host slept
	log  bytes.Buffer
}

func newHost(off time.Duration, seen time.Time) *host {
	h := &host{off: off}
	began := time.Now()
	h.Clock = clock.New(clock.Options{
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return time.Now().Add(h.off)
		},
		Elapsed:  func() time.Duration { return time.Since(began) - h.lost },
		Recorded: seen,
		Logger:   log.NewLogfmtLogger(&h.log),
	})
	return h
}

// pass lets time pass on the bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

// answers lets Weixin answer with its own clock, off by the given durations, a minute apart.
func (h *host) answers(off ...time.Duration) {
	for _, o := range off {
		pass(time.Minute)
		h.ObserveDate(time.Now().Add(o).UTC().Truncate(time.Second))
	}
}

func (h *host) wantBelieved(t *testing.T, what string, want time.Time) {
	t.Helper()
	if got := h.TrustedNow(); got.Sub(want).Abs() > 2*time.Second {
		t.Errorf("%s: believed %v, want %v", what, got, want)
	}
}

func (h *host) wantOffset(t *testing.T, what string, want time.Duration, known bool) {
	t.Helper()
	if got, ok := h.Offset(); ok != known || (got-want).Abs() > 2*time.Second {
		t.Errorf("%s: offset %v (known: %t), want %v (%t)", what, got, ok, want, known)
	}
}

// wantLogged checks how often the log holds a text.
func (h *host) wantLogged(t *testing.T, text string, times int) {
	t.Helper()
	if got := strings.Count(h.log.String(), text); got != times {
		t.Errorf("logged %d times, want %d: %q\n%s", got, times, text, h.log.String())
	}
}

// table runs each case in a bubble of its own.
func table(t *testing.T, cases map[string]func(*testing.T)) {
	t.Helper()
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pass(time.Until(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)))
				run(t)
			})
		})
	}
}

func TestBelievedWithoutAnswers(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"an empty store": func(t *testing.T) {
			t.Helper()
			h := newHost(year, time.Time{})
			h.wantBelieved(t, "at the start", time.Now().Add(year))
			h.off += year
			h.wantBelieved(t, "set ahead", time.Now().Add(year+clock.Trust))
		},
		"a year ahead": func(t *testing.T) {
			t.Helper()
			seen := time.Now().Add(-time.Hour)
			h := newHost(year, seen)
			h.wantBelieved(t, "at the start", seen.Add(clock.Trust))
			pass(72 * time.Hour)
			h.wantBelieved(t, "three days later", seen.Add(clock.Trust+72*time.Hour))
		},
		"a day ahead": func(t *testing.T) {
			t.Helper()
			h := newHost(24*time.Hour, time.Now().Add(-time.Hour))
			h.wantBelieved(t, "at the start", time.Now().Add(24*time.Hour))
		},
		"behind": func(t *testing.T) {
			t.Helper()
			h := newHost(-year, time.Now().Add(-time.Hour))
			h.wantBelieved(t, "at the start", time.Now().Add(-year))
		},
		"no header": func(t *testing.T) {
			t.Helper()
			seen := time.Now()
			h := newHost(year, seen)
			h.ObserveDate(time.Time{})
			h.ObserveDate(time.Unix(0, 0))
			h.wantBelieved(t, "answers that say nothing", seen.Add(clock.Trust))
			h.wantOffset(t, "answers that say nothing", 0, false)
		},
	})
}

func TestBelievedAfterAnswers(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"one that agrees is enough": func(t *testing.T) {
			t.Helper()
			h := newHost(time.Minute, time.Now().Add(-year))
			h.answers(0)
			h.wantBelieved(t, "after one answer", time.Now())
			h.wantOffset(t, "after one answer", time.Minute, true)
			h.wantLogged(t, "wrong", 0)
		},
		"one that disagrees is not": func(t *testing.T) {
			t.Helper()
			h := newHost(year, time.Now().Add(-time.Hour))
			seen := time.Now().Add(-time.Hour)
			h.answers(0, 0)
			h.wantBelieved(t, "after two answers", seen.Add(clock.Trust+2*time.Minute))
			h.wantOffset(t, "after two answers", 0, false)
			h.answers(0)
			h.wantBelieved(t, "after three answers", time.Now())
			h.wantOffset(t, "after three answers", year, true)
			if fault := h.Fault(); !strings.Contains(fault, "1y ahead of Weixin's") {
				t.Errorf("fault %q", fault)
			}
		},
		"answers that are off do not count": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.answers(0, year, 0, -year, 0, 0, year)
			h.wantBelieved(t, "three of seven", time.Now())
			h.wantOffset(t, "three of seven", 0, true)
			h.wantLogged(t, "wrong", 0)
		},
		"the host's clock is a year behind": func(t *testing.T) {
			t.Helper()
			h := newHost(-year, time.Now().Add(-time.Hour))
			h.answers(0, 0, 0)
			h.wantBelieved(t, "after three answers", time.Now())
			h.wantOffset(t, "after three answers", -year, true)
		},
	})
}

func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"ahead and back": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.answers(0, 0, 0)
			h.off = year
			h.wantBelieved(t, "a year ahead", time.Now())
			h.wantOffset(t, "before an answer confirms it", 0, false)
			h.answers(0, 0, 0, 0)
			h.wantOffset(t, "after answers", year, true)
			h.wantLogged(t, "was set", 1)
			h.wantLogged(t, "is wrong: it is 1y ahead", 1)
			h.off = 0
			h.wantBelieved(t, "back", time.Now())
			h.answers(0, 0)
			h.wantOffset(t, "back", 0, true)
			h.wantLogged(t, "was set", 2)
			h.wantLogged(t, "is wrong", 1)
			h.wantLogged(t, "correct again", 1)
		},
		"the host slept": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.answers(0, 0, 0)
			pass(8 * time.Hour)
			h.lost = 8 * time.Hour
			h.wantBelieved(t, "at once", time.Now().Add(-8*time.Hour)) // never later than the truth
			h.wantOffset(t, "at once", 0, false)
			h.answers(0, 0, 0)
			h.wantBelieved(t, "after answers", time.Now())
			h.wantOffset(t, "after answers", 0, true)
			h.wantLogged(t, "is wrong", 0)
		},
		"drift": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			for range 100 {
				h.answers(0)
				h.off += 30 * time.Second
			}
			h.wantOffset(t, "after a hundred steps", 50*time.Minute, true)
			h.wantLogged(t, "is wrong", 1)
		},
	})
}

// told is a store that remembers what it was told.
type told []time.Time

func (s *told) RecordTime(_ context.Context, at time.Time) error {
	*s = append(*s, at)
	return nil
}

func TestRunTellsTheStoreWhatIsSure(t *testing.T) {
	t.Parallel()
	run := func(h *host, s *told, d time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		h.Run(ctx, s)
	}
	table(t, map[string]func(*testing.T){
		"only the host's clock": func(t *testing.T) {
			t.Helper()
			var s told
			seen := time.Now().Add(-time.Hour)
			run(newHost(year, seen), &s, 10*time.Hour+time.Minute)
			if last := s[len(s)-1]; len(s) != 11 || !last.Equal(seen.Add(10*time.Hour)) {
				t.Errorf("told %v", s)
			}
		},
		"nothing is known": func(t *testing.T) {
			t.Helper()
			var s told
			run(newHost(year, time.Time{}), &s, 10*time.Hour)
			if len(s) > 0 {
				t.Errorf("told %v", s)
			}
		},
		"after Weixin": func(t *testing.T) {
			t.Helper()
			var s told
			h := newHost(year, time.Time{})
			h.answers(0, 0, 0)
			run(h, &s, time.Minute)
			if len(s) != 1 || time.Since(s[0]).Abs() > 2*time.Minute {
				t.Errorf("told %v at %v", s, time.Now())
			}
		},
		"a jump is noticed": func(t *testing.T) {
			t.Helper()
			var s told
			h := newHost(0, time.Now())
			time.AfterFunc(time.Minute, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.off = year
			})
			run(h, &s, 3*time.Minute)
			h.wantLogged(t, "was set", 1)
		},
	})
}
