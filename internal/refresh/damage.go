package refresh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

const damageAdvice = "What was known of these days stays, and they are asked for again. If it goes on, Weixin or a proxy on the way " +
	"has changed the form of its answers: look for a newer version of this program, or report what the answer looks like."

// newDamage returns the failure that an answer with rows that could not be understood is. The
// days without such rows are kept, so nothing follows from it for the next call.
func newDamage(api datacube.API, a answer) failure {
	var rows []string
	for reason, n := range a.rejected {
		if n > 0 && weixin.Rejection(reason) != weixin.OutOfRange {
			rows = append(rows, fmt.Sprintf("%d %v", n, weixin.Rejection(reason)))
		}
	}
	err := fmt.Errorf("the %v answer has rows that cannot be understood (%s), and so says nothing about %s",
		api, strings.Join(rows, ", "), dates(slices.Sorted(maps.Keys(a.damaged))))
	return failure{err: err, reason: snapshot.InvalidRows, policy: policies[snapshot.InvalidRows], advice: damageAdvice,
		cause: snapshot.Cause{Reason: snapshot.InvalidRows}}
}

// dates names days in ascending order, those in a row by the first and the last of them, and
// not too many.
func dates(days []datacube.Date) string {
	const most = 5
	var named []string
	for i := 0; i < len(days); {
		last := i
		for last+1 < len(days) && days[last+1] == days[last]+1 {
			last++
		}
		switch {
		case len(named) == most:
			return fmt.Sprintf("%s and %d more", strings.Join(named, ", "), len(days)-i)
		case last == i:
			named = append(named, days[i].String())
		default:
			named = append(named, days[i].String()+" to "+days[last].String())
		}
		i = last + 1
	}
	return strings.Join(named, ", ")
}

// nextAsk returns when the first of the damaged days is asked for again.
func nextAsk(now time.Time, records []store.Record) time.Time {
	var next time.Time
	for i := range records {
		if n := records[i].State.Damaged; n > 0 {
			next = earlier(next, now.Add(damagedGap(n)))
		}
	}
	return next
}

// updateProblemDays finds out how many days are in doubt, and reports whether that is news.
func (a *account) updateProblemDays(now time.Time, s Settings) bool {
	inconsistentDays, damaged := countProblemDays(now, a.ledgers, s.oldest(datacube.DateOf(now)-1))
	news := a.shown.Inconsistent != inconsistentDays
	for api, d := range damaged {
		work := &a.shown.Work[api]
		news = news || work.Damaged != d.days || work.LatestDamaged != d.latest
	}
	if !news {
		return false
	}
	a.change()
	a.shown.Inconsistent = inconsistentDays
	for api, d := range damaged {
		a.shown.Work[api].Damaged, a.shown.Work[api].LatestDamaged = d.days, d.latest
	}
	return true
}
