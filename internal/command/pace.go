package command

import "time"

// paceTime is the period over which a pace is measured: long enough to be steady, short enough to follow
// changes.
const paceTime = 30 * time.Second

// pace measures how fast something proceeds.
type pace struct {
	now    func() time.Time
	points []point // of the last while, the oldest first
}

// point is how much was done at a time.
type point struct {
	at   time.Time
	done int64
}

func (p *pace) begin() { p.points = []point{{p.now(), 0}} }

// note notes how much is done.
func (p *pace) note(done int64) {
	now := p.now()
	if last := p.points[len(p.points)-1]; now.Sub(last.at) >= time.Second {
		p.points = append(p.points, point{now, done})
	}
	for len(p.points) > 2 && now.Sub(p.points[1].at) >= paceTime {
		p.points = p.points[1:]
	}
}

// perSecond returns how much was done per second recently, when this much is done.
func (p *pace) perSecond(done int64) float64 {
	first := p.points[0]
	passed := p.now().Sub(first.at).Seconds()
	if passed <= 0 {
		return 0
	}
	return float64(done-first.done) / passed
}

// unknownTime is the expected duration in the log if there is no pace yet.
const unknownTime = "unknown"

// timeLeft returns the expected duration of what remains, in words.
func timeLeft(perSecond float64, left int64) string {
	if left == 0 || perSecond <= 0 {
		return unknownTime
	}
	return roughly(time.Duration(float64(left) / perSecond * float64(time.Second)))
}
