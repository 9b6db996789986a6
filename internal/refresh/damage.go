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

// newDamage returns the failure of an answer with rows that could not be understood. The days without such rows are
// stored, so it does not hold up the next call.
func newDamage(api datacube.API, a answer) failure {
	err := fmt.Errorf("the %v response has invalid rows (%s), so the figures of %s are unknown",
		api, a.rejected, dates(slices.Sorted(maps.Keys(a.damaged))))
	return failure{err: err, reason: snapshot.InvalidRows, policy: policies[snapshot.InvalidRows], advice: weixin.InvalidRows.Advice(),
		cause: snapshot.Cause{Reason: snapshot.InvalidRows}}
}

// dates lists days, which must be sorted, as days and ranges, and shortens long lists.
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

// nextAsk returns when the first of the answer's damaged days is requested again; zero if other processes have made all of them
// known.
func (o *outcome[A]) nextAsk(now time.Time) time.Time {
	var next time.Time
	ask := func(damaged int) {
		if damaged > 0 {
			next = earlier(next, now.Add(damagedGap(damaged)))
		}
	}
	for i := range o.records {
		ask(o.records[i].State.Damaged)
	}
	for _, day := range o.outdated {
		if day.stored.Status != store.Known {
			ask(day.damaged)
		}
	}
	return next
}

// updateProblemDays counts inconsistent and damaged days, and reports whether the numbers have changed.
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
