// Package clock checks the clock of this host, so that irreversible decisions wait until the time is
// certain. It compares the host's clock with the Date header of Weixin's responses, and with a
// monotonic clock.
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
	// Trust is how far the host's clock may be past the latest recorded time and still be trusted
	// without a response of Weixin.
	Trust = 48 * time.Hour

	// maxSamples is how many responses are compared; the median is used, so that an outlier does not matter.
	maxSamples = 15
	// minSamples is how many responses outweigh the host's clock.
	minSamples = 3
	// jump is a change against the monotonic clock that cannot be drift.
	jump = time.Minute
	// checkInterval is how often Run checks whether the clock was set.
	checkInterval = 30 * time.Second
	// recordInterval is how often the time is recorded in the store.
	recordInterval = time.Hour
)

// Store keeps the latest trusted time.
type Store interface {
	// RecordTime records an instant; one before the latest changes nothing.
	RecordTime(ctx context.Context, at time.Time) error
}

// Options configure a Clock.
type Options struct {
	// Now is the host's clock, which may be wrong and may be set at any time.
	Now func() time.Time
	// Elapsed is how long the process has run by a monotonic clock. It may stop while the host is
	// suspended, so times derived from it are never later than the true time.
	Elapsed func() time.Duration
	// Recorded is the latest time recorded in the store; zero if the store is empty.
	Recorded time.Time
	Logger   log.Logger
}

// Clock measures how wrong the host's clock is. It is safe for concurrent use.
type Clock struct {
	now     func() time.Time
	elapsed func() time.Duration
	logger  log.Logger

	mu sync.Mutex
	// recorded is the latest time recorded before the start, when elapsed was recordedAt.
	recorded   time.Time
	recordedAt time.Duration
	// empty means that no time had been recorded, so that recorded is that of the host's clock.
	empty bool
	// began is the time of the host's clock, less elapsed, when the clocks were last read.
	began time.Time
	// samples are of the latest responses since the host's clock last jumped.
	samples []sample
	// anchor is the time at which elapsed was 0, according to Weixin; zero until it is known.
	anchor time.Time
	// known means that anchor and the host's clock can be compared: no jump since.
	known bool
	wrong bool // was logged
}

// sample is the result of one response.
type sample struct {
	anchor time.Time
	offset time.Duration // how far the host's clock is ahead
}

// New returns a Clock. It starts nothing.
func New(o Options) *Clock {
	c := &Clock{now: o.Now, elapsed: o.Elapsed, logger: o.Logger, recorded: o.Recorded, recordedAt: o.Elapsed()}
	wall := c.wall()
	c.began = wall.Add(-c.recordedAt)
	if c.recorded.IsZero() {
		c.recorded, c.empty = wall, true // there is no data that could be lost
	}
	return c
}

// wall reads the host's clock, without the monotonic reading of time.Now.
func (c *Clock) wall() time.Time { return c.now().Round(0) }

// ObserveDate takes the Date header of a response of Weixin that has just arrived. The zero time is
// ignored.
func (c *Clock) ObserveDate(date time.Time) {
	if date.Before(datacube.FirstDate.Start()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.read()
	c.began = wall.Add(-elapsed) // small steps since the last response are part of the offset
	c.samples = append(c.samples, sample{anchor: date.Add(-elapsed), offset: wall.Sub(date)})
	if len(c.samples) > maxSamples {
		c.samples = slices.Delete(c.samples, 0, len(c.samples)-maxSamples)
	}
	if c.sufficient() {
		c.anchor, c.known = c.median(), true
	}
	c.report(wall, elapsed)
}

// sufficient reports whether the responses since the last jump determine the time: minSamples do even if
// they contradict the host's clock, fewer only if nothing contradicts them.
func (c *Clock) sufficient() bool {
	if len(c.samples) >= minSamples {
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

// read reads both clocks. If they have diverged, the host's clock was set or the monotonic clock was
// stopped, and earlier samples say nothing about the host's clock.
func (c *Clock) read() (time.Time, time.Duration) {
	wall, elapsed := c.wall(), c.elapsed()
	began := wall.Add(-elapsed)
	if by := began.Sub(c.began); by.Abs() > jump {
		c.samples, c.known = nil, false
		c.began = began
		level.Warn(c.logger).Log("msg", "the clock of this host was set, or the host was suspended; "+
			"no data is deleted or given up by the new time until Weixin's responses confirm it", "forward", by.Round(time.Second))
	}
	return wall, elapsed
}

// report logs when the clock becomes wrong and when it is correct again.
func (c *Clock) report(wall time.Time, elapsed time.Duration) {
	if !c.known {
		return
	}
	switch offset := wall.Sub(c.anchor.Add(elapsed)); {
	case !c.wrong && offset.Abs() > Tolerance:
		c.wrong = true
		level.Warn(c.logger).Log("msg", "the clock of this host is wrong: "+describe(offset)+
			"; set it: days are requested by this clock, and until then no data is deleted or given up by it", "offset", offset.Round(time.Second))
	case c.wrong && offset.Abs() <= Tolerance:
		c.wrong = false
		level.Info(c.logger).Log("msg", "the clock of this host is correct again", "offset", offset.Round(time.Second))
	}
}

// describe returns an offset in words.
func describe(offset time.Duration) string {
	const coarse = 10 * time.Minute // seconds do not matter from here on
	length := offset.Abs().Round(time.Second)
	if length >= coarse {
		length = length.Round(time.Minute)
	}
	direction := "ahead of"
	if offset < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("it is %v %s Weixin's", model.Duration(length), direction)
}

// TrustedNow returns the time that irreversible decisions may take as now. It is corrected by Weixin's
// responses. Before they determine it, it is the earliest of the host's clock, the times that the first
// responses state, and Trust past the latest recorded time plus the time elapsed since.
func (c *Clock) TrustedNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.read()
	if !c.anchor.IsZero() {
		return c.anchor.Add(elapsed)
	}
	trusted := earlier(wall, c.earliestNow(elapsed).Add(Trust))
	for _, s := range c.samples {
		stated := s.anchor.Add(elapsed)
		if earliest := c.earliestNow(elapsed); !c.empty && stated.Before(earliest) {
			stated = earliest // the response is wrong, and may be so by years
		}
		trusted = earlier(trusted, stated)
	}
	return trusted
}

// earliestNow returns the latest recorded time plus the time elapsed since the start: it cannot be earlier now.
func (c *Clock) earliestNow(elapsed time.Duration) time.Time {
	return c.recorded.Add(elapsed - c.recordedAt)
}

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
	wall, elapsed := c.read()
	if !c.known {
		return 0, false
	}
	return wall.Sub(c.anchor.Add(elapsed)), true
}

// Fault describes what is wrong with the host's clock; "" if nothing is known to be wrong.
func (c *Clock) Fault() string {
	offset, known := c.Offset()
	if !known || offset.Abs() <= Tolerance {
		return ""
	}
	return "the clock of this host is wrong: " + describe(offset)
}

// Run logs when the host's clock is set, and records the time in the store, until the context ends. If
// the store cannot be written it tries again later; other components report the error.
func (c *Clock) Run(ctx context.Context, s Store) {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	var recorded time.Time
	for ctx.Err() == nil {
		if at := c.tick(); !at.IsZero() && at.Sub(recorded) >= recordInterval && s.RecordTime(ctx, at) == nil {
			recorded = at
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// tick reads the clocks and returns a time that has certainly passed; zero if none is known.
func (c *Clock) tick() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.read()
	c.report(wall, elapsed)
	if !c.anchor.IsZero() {
		return c.anchor.Add(elapsed)
	}
	if c.empty {
		return time.Time{}
	}
	return earlier(wall, c.earliestNow(elapsed))
}
