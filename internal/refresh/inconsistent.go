package refresh

import (
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Ledgers are those of both calls of one account.
type Ledgers [datacube.APIs]Ledger

// of returns the ledger of a call, and that of the other one.
func (l Ledgers) of(api datacube.API) (Ledger, Ledger) { return l[api], l[datacube.APIs-1-api] }

// damagedGap returns how long after the latest of n answers in a row that could not be
// understood a day is asked for again: from 15 minutes to 8 hours, then days. Most of what
// damages an answer passes within the hour, or stays until this program is changed.
func damagedGap(n int) time.Duration {
	const doubling, daily = 6, 9
	switch {
	case n <= doubling:
		return shortestGap << max(n-1, 0)
	case n <= daily:
		return 24 * time.Hour
	default:
		return 72 * time.Hour
	}
}

// verifyAfterDays are after how many days a day that is in doubt is asked for again: a day after the
// answer that made it known, then ever later, because Weixin has been seen to answer with empty
// lists for days with traffic.
var verifyAfterDays = [...]datacube.Date{1, 3, 7, 30}

// verifyDue reports whether a day that is in doubt is to be asked for again. All such days come
// due at one time of the day, so that those that are neighbours share a call.
func verifyDue(now time.Time, s Settings, state store.State) bool {
	today := datacube.DateOf(now)
	wait := verifyAfterDays[min(state.Rechecks, len(verifyAfterDays)-1)]
	return s.ready(now) && datacube.DateOf(state.AskedAt)+wait <= today
}

// inconsistent reports whether the two calls contradict each other about a day: other sums, or
// traffic by one of them alone.
func inconsistent(now time.Time, date datacube.Date, one, other store.State) bool {
	return differ(one, other) || contradicted(now, date, one, other) || contradicted(now, date, other, one)
}

// differ reports whether a day is known by both calls, with figures that are not the same.
func differ(one, other store.State) bool {
	return one.Checksum != 0 && other.Checksum != 0 && one.Checksum != other.Checksum
}

// contradicted reports whether a call has no rows for a day at a time when that would mean a day
// without traffic, if the other call did not have some.
func contradicted(now time.Time, date datacube.Date, lacking, other store.State) bool {
	return lacking.Status == store.NotReady && lacking.Empty && hasTraffic(other) && !now.Before(date.End().Add(emptyAfter))
}

// hasTraffic reports whether a day is known to have had traffic.
func hasTraffic(s store.State) bool { return s.Status == store.Known && !s.Empty }

// hasTraffic reports whether there is a day with traffic from oldest on.
func (l Ledger) hasTraffic(oldest datacube.Date) bool {
	for date, state := range l.All() {
		if date >= oldest && hasTraffic(state) {
			return true
		}
	}
	return false
}

// verifier says which days of one call are in doubt.
type verifier struct {
	api        datacube.API
	own, other Ledger
	// traffic is true where the account has had traffic lately.
	traffic bool
}

func newVerifier(api datacube.API, l Ledgers, oldest datacube.Date) verifier {
	d := verifier{api: api}
	d.own, d.other = l.of(api)
	d.traffic = d.own.hasTraffic(oldest) || d.other.hasTraffic(oldest)
	return d
}

// due reports whether a day is in doubt, and to be asked for again now.
func (d verifier) due(now time.Time, s Settings, date datacube.Date) bool {
	own, other := d.own.At(date), d.other.At(date)
	if own.AskedAt.After(now) {
		own.AskedAt = time.Time{} // as in dueDay
	}
	if inconsistent(now, date, own, other) {
		// What has become known by the other call may be there by this one, too.
		found := !hasTraffic(own) && hasTraffic(other) && other.KnownAt.After(own.AskedAt)
		return found || verifyDue(now, s, own)
	}
	// The daily call answers for many days at once; where it brings figures, the hourly
	// call contradicts them and is made, too.
	return d.api == datacube.Daily && d.traffic && own.Status == store.Known && own.Empty && verifyDue(now, s, own)
}

// countProblemDays returns how many days the two calls contradict each other about, and by each call
// how many days the latest answer was damaged for, with the latest of them.
func countProblemDays(now time.Time, l Ledgers, oldest datacube.Date) (int64, [datacube.APIs]damagedDays) {
	var inconsistentDays int64
	var damaged [datacube.APIs]damagedDays
	for api := range l {
		own, other := l.of(datacube.API(api))
		for date, state := range own.All() {
			// A known day is checked again for a while after others of its age are given up.
			if state.Damaged > 0 && (date >= oldest || state.Status == store.Known) {
				damaged[api].days++
				damaged[api].latest = date
			}
			if date >= oldest && datacube.API(api) == datacube.Daily && inconsistent(now, date, state, other.At(date)) {
				inconsistentDays++
			}
		}
	}
	return inconsistentDays, damaged
}

type damagedDays struct {
	days   int64
	latest datacube.Date
}
