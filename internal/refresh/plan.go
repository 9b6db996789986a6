package refresh

import (
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const (
	// longestDailyRange is how many days getinterfacesummary answers for at once.
	longestDailyRange = 30
	// shortestGap and longestGap bound how soon a yesterday that was not there is asked for
	// again: the gaps double from the one to the other.
	shortestGap = 15 * time.Minute
	longestGap  = time.Hour
	// emptyAfter is how long after its end a day without rows is taken to be one without
	// traffic: users reported figures that came more than 24 hours late.
	emptyAfter = 48 * time.Hour
)

// Settings say what is to be known and from when on.
type Settings struct {
	// ReadyAt is the time of day, counted from China midnight, before which yesterday is
	// not asked for.
	ReadyAt time.Duration
	// HistoryDays is how many days are kept filled, yesterday included.
	HistoryDays int
	// RecheckAfter is how long after its first answer a day is asked for once more; 0 is never.
	RecheckAfter time.Duration
	// Quota says whether the quota of both calls is asked for, too.
	Quota bool
}

// oldest returns the first day that is kept filled.
func (s Settings) oldest(yesterday datacube.Date) datacube.Date {
	return max(yesterday-datacube.Date(s.HistoryDays)+1, datacube.FirstDate)
}

// ready reports whether it is so late in the day that yesterday is asked for.
func (s Settings) ready(now time.Time) bool {
	return !now.Before(datacube.DateOf(now).Start().Add(s.ReadyAt))
}

// ledgersSince returns the first day that still matters at all: one filled on the last day on which
// it was to be filled is asked for once more when it is RecheckAfter older. A day more
// leaves time for attempts that fail.
func (s Settings) ledgersSince(yesterday datacube.Date) datacube.Date {
	oldest := s.oldest(yesterday)
	if s.RecheckAfter == 0 {
		return oldest
	}
	day := 24 * time.Hour
	return max(oldest-datacube.Date((s.RecheckAfter+day-1)/day)-1, datacube.FirstDate)
}

// Purpose says why a call is due. The smaller is the more urgent.
type Purpose uint8

const (
	// Yesterday is the day that everybody waits for.
	Yesterday Purpose = iota
	// History is an older day that is not known.
	History
	// Recheck is a known day that is asked for once more.
	Recheck
	// Quota is no day, but how many calls are left for the day.
	Quota
)

// quotaEvery is the shortest time between two questions for the same quota.
const quotaEvery = time.Hour

// String returns the purpose as it stands in log lines.
func (p Purpose) String() string {
	return [...]string{"yesterday", "history", "recheck", "quota"}[p]
}

// Call is a call that is due. Begin and End are the days asked for, both included; with
// the purpose Quota there are none.
type Call struct {
	API        datacube.API
	Purpose    Purpose
	Begin, End datacube.Date
}

// before reports whether c is to be made before other, for equally healthy accounts.
func (c Call) before(other Call) bool {
	if c.Purpose != other.Purpose {
		return c.Purpose < other.Purpose
	}
	if c.End != other.End {
		return c.End > other.End
	}
	return c.API < other.API
}

// Ledger is what is known of the days of one account and one call.
type Ledger struct{ store.States }

// laterRows returns when rows were first seen for a day after date; zero if there are none.
// Of several days it is the earliest such moment.
func (l Ledger) laterRows(date, yesterday datacube.Date) time.Time {
	var first time.Time
	for later := date + 1; later <= yesterday; later++ {
		s := l.At(later)
		if s.Status == store.Known && !s.Empty && (first.IsZero() || s.KnownAt.Before(first)) {
			first = s.KnownAt
		}
	}
	return first
}

// dueCalls returns the calls of api that are due at now, the most urgent first, and when a day that
// was not there or not understood is to be asked for again: zero where nothing waits for that.
// It depends on its arguments alone.
func dueCalls(now time.Time, s Settings, api datacube.API, l Ledgers) ([]Call, time.Time) {
	today := datacube.DateOf(now)
	yesterday := today - 1
	var calls []Call
	var again time.Time
	oldest := s.oldest(yesterday)
	d := newVerifier(api, l, oldest)
	for date := yesterday; date >= s.ledgersSince(yesterday); date-- {
		purpose, due, at := dueDay(now, s, d.own, date)
		if date >= oldest && !due && at.IsZero() && d.due(now, s, date) {
			due = true
		}
		if date < oldest && purpose != Recheck {
			continue
		}
		if !due {
			again = earlier(again, at)
			continue
		}
		calls = appendDay(calls, api, purpose, date)
	}
	return sortCalls(calls), again
}

// dueDay says whether and why one day is to be asked for at now; if it is not, it may say
// when it will be.
func dueDay(now time.Time, s Settings, l Ledger, date datacube.Date) (Purpose, bool, time.Time) {
	today := datacube.DateOf(now)
	ready := s.ready(now)
	state := l.At(date)
	if state.AskedAt.After(now) {
		// The clock was wrong then or is now; either way the moment says nothing.
		state.AskedAt = time.Time{}
	}
	switch {
	case state.Damaged > 0:
		at := state.AskedAt.Add(damagedGap(state.Damaged))
		return purposeOf(state, date, today), !now.Before(at), at
	case state.Status == store.Known:
		return Recheck, recheckDue(now, s, state), time.Time{}
	case date == today-1:
		if !ready {
			return Yesterday, false, time.Time{}
		}
		at := state.AskedAt.Add(gap(state.Asks))
		return Yesterday, state.Status == store.NeverAsked || !now.Before(at), at
	case state.Status == store.NeverAsked:
		return History, true, time.Time{}
	}
	// Asked before, not there, and no longer yesterday: asked for when the answer can
	// settle it, and else once a day, unless it is in doubt.
	rows := l.laterRows(date, today-1)
	settled := date.End().Add(emptyAfter)
	due := rows.After(state.AskedAt) ||
		!now.Before(settled) && state.AskedAt.Before(settled) ||
		ready && datacube.DateOf(state.AskedAt) < today && state.Rechecks == 0
	return History, due, time.Time{}
}

// purposeOf says why a day that was asked for before is asked for again.
func purposeOf(state store.State, date, today datacube.Date) Purpose {
	switch {
	case state.Status == store.Known:
		return Recheck
	case date == today-1:
		return Yesterday
	default:
		return History
	}
}

// recheckDue reports whether a known day is to be asked for once more.
func recheckDue(now time.Time, s Settings, state store.State) bool {
	if s.RecheckAfter == 0 || state.Rechecked || now.Before(state.KnownAt.Add(s.RecheckAfter)) {
		return false
	}
	// An attempt that Weixin put off is not repeated at once.
	put := state.AskedAt.After(state.KnownAt)
	return !put || !now.Before(state.AskedAt.Add(longestGap))
}

// gap returns how long to wait after a yesterday was not there for the asks-th time.
func gap(asks int) time.Duration {
	g := shortestGap
	for ; asks > 1 && g < longestGap; asks-- {
		g *= 2
	}
	return min(g, longestGap)
}

// appendDay adds a day, older than all before it, to the calls: as a call of its own, or
// to a daily call that it continues.
func appendDay(calls []Call, api datacube.API, purpose Purpose, date datacube.Date) []Call {
	if api == datacube.Daily && purpose != Yesterday {
		for i := len(calls) - 1; i >= 0; i-- {
			c := &calls[i]
			if c.Purpose == purpose && c.Begin == date+1 && c.End-date < longestDailyRange {
				c.Begin = date
				return calls
			}
		}
	}
	return append(calls, Call{API: api, Purpose: purpose, Begin: date, End: date})
}

// sortCalls puts the more urgent purposes first and keeps the order of days.
func sortCalls(calls []Call) []Call {
	sorted := make([]Call, 0, len(calls))
	for purpose := Yesterday; purpose <= Recheck; purpose++ {
		for _, c := range calls {
			if c.Purpose == purpose {
				sorted = append(sorted, c)
			}
		}
	}
	return sorted
}
