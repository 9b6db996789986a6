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

// host is a host whose clock can be set; the clock of the synctest bubble is right.
type host struct {
	*clock.Clock
	mu   sync.Mutex    // protects off while Run reads the clock
	off  time.Duration // how far the host's clock is ahead
	lost time.Duration // for how long the host was suspended
	log  bytes.Buffer
}

func newHost(off time.Duration, recorded time.Time) *host {
	h := &host{off: off}
	began := time.Now()
	h.Clock = clock.New(clock.Options{
		Now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return time.Now().Add(h.off)
		},
		Elapsed:  func() time.Duration { return time.Since(began) - h.lost },
		Recorded: recorded,
		Logger:   log.NewLogfmtLogger(&h.log),
	})
	return h
}

// pass waits on the clock of the bubble.
func pass(d time.Duration) { <-time.After(d) }

// respond delivers responses of Weixin a minute apart, whose clock is off by the given durations.
func (h *host) respond(off ...time.Duration) {
	for _, o := range off {
		pass(time.Minute)
		h.ObserveDate(time.Now().Add(o).UTC().Truncate(time.Second))
	}
}

func (h *host) wantTrusted(t *testing.T, what string, want time.Time) {
	t.Helper()
	if got := h.TrustedNow(); got.Sub(want).Abs() > 2*time.Second {
		t.Errorf("%s: trusted %v, want %v", what, got, want)
	}
}

func (h *host) wantOffset(t *testing.T, what string, want time.Duration, known bool) {
	t.Helper()
	if got, ok := h.Offset(); ok != known || (got-want).Abs() > 2*time.Second {
		t.Errorf("%s: offset %v (known: %t), want %v (%t)", what, got, ok, want, known)
	}
}

// wantLogged checks how often the log contains a text.
func (h *host) wantLogged(t *testing.T, text string, times int) {
	t.Helper()
	if got := strings.Count(h.log.String(), text); got != times {
		t.Errorf("logged %d times, want %d: %q\n%s", got, times, text, h.log.String())
	}
}

// table runs each case in its own bubble.
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

func TestTrustedNowWithoutResponses(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"an empty store": func(t *testing.T) {
			t.Helper()
			h := newHost(year, time.Time{})
			h.wantTrusted(t, "at the start", time.Now().Add(year))
			h.off += year
			h.wantTrusted(t, "set ahead", time.Now().Add(year+clock.Trust))
		},
		"a year ahead": func(t *testing.T) {
			t.Helper()
			seen := time.Now().Add(-time.Hour)
			h := newHost(year, seen)
			h.wantTrusted(t, "at the start", seen.Add(clock.Trust))
			pass(72 * time.Hour)
			h.wantTrusted(t, "three days later", seen.Add(clock.Trust+72*time.Hour))
		},
		"a day ahead": func(t *testing.T) {
			t.Helper()
			h := newHost(24*time.Hour, time.Now().Add(-time.Hour))
			h.wantTrusted(t, "at the start", time.Now().Add(24*time.Hour))
		},
		"behind": func(t *testing.T) {
			t.Helper()
			h := newHost(-year, time.Now().Add(-time.Hour))
			h.wantTrusted(t, "at the start", time.Now().Add(-year))
		},
		"no header": func(t *testing.T) {
			t.Helper()
			seen := time.Now()
			h := newHost(year, seen)
			h.ObserveDate(time.Time{})
			h.ObserveDate(time.Unix(0, 0))
			h.wantTrusted(t, "responses without a valid date", seen.Add(clock.Trust))
			h.wantOffset(t, "responses without a valid date", 0, false)
		},
	})
}

func TestTrustedNowAfterResponses(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"one that agrees is enough": func(t *testing.T) {
			t.Helper()
			h := newHost(time.Minute, time.Now().Add(-year))
			h.respond(0)
			h.wantTrusted(t, "after one response", time.Now())
			h.wantOffset(t, "after one response", time.Minute, true)
			h.wantLogged(t, "wrong", 0)
		},
		"one that disagrees is not": func(t *testing.T) {
			t.Helper()
			h := newHost(year, time.Now().Add(-time.Hour))
			h.respond(0, 0)
			h.wantTrusted(t, "after two responses", time.Now())
			h.wantOffset(t, "after two responses", 0, false)
			h.respond(0)
			h.wantTrusted(t, "after three responses", time.Now())
			h.wantOffset(t, "after three responses", year, true)
			if fault := h.Fault(); !strings.Contains(fault, "1y ahead of Weixin's") {
				t.Errorf("fault %q", fault)
			}
		},
		"the earliest counts before three": func(t *testing.T) {
			t.Helper()
			const ahead = 30 * time.Hour // less than Trust
			h := newHost(ahead, time.Now().Add(-time.Hour))
			h.respond(2*time.Hour, 0)
			h.wantTrusted(t, "the clock is ahead", time.Now())
			h.wantOffset(t, "the clock is ahead", 0, false)
			h = newHost(ahead, time.Time{})
			h.respond(0)
			h.wantTrusted(t, "the clock is ahead, and nothing is recorded", time.Now())
			h = newHost(-time.Hour, time.Now().Add(-2*time.Hour))
			h.respond(0)
			h.wantTrusted(t, "the clock is behind", time.Now().Add(-time.Hour))
		},
		"a response from long ago": func(t *testing.T) {
			t.Helper()
			seen := time.Now().Add(-time.Hour)
			h := newHost(0, seen)
			h.respond(-year)
			h.wantTrusted(t, "after one response", seen.Add(time.Minute))
			h.respond(0, 0)
			h.wantTrusted(t, "after three responses", time.Now())
		},
		"outliers do not count": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.respond(0, year, 0, -year, 0, 0, year)
			h.wantTrusted(t, "three of seven", time.Now())
			h.wantOffset(t, "three of seven", 0, true)
			h.wantLogged(t, "wrong", 0)
		},
		"the host's clock is a year behind": func(t *testing.T) {
			t.Helper()
			h := newHost(-year, time.Now().Add(-time.Hour))
			h.respond(0, 0, 0)
			h.wantTrusted(t, "after three responses", time.Now())
			h.wantOffset(t, "after three responses", -year, true)
		},
	})
}

func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	table(t, map[string]func(*testing.T){
		"ahead and back": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.respond(0, 0, 0)
			h.off = year
			h.wantTrusted(t, "a year ahead", time.Now())
			h.wantOffset(t, "before a response confirms it", 0, false)
			h.respond(0, 0, 0, 0)
			h.wantOffset(t, "after responses", year, true)
			h.wantLogged(t, "was set", 1)
			h.wantLogged(t, "is wrong: it is 1y ahead", 1)
			h.off = 0
			h.wantTrusted(t, "back", time.Now())
			h.respond(0, 0)
			h.wantOffset(t, "back", 0, true)
			h.wantLogged(t, "was set", 2)
			h.wantLogged(t, "is wrong", 1)
			h.wantLogged(t, "correct again", 1)
		},
		"the host slept": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			h.respond(0, 0, 0)
			pass(8 * time.Hour)
			h.lost = 8 * time.Hour
			h.wantTrusted(t, "at once", time.Now().Add(-8*time.Hour)) // never later than the true time
			h.wantOffset(t, "at once", 0, false)
			h.respond(0, 0, 0)
			h.wantTrusted(t, "after responses", time.Now())
			h.wantOffset(t, "after responses", 0, true)
			h.wantLogged(t, "is wrong", 0)
		},
		"drift": func(t *testing.T) {
			t.Helper()
			h := newHost(0, time.Now())
			for range 100 {
				h.respond(0)
				h.off += 30 * time.Second
			}
			h.wantOffset(t, "after a hundred steps", 50*time.Minute, true)
			h.wantLogged(t, "is wrong", 1)
		},
	})
}

// recorded is a store that keeps the times that it was given.
type recorded []time.Time

func (s *recorded) RecordTime(_ context.Context, at time.Time) error {
	*s = append(*s, at)
	return nil
}

func TestRunRecordsTheTime(t *testing.T) {
	t.Parallel()
	run := func(h *host, s *recorded, d time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		h.Run(ctx, s)
	}
	table(t, map[string]func(*testing.T){
		"only the host's clock": func(t *testing.T) {
			t.Helper()
			var s recorded
			seen := time.Now().Add(-time.Hour)
			run(newHost(year, seen), &s, 10*time.Hour+time.Minute)
			if last := s[len(s)-1]; len(s) != 11 || !last.Equal(seen.Add(10*time.Hour)) {
				t.Errorf("recorded %v", s)
			}
		},
		"nothing is known": func(t *testing.T) {
			t.Helper()
			var s recorded
			run(newHost(year, time.Time{}), &s, 10*time.Hour)
			if len(s) > 0 {
				t.Errorf("recorded %v", s)
			}
		},
		"after Weixin": func(t *testing.T) {
			t.Helper()
			var s recorded
			h := newHost(year, time.Time{})
			h.respond(0, 0, 0)
			run(h, &s, time.Minute)
			if len(s) != 1 || time.Since(s[0]).Abs() > 2*time.Minute {
				t.Errorf("recorded %v at %v", s, time.Now())
			}
		},
		"a jump is noticed": func(t *testing.T) {
			t.Helper()
			var s recorded
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
