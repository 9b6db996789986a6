package query

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"weixin_exporter/internal/yield"
)

// someMatching is what a regular expression of so many states, times the bytes of the texts that it is matched with, takes: up to
// about a millisecond.
const someMatching = 1 << 15

// pace lets others go first about once a millisecond while series are selected, and ends that with the context.
type pace struct {
	ctx  context.Context
	work int64 // since it let others go first
}

// step adds the work for a text of so many bytes with matchers of so much effort. The error is that of the context.
func (p *pace) step(effort int64, bytes int) error {
	if p.work += effort*int64(bytes) + someMatching/someSteps; p.work < someMatching {
		return nil
	}
	p.work = 0
	yield.Now()
	return p.ctx.Err()
}

// effortOf returns how many states the regular expressions of a label have together.
func effortOf(matchers []*labels.Matcher, label string) int64 {
	effort := int64(0)
	for _, m := range matchers {
		if m.Name != label || m.Type != labels.MatchRegexp && m.Type != labels.MatchNotRegexp || isChoice(m.Value) {
			continue
		}
		effort += statesOf(m.Value)
	}
	return effort
}
