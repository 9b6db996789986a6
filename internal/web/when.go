package web

import (
	"time"

	"weixin_exporter/internal/snapshot"
)

// when says since when something fails and when it is tried again. Where fixed is set, a reload does not end the wait.
func (p *page) when(since, next time.Time, fixed bool) string {
	key := "group.when"
	if fixed {
		key = "group.when.fixed"
	}
	return p.T(key, p.Clock(since, p.Now), p.Clock(next, p.Now))
}

// storeNotice says what is wrong with the store.
func (p *page) storeNotice(t *snapshot.Problem) groupView {
	return groupView{
		page: p, Tone: toneAction.String(), Title: p.T("group.store"), Said: t.Text, Advice: p.T("group.store.advice"),
		When: p.when(t.Since, t.Next, true),
	}
}

// stamp writes a time as the attribute datetime has it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
