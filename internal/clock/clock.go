// Package clock judges the clock of this host, so that what cannot be undone waits until the
// time is sure. It compares the host's clock with the Date header of Weixin's answers, and with
// a clock that cannot be set.
package clock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/model"

	"weixin_exporter/weixin/datacube"
)

const (
	// Tolerance is how far the host's clock may be off before it counts as wrong.
	Tolerance = 5 * time.Minute
	// Trust is how far past the latest instant that the store has seen the host's clock is
	// believed by itself.
	Trust = 48 * time.Hour

	// kept is how many answers are compared; their median counts, so one that is off does not.
	kept = 15
	// enough is how many answers are believed against the host's clock.
	enough = 3
	// jump is a difference to the clock that cannot be set that has not grown by itself.
	jump = time.Minute
	// lookEvery is how often Run looks whether the clock was set.
	lookEvery = 30 * time.Second
	// keepEvery is how often the store is told.
	keepEvery = time.Hour
)

// Store keeps the latest instant that was believed.
type Store interface {
	// RecordTime notes an instant; one before the latest changes nothing.
	RecordTime(ctx context.Context, at time.Time) error
}

// Options are what a Clock is made of.
type Options struct {
	// Now is the host's clock, which may be wrong and may be set at any time.
	Now func() time.Time
	// Elapsed is how long the process has run by a clock that nobody can set. It may stand still
	// while the host sleeps, so what follows from it is never later than the truth.
	Elapsed func() time.Duration
	// Recorded is the latest instant that the store has seen; zero if it holds nothing.
	Recorded time.Time
	Logger   log.Logger
}

// Clock knows how wrong the host's clock is. It is safe for concurrent use.
type Clock struct {
	now     func() time.Time
	elapsed func() time.Duration
	logger  log.Logger

	mu sync.Mutex
	// seen is the latest instant known at the start, for which elapsed was seenAt.
	seen   time.Time
	seenAt time.Duration
	// empty means that the store had seen nothing, so that seen is only what the host says.
	empty bool
	// began is what the host's clock showed, less elapsed, when it was last looked at.
	began time.Time
	// samples are the latest answers since the host's clock last jumped.
	samples []sample
	// anchor is the instant at which elapsed was 0, after Weixin; zero until it is known.
	anchor time.Time
	// known means that anchor and the host's clock can be compared: no jump since.
	known bool
	wrong bool // which was logged
}

// sample is what one answer says.
type sample struct {
	anchor time.Time
	offset time.Duration // of the host's clock, ahead
}

// New returns a Clock. It starts nothing.
func New(o Options) *Clock {
	c := &Clock{now: o.Now, elapsed: o.Elapsed, logger: o.Logger, seen: o.Recorded, seenAt: o.Elapsed()}
	wall := c.wall()
	c.began = wall.Add(-c.seenAt)
	if c.seen.IsZero() {
		c.seen, c.empty = wall, true // there is nothing that could be lost
	}
	return c
}

// wall is the host's clock; times of it are compared by what it shows.
func (c *Clock) wall() time.Time { return c.now().Round(0) }

// ObserveDate tells of an answer of Weixin's with this Date header, which has just come. The zero
// time says nothing.
func (c *Clock) ObserveDate(date time.Time) {
	if date.Before(datacube.FirstDate.Start()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.look()
	c.began = wall.Add(-elapsed) // small steps since the last answer are part of the offset
	c.samples = append(c.samples, sample{anchor: date.Add(-elapsed), offset: wall.Sub(date)})
	if len(c.samples) > kept {
		c.samples = slices.Delete(c.samples, 0, len(c.samples)-kept)
	}
	if c.sufficient() {
		c.anchor, c.known = c.median(), true
	}
	c.judge(wall, elapsed)
}

// sufficient reports whether the answers since the last jump tell the time: several do against
// the host's clock, fewer only where nothing contradicts them.
func (c *Clock) sufficient() bool {
	if len(c.samples) >= enough {
		return true
	}
	for _, s := range c.samples {
		if s.offset.Abs() > Tolerance || !c.anchor.IsZero() && s.anchor.Sub(c.anchor).Abs() > Tolerance {
			return false
		}
	}
	return true
}

func (c *Clock) median() time.Time {
	sorted := slices.SortedFunc(slices.Values(c.samples), func(a, b sample) int { return a.anchor.Compare(b.anchor) })
	return sorted[(len(sorted)-1)/2].anchor
}

// look reads both clocks. If they moved apart, the host's clock was set or the other stood still:
// what was known of the former says nothing about the present one.
func (c *Clock) look() (time.Time, time.Duration) {
	wall, elapsed := c.wall(), c.elapsed()
	began := wall.Add(-elapsed)
	if by := began.Sub(c.began); by.Abs() > jump {
		c.samples, c.known = nil, false
		c.began = began
		level.Warn(c.logger).Log("msg", "the clock of this host was set, or the host slept; "+
			"nothing is removed or given up by the new time before Weixin's answers confirm it", "forward", by.Round(time.Second))
	}
	return wall, elapsed
}

// judge logs when the clock becomes wrong and when it is right again.
func (c *Clock) judge(wall time.Time, elapsed time.Duration) {
	if !c.known {
		return
	}
	switch offset := wall.Sub(c.anchor.Add(elapsed)); {
	case !c.wrong && offset.Abs() > Tolerance:
		c.wrong = true
		level.Warn(c.logger).Log("msg", "the clock of this host is wrong: "+describe(offset)+
			"; set it: days are asked for by this clock, and until then nothing is removed or given up by it", "offset", offset.Round(time.Second))
	case c.wrong && offset.Abs() <= Tolerance:
		c.wrong = false
		level.Info(c.logger).Log("msg", "the clock of this host is right again", "offset", offset.Round(time.Second))
	}
}

// describe says an offset in words.
func describe(offset time.Duration) string {
	const whole = 10 * time.Minute // from here on seconds do not matter
	length := offset.Abs().Round(time.Second)
	if length >= whole {
		length = length.Round(time.Minute)
	}
	direction := "ahead of"
	if offset < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("it is %v %s Weixin's", model.Duration(length), direction)
}

// TrustedNow returns the instant that decisions that cannot be undone may take as now. It is
// corrected by Weixin's answers; before there are any it is the host's clock, but never more than
// Trust past the latest instant that the store has seen and what has elapsed since.
func (c *Clock) TrustedNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.look()
	if !c.anchor.IsZero() {
		return c.anchor.Add(elapsed)
	}
	return earlier(wall, c.sinceSeen(elapsed).Add(Trust))
}

// sinceSeen is the latest instant that was seen and what has elapsed since the start: the present
// cannot be earlier.
func (c *Clock) sinceSeen(elapsed time.Duration) time.Time { return c.seen.Add(elapsed - c.seenAt) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Offset returns how far the host's clock is ahead of Weixin's, or false while that is unknown.
func (c *Clock) Offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.look()
	if !c.known {
		return 0, false
	}
	return wall.Sub(c.anchor.Add(elapsed)), true
}

// Fault says what is wrong with the host's clock; "" if nothing is known to be.
func (c *Clock) Fault() string {
	offset, known := c.Offset()
	if !known || offset.Abs() <= Tolerance {
		return ""
	}
	return "the clock of this host is wrong: " + describe(offset)
}

// Run notices when the host's clock is set, and tells the store the time, until the context ends.
// A store that cannot be written is told again later: others say what is wrong with it.
func (c *Clock) Run(ctx context.Context, s Store) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var told time.Time
	for ctx.Err() == nil {
		if at := c.tick(); !at.IsZero() && at.Sub(told) >= keepEvery && s.RecordTime(ctx, at) == nil {
			told = at
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// tick looks at the clocks and returns an instant that is not after the present one; zero if
// none is known.
func (c *Clock) tick() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.look()
	c.judge(wall, elapsed)
	if !c.anchor.IsZero() {
		return c.anchor.Add(elapsed)
	}
	if c.empty {
		return time.Time{}
	}
	return earlier(wall, c.sinceSeen(elapsed))
}
