package refresh

import (
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Ledgers are the ledgers of both calls of an account.
type Ledgers [datacube.APIs]Ledger

// of returns the ledger of the given call and that of the other one.
func (l Ledgers) of(api datacube.API) (Ledger, Ledger) { return l[api], l[datacube.APIs-1-api] }

// damagedGap returns how long to wait after n damaged answers in a row before requesting the day again: from 15
// minutes to 8 hours, then days. Most causes of damaged answers pass within an hour, or persist until this program
// is updated.
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

// verifyAfterDays is after how many days a day is verified again: one day after the answer that made it known, then
// at growing intervals, because Weixin has been observed to answer with empty lists for days with traffic.
var verifyAfterDays = [...]datacube.Date{1, 3, 7, 30}

// A day is verified once more in the last days of the history, if it has not been asked about for a while: later it is not
// asked for again, and damaged answers may have put the verification after 30 days off for too long.
const (
	lastDays     = 3 // more than one, for calls that fail
	notAskedDays = 7
)

// verifyDue reports whether it is time to verify a day again. All days are verified at the same time of day, so that
// consecutive days share a call.
func verifyDue(now time.Time, s Settings, date datacube.Date, state store.State) bool {
	today := datacube.DateOf(now)
	wait := verifyAfterDays[min(state.Rechecks, len(verifyAfterDays)-1)]
	if date < s.oldest(today-1)+lastDays {
		wait = min(wait, notAskedDays)
	}
	return s.ready(now) && datacube.DateOf(state.AskedAt)+wait <= today
}

// inconsistent reports whether the two calls contradict each other about a day: by different sums, or because only one
// of them has traffic.
func inconsistent(now time.Time, date datacube.Date, one, other store.State) bool {
	return differ(one, other) || contradicted(now, date, one, other) || contradicted(now, date, other, one)
}

// differ reports whether both calls know the day, with different figures.
func differ(one, other store.State) bool {
	return one.Checksum != 0 && other.Checksum != 0 && one.Checksum != other.Checksum
}

// contradicted reports whether a call has no rows for a day for which the other one has traffic, at a time when that
// would otherwise mean a day without traffic.
func contradicted(now time.Time, date datacube.Date, lacking, other store.State) bool {
	return lacking.Status == store.NotReady && lacking.Empty && hasTraffic(other) && !now.Before(date.End().Add(emptyAfter))
}

// hasTraffic reports whether the day is known and has traffic.
func hasTraffic(s store.State) bool { return s.Status == store.Known && !s.Empty }

// hasTraffic reports whether any day from oldest on has traffic.
func (l Ledger) hasTraffic(oldest datacube.Date) bool {
	for date, state := range l.All() {
		if date >= oldest && hasTraffic(state) {
			return true
		}
	}
	return false
}

// verifier decides which days of a call must be verified.
type verifier struct {
	api        datacube.API
	own, other Ledger
	// traffic is true if the account has had traffic recently.
	traffic bool
}

func newVerifier(api datacube.API, l Ledgers, oldest datacube.Date) verifier {
	d := verifier{api: api}
	d.own, d.other = l.of(api)
	d.traffic = d.own.hasTraffic(oldest) || d.other.hasTraffic(oldest)
	return d
}

// due reports whether a day must be verified now.
func (d verifier) due(now time.Time, s Settings, date datacube.Date) bool {
	own, other := d.own.At(date), d.other.At(date)
	if isAhead(own.AskedAt, now) {
		own.AskedAt = time.Time{} // as in dueDay
	}
	if inconsistent(now, date, own, other) {
		// The figures may be available by now, since they are from the other call.
		found := !hasTraffic(own) && hasTraffic(other) && since(own.AskedAt, other.KnownAt, now)
		return found || verifyDue(now, s, date, own)
	}
	// The daily call covers many days at once; if it returns figures, the day becomes inconsistent and the hourly call
	// is made as well.
	return d.api == datacube.Daily && d.traffic && own.Status == store.Known && own.Empty && verifyDue(now, s, date, own)
}

// countProblemDays returns the number of inconsistent days and, for each call, the number of damaged days and the latest
// of them.
func countProblemDays(now time.Time, l Ledgers, oldest datacube.Date) (int64, [datacube.APIs]damagedDays) {
	var inconsistentDays int64
	var damaged [datacube.APIs]damagedDays
	for api := range l {
		own, other := l.of(datacube.API(api))
		for date, state := range own.Unsettled(other.States) {
			// Known days are rechecked for a while after unknown days of the same age are given up.
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
