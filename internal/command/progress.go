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
	p.bars.begin(p.texts.Text("backfill.all"))
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
	pace

	texts      i18n.Printer
	latest     map[string]refresh.BackfillStatus // by account; without those that have ended
	done, left int
}

func (t *tally) begin(plan refresh.BackfillPlan) {
	t.latest = make(map[string]refresh.BackfillStatus, len(plan.Accounts))
	for i, a := range plan.Accounts {
		calls := plan.Calls[i]
		t.latest[a.Name] = refresh.BackfillStatus{Account: a.Name, Left: calls[datacube.Daily] + calls[datacube.Hourly]}
	}
	t.left = plan.Total()
	t.pace.begin()
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
	t.note(int64(t.done))
}

// perSecond returns the recent number of calls per second.
func (t *tally) perSecond() float64 { return t.pace.perSecond(int64(t.done)) }

// timeLeft returns the expected duration of the remaining calls, in words.
func (t *tally) timeLeft() string { return timeLeft(t.perSecond(), int64(t.left)) }

// text returns the text for the bar of the total.
func (t *tally) text() string {
	pace := fmt.Sprintf("%.1f", t.perSecond())
	if left := t.timeLeft(); left != unknownTime {
		return t.texts.Text("backfill.pace", pace, left)
	}
	return t.texts.Text("backfill.pace.unknown", pace)
}
