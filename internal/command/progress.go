package command

import (
	"fmt"
	"math"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/weixin/datacube"
)

// linesEvery is how often a backfill without bars logs its progress.
const linesEvery = 10 * time.Second

// fillProgress shows the progress of a backfill: with bars on a terminal, and otherwise in the log.
type fillProgress struct {
	tally
	bars   *bars
	logger log.Logger
	said   time.Time // when the last line was logged
}

// begin starts showing the progress of a plan.
func (p *fillProgress) begin(plan refresh.BackfillPlan) {
	p.tally.begin(plan)
	p.said = p.now()
	level.Info(p.logger).Log("msg", "filling the store", "since", plan.Since, "until", plan.Until,
		"accounts", len(plan.Accounts), "calls", p.left, "force", plan.Force)
	p.bars.begin()
}

// end removes the bars.
func (p *fillProgress) end() { p.bars.end() }

// Show implements refresh.BackfillProgress.
func (p *fillProgress) Show(s refresh.BackfillStatus) {
	p.add(s)
	if p.bars.shown() {
		p.bars.show(s, p.done, p.left, p.text())
		return
	}
	if now := p.now(); now.Sub(p.said) >= linesEvery {
		p.said = now
		level.Info(p.logger).Log("msg", "backfill in progress", "calls", p.done, "calls_left", p.left,
			"calls_per_second", math.Round(10*p.perSecond())/10, "time_left", p.timeLeft())
	}
}

// tally adds up the progress of the accounts.
type tally struct {
	now        func() time.Time
	texts      i18n.Printer
	latest     map[string]refresh.BackfillStatus // by account; without those that have ended
	done, left int
	points     []point // of the last while, the oldest first
}

// point is the number of calls done at a time.
type point struct {
	at   time.Time
	done int
}

// paceTime is the period over which the pace is measured: long enough to be steady, short enough to follow
// changes.
const paceTime = 30 * time.Second

func (t *tally) begin(plan refresh.BackfillPlan) {
	t.latest = make(map[string]refresh.BackfillStatus, len(plan.Accounts))
	for i, a := range plan.Accounts {
		calls := plan.Calls[i]
		t.latest[a.Name] = refresh.BackfillStatus{Account: a.Name, Left: calls[datacube.Daily] + calls[datacube.Hourly]}
	}
	t.left = plan.Total()
	t.points = []point{{t.now(), 0}}
}

// add updates the progress of an account.
func (t *tally) add(s refresh.BackfillStatus) {
	former, ok := t.latest[s.Account]
	if !ok {
		return // it has ended
	}
	left := s.Left
	if s.Ended {
		left = 0 // they are not made
	}
	t.done += s.Done - former.Done
	t.left += left - former.Left
	t.latest[s.Account] = s
	if s.Ended {
		delete(t.latest, s.Account)
	}
	now := t.now()
	if last := t.points[len(t.points)-1]; now.Sub(last.at) >= time.Second {
		t.points = append(t.points, point{now, t.done})
	}
	for len(t.points) > 2 && now.Sub(t.points[1].at) >= paceTime {
		t.points = t.points[1:]
	}
}

// perSecond returns the recent number of calls per second.
func (t *tally) perSecond() float64 {
	first := t.points[0]
	passed := t.now().Sub(first.at).Seconds()
	if passed <= 0 {
		return 0
	}
	return float64(t.done-first.done) / passed
}

// unknownTime is the expected duration in the log if there is no pace yet.
const unknownTime = "unknown"

// timeLeft returns the expected duration of the remaining calls, in words.
func (t *tally) timeLeft() string {
	pace := t.perSecond()
	if t.left == 0 || pace <= 0 {
		return unknownTime
	}
	return roughly(time.Duration(float64(t.left) / pace * float64(time.Second)))
}

// text returns the text for the bar of the total.
func (t *tally) text() string {
	pace := fmt.Sprintf("%.1f", t.perSecond())
	if left := t.timeLeft(); left != unknownTime {
		return t.texts.Text("backfill.pace", pace, left)
	}
	return t.texts.Text("backfill.pace.unknown", pace)
}
