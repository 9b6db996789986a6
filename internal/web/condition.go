package web

import (
	"strings"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// condition says in a word how an account is, worst first. It is what the accounts are sorted, filtered
// and counted by.
type condition uint8

const (
	// needsAction is an account whose call failed for what does not pass by itself.
	needsAction condition = iota
	// callbacksFailed is one whose latest figures deserve attention, by the rule of the alerts.
	callbacksFailed
	// failing is one whose call failed for what passes by itself.
	failing
	// inDoubt is one of whose days an answer could not be understood or contradicts another.
	inDoubt
	// pending is one that was not asked for yet.
	pending
	// waiting is one whose latest day Weixin has not published yet.
	waiting
	// known is one whose latest days are known.
	known
	conditions
)

// String returns the condition as it stands in URLs and classes.
func (c condition) String() string {
	return [...]string{"action", "figures", "failing", "doubt", "pending", "waiting", "ok"}[c]
}

// needsPerson reports whether someone has to do something about it.
func (c condition) needsPerson() bool { return c <= callbacksFailed }

// parseCondition is the reverse of String.
func parseCondition(text string) (condition, bool) {
	for c := range conditions {
		if c.String() == text {
			return c, true
		}
	}
	return 0, false
}

// conditionOf returns the worst that can be said of an account.
func conditionOf(a *snapshot.Account) condition {
	state := a.State()
	switch {
	case state == snapshot.NeedsAction:
		return needsAction
	case !figureFault(a).IsZero():
		return callbacksFailed
	case state == snapshot.Failing:
		return failing
	case doubtful(a):
		return inDoubt
	case state == snapshot.Pending:
		return pending
	case state == snapshot.Waiting:
		return waiting
	default:
		return known
	}
}

func doubtful(a *snapshot.Account) bool {
	return a.Inconsistent > 0 || a.Work[datacube.Daily].Damaged > 0 || a.Work[datacube.Hourly].Damaged > 0
}

// figureKind names what is wrong with the latest figures of an account; the order is that in which one is
// named before the other.
type figureKind string

const (
	figuresWell  figureKind = ""
	manyFailed   figureKind = "failed"
	manyTimedOut figureKind = "timeout"
	hoursFailed  figureKind = "hours"
)

func kindOfFigures(a *snapshot.Account) figureKind {
	switch {
	case a.Daily != nil && a.Daily.Figures.TimedOut():
		return manyTimedOut
	case a.Daily != nil && a.Daily.Figures.ManyFailed():
		return manyFailed
	case a.Hourly != nil && len(a.Hourly.Hours.Failed()) > 0:
		return hoursFailed
	default:
		return figuresWell
	}
}

// figureFault says what is wrong with the latest figures of an account; the zero value if nothing is.
func figureFault(a *snapshot.Account) i18n.Message {
	switch kind := kindOfFigures(a); kind {
	case manyFailed, manyTimedOut:
		ratio, _ := a.Daily.Figures.FailureRatio()
		return i18n.M("state.figures."+string(kind), i18n.Ratio(ratio))
	case hoursFailed:
		return i18n.M("state.figures.hours", hourList(a.Hourly.Hours.Failed()))
	default:
		return i18n.Message{}
	}
}

func hourList(hours []int) string {
	const most = 4
	var b strings.Builder
	for i, hour := range hours {
		if i == most {
			b.WriteString(" …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(twoDigits(hour) + ":00")
	}
	return b.String()
}

func twoDigits(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }
