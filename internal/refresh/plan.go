package refresh

import (
	"maps"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const (
	// longestDailyRange is the maximum range of getinterfacesummary, in days.
	longestDailyRange = 30
	// shortestGap and longestGap limit how soon yesterday is requested again if Weixin did not have it: the gaps
	// double from one to the other.
	shortestGap = 15 * time.Minute
	longestGap  = time.Hour
	// emptyAfter is how long after its end a day without rows is taken as a day without traffic. Users have reported
	// figures that were more than 24 hours late.
	emptyAfter = 48 * time.Hour
)

// Settings say which days are wanted and when they are requested.
type Settings struct {
	// ReadyAt is the time of day, from midnight in China, before which yesterday is not requested.
	ReadyAt time.Duration
	// HistoryDays is the number of days that are wanted, including yesterday.
	HistoryDays int
	// RecheckAfter is how long after its first answer a day is requested once more; 0: never.
	RecheckAfter time.Duration
	// Quota says whether the quotas of both calls are requested, too.
	Quota bool
}

// oldest returns the first wanted day.
func (s Settings) oldest(yesterday datacube.Date) datacube.Date {
	return max(yesterday-datacube.Date(s.HistoryDays)+1, datacube.FirstDate)
}

// ready reports whether yesterday may be requested at this time of day.
func (s Settings) ready(now time.Time) bool {
	return !now.Before(datacube.DateOf(now).Start().Add(s.ReadyAt))
}

// ledgersSince returns the first day that must be in the ledgers: a day that became known on the last day on which it was
// wanted is rechecked RecheckAfter later. One more day leaves time for failed attempts.
func (s Settings) ledgersSince(yesterday datacube.Date) datacube.Date {
	oldest := s.oldest(yesterday)
	if s.RecheckAfter == 0 {
		return oldest
	}
	day := 24 * time.Hour
	return max(oldest-datacube.Date((s.RecheckAfter+day-1)/day)-1, datacube.FirstDate)
}

// Purpose is why a call is due, in order of urgency.
type Purpose uint8

const (
	// Yesterday is for yesterday's figures.
	Yesterday Purpose = iota
	// History is for older days that are not known.
	History
	// Recheck is for known days that are requested once more.
	Recheck
	// Quota is for the number of calls left today rather than for figures.
	Quota
)

// quotaEvery is the minimum time between two requests for the same quota.
const quotaEvery = time.Hour

// String returns the purpose as it appears in logs.
func (p Purpose) String() string {
	return [...]string{"yesterday", "history", "recheck", "quota"}[p]
}

// Call is a call that is due. Begin and End are the first and the last requested day; they are zero with the purpose
// Quota.
type Call struct {
	API        datacube.API
	Purpose    Purpose
	Begin, End datacube.Date
}

// before reports whether c is more urgent than other.
func (c Call) before(other Call) bool {
	if c.Purpose != other.Purpose {
		return c.Purpose < other.Purpose
	}
	if c.End != other.End {
		return c.End > other.End
	}
	return c.API < other.API
}

// Ledger is what is known about the days of one call of an account.
type Ledger struct { //nolint:recvcheck // a value can be read, only a variable be changed
	store.States

	// refused are the days of the last answers that the store has refused, with the times of these answers: the states of the
	// days do not tell when they were asked for.
	refused map[datacube.Date]time.Time
}

// refuse notes that the answer for a day, which arrived at the given time, was refused by the store.
func (l *Ledger) refuse(date datacube.Date, at time.Time) {
	if l.refused == nil {
		l.refused = make(map[datacube.Date]time.Time)
	}
	maps.DeleteFunc(l.refused, func(_ datacube.Date, before time.Time) bool { return !at.Before(before.Add(leastGap)) })
	l.refused[date] = at
}

// pausesUntil returns the time before which a day is not requested, whatever says that it is due; a time not after now if there is
// none.
func (l Ledger) pausesUntil(date datacube.Date, now time.Time) time.Time {
	var until time.Time
	for _, asked := range [...]time.Time{l.At(date).AskedAt, l.refused[date]} {
		if end := asked.Add(leastGap); !isAhead(asked, now) && end.After(until) {
			until = end
		}
	}
	return until
}

// laterRows returns when Weixin was first seen to have rows for any day after date; zero if it never was.
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

// leastGap is the time between two calls about the same day, whatever else says that the day is due: a fault of this program
// must not become a call without a pause.
const leastGap = time.Minute

// dueCalls returns the calls of api that are due at now, most urgent first. again is when a day that Weixin did not have, or
// that was damaged, is due; zero if there is none. The result depends only on the arguments.
func dueCalls(now time.Time, s Settings, api datacube.API, l Ledgers) ([]Call, time.Time) {
	today := datacube.DateOf(now)
	yesterday := today - 1
	var calls []Call
	var again time.Time
	oldest := s.oldest(yesterday)
	d := newVerifier(api, l, oldest)
	for date := yesterday; date >= s.ledgersSince(yesterday); date-- {
		if d.own.Settled(d.other.States, date) {
			continue
		}
		purpose, due, at := dueDay(now, s, d.own, date)
		if date >= oldest && !due && at.IsZero() && d.due(now, s, date) {
			due = true
		}
		if date < oldest && purpose != Recheck {
			continue
		}
		if due {
			if until := d.own.pausesUntil(date, now); now.Before(until) {
				due, at = false, until
			}
		}
		if !due {
			again = earlier(again, at)
			continue
		}
		calls = appendDay(calls, api, purpose, date)
	}
	return sortCalls(calls), again
}

// dueDay returns whether and why a day is due at now. If it is not, it may return when it will be.
func dueDay(now time.Time, s Settings, l Ledger, date datacube.Date) (Purpose, bool, time.Time) {
	today := datacube.DateOf(now)
	ready := s.ready(now)
	state := l.At(date)
	if isAhead(state.AskedAt, now) {
		// The clock was wrong then or is wrong now; either way the time is meaningless.
		state.AskedAt = time.Time{}
	}
	switch {
	case state.Damaged > 0:
		at := state.AskedAt.Add(damagedGap(state.Damaged))
		return purposeOf(state, date, today), !now.Before(at), at
	case state.Status == store.Known:
		return Recheck, recheckDue(now, s, date, state), time.Time{}
	case date == today-1:
		if !ready {
			return Yesterday, false, time.Time{}
		}
		at := state.AskedAt.Add(gap(state.Asks))
		return Yesterday, state.Status == store.NeverAsked || !now.Before(at), at
	case state.Status == store.NeverAsked:
		return History, true, time.Time{}
	}
	// Weixin did not have the day, which is no longer yesterday. Request it when the answer can settle it, and
	// otherwise once a day unless it is verified, which only an empty list is.
	rows := l.laterRows(date, today-1)
	settled := date.End().Add(emptyAfter)
	due := since(state.AskedAt, rows, now) ||
		!now.Before(settled) && state.AskedAt.Before(settled) ||
		ready && datacube.DateOf(state.AskedAt) < today && (state.Rechecks == 0 || !state.Empty)
	return History, due, time.Time{}
}

// since reports whether something has happened after the last answer. A time that is still ahead was noted by a wrong clock:
// it would be after each answer until it has come.
func since(asked, at, now time.Time) bool { return at.After(asked) && !at.After(now) }

// clocksApart is how much the clocks of processes that share a store may differ.
const clocksApart = 10 * time.Minute

// isAhead reports whether the time of something past is so far ahead that a clock was wrong then or is wrong now.
func isAhead(at, now time.Time) bool { return at.After(now.Add(clocksApart)) }

// purposeOf returns why a day that has been requested before is requested again.
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

// recheckDue reports whether a known day must be requested once more. A recheck to which Weixin had no rows, or was not ready,
// is repeated at the intervals of days in doubt: by the hour, it would take a call an hour for each day of a long history.
func recheckDue(now time.Time, s Settings, date datacube.Date, state store.State) bool {
	if s.RecheckAfter == 0 || state.Rechecked || now.Before(state.KnownAt.Add(s.RecheckAfter)) {
		return false
	}
	return !state.AskedAt.After(state.KnownAt) || verifyDue(now, s, date, state)
}

// gap returns how long to wait after Weixin did not have yesterday for the asks-th time.
func gap(asks int) time.Duration {
	g := shortestGap
	for ; asks > 1 && g < longestGap; asks-- {
		g *= 2
	}
	return min(g, longestGap)
}

// appendDay adds a day, which must be older than all before it, as a call of its own or to a daily call that it extends.
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

// sortCalls sorts by purpose and keeps the order of days.
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
