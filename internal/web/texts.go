package web

import (
	"strconv"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// stateOf says in words how an account is.
func (p *page) stateOf(a *snapshot.Account, c condition) string {
	switch c {
	case needsAction, failing:
		return p.problemState(a, c)
	case callbacksFailed:
		return p.Message(figureFault(a))
	case inDoubt:
		return p.doubtState(a)
	case pending:
		return p.T("state.pending")
	case waiting:
		return p.waitingState(a)
	default:
		return p.knownState(a)
	}
}

// problemState is about the call that needs a person, or the one that is made again first.
func (p *page) problemState(a *snapshot.Account, c condition) string {
	var worst *snapshot.Problem
	for api := range datacube.APIs {
		if t := a.Work[api].Problem; t != nil && t.NeedsAction == (c == needsAction) && (worst == nil || t.Next.Before(worst.Next)) {
			worst = t
		}
	}
	if worst == nil {
		return p.T("state." + c.String())
	}
	title := p.Message(i18n.Cause(worst.Advice))
	if worst.Cause.Code != 0 {
		title = p.T("group.code", title, strconv.Itoa(worst.Cause.Code))
	}
	return p.T("state.problem", title, p.Clock(worst.Next, p.Now))
}

func (p *page) doubtState(a *snapshot.Account) string {
	if days := a.Work[datacube.Daily].Damaged + a.Work[datacube.Hourly].Damaged; days > 0 {
		return p.T("state.damaged", days)
	}
	return p.T("state.inconsistent", a.Inconsistent)
}

// waitingState says how often the latest day was asked for, and when it is asked for next.
func (p *page) waitingState(a *snapshot.Account) string {
	said := p.T("state.waiting")
	for api := range datacube.APIs {
		if w := a.Work[api]; w.NotReady && w.Asked > 0 {
			said = p.T("state.waiting.asked", int64(w.Asked))
			if !w.Next.IsZero() {
				return p.T("state.waiting.next", said, p.Clock(w.Next, p.Now))
			}
			return said
		}
	}
	return said
}

func (p *page) knownState(a *snapshot.Account) string {
	day, ok := latestDay(a)
	switch {
	case !ok:
		return p.T("state.ok.none")
	case day == datacube.DateOf(p.Now)-1:
		return p.T("state.ok.yesterday")
	default:
		return p.T("state.ok.until", day)
	}
}

// latestDay returns the latest day that both calls know, or the one that does.
func latestDay(a *snapshot.Account) (datacube.Date, bool) {
	switch {
	case a.Daily != nil && a.Hourly != nil:
		return min(a.Daily.Date, a.Hourly.Date), true
	case a.Daily != nil:
		return a.Daily.Date, true
	case a.Hourly != nil:
		return a.Hourly.Date, true
	default:
		return 0, false
	}
}
