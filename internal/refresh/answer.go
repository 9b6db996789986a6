package refresh

import (
	"context"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// answer is Weixin's response to a call, in one form for both calls.
type answer struct {
	daily       map[datacube.Date]datacube.Figures // daily call: the days that have a row
	hourly      *datacube.Hours                    // hourly call: nil if no row was accepted
	damaged     map[datacube.Date]bool             // days whose rows could not be understood
	notReady    bool                               // errcode 61503 instead of a list
	rejected    weixin.Rejected
	plainHours  int
	reformatted int
	quota       weixin.CallQuota // of a call with the purpose Quota
}

// ask makes one call.
func ask(ctx context.Context, caller Caller, c Call) (answer, error) {
	if c.Purpose == Quota {
		quota, err := caller.Quota(ctx, c.API)
		return answer{quota: quota}, err
	}
	if c.API == datacube.Daily {
		response, err := caller.InterfaceSummary(ctx, c.Begin, c.End)
		a := answer{
			rejected: response.Rejected, reformatted: response.Reformatted,
			damaged: make(map[datacube.Date]bool, len(response.Damaged)),
			daily:   make(map[datacube.Date]datacube.Figures, len(response.Days)),
		}
		for _, day := range response.Days {
			a.daily[day.Date] = day.Figures
		}
		for _, date := range response.Damaged {
			a.damaged[date] = true
		}
		return a.orNotReady(err)
	}
	response, err := caller.InterfaceSummaryHour(ctx, c.Begin)
	a := answer{rejected: response.Rejected, plainHours: response.PlainHours, reformatted: response.Reformatted}
	if response.Damaged {
		a.damaged = map[datacube.Date]bool{c.Begin: true}
	}
	if response.Rows > 0 {
		a.hourly = &response.Hours
	}
	return a.orNotReady(err)
}

// orNotReady turns errcode 61503 (figures not ready) of an interface call into an answer.
func (a answer) orNotReady(err error) (answer, error) {
	if err != nil && weixin.ReasonOf(err) == weixin.NotReady {
		return answer{notReady: true}, nil
	}
	return a, err
}

// hasRow reports whether the answer has a row for the day.
func (a answer) hasRow(date datacube.Date) bool {
	if _, ok := a.daily[date]; ok {
		return true
	}
	return a.hourly != nil
}

// emptyIsInconclusive reports whether a day without rows may have had traffic after all: because Weixin has
// not computed it yet, or because the answer covers other days than the requested ones, as Weixin has been
// observed to answer before it returns empty lists.
func (a answer) emptyIsInconclusive() bool {
	return a.notReady || a.rejected[weixin.OutOfRange] > 0
}

// interpret turns an answer into a record for each requested day. It depends only on its arguments. certain is a time that has
// passed even if the clock that shows now is ahead: only by it a day without rows becomes one without traffic.
//
// vanished are known days with traffic for which Weixin returned no rows. Their figures are kept: Weixin is
// reported to answer with empty lists for days with traffic, and it keeps no figures for long. Rows that could
// not be understood do not change known figures either.
func interpret(now, certain time.Time, appID string, c Call, ledgers Ledgers, a answer) (records []store.Record, vanished []datacube.Date) { //nolint:nonamedreturns // two lists that need names
	l, other := ledgers.of(c.API)
	yesterday := datacube.DateOf(now) - 1
	rowsLater := false
	for date := c.End; date >= c.Begin; date-- {
		before := l.At(date)
		r := store.Record{AppID: appID, API: c.API, Date: date, State: before, Before: before}
		r.State.AskedAt = now
		if a.damaged[date] {
			damage(&r.State)
			records = append(records, r)
			continue
		}
		r.State.Damaged = 0
		settled := date < yesterday && !a.emptyIsInconclusive() && (rowsLater || settled(certain, l, date, yesterday))
		switch {
		case a.hasRow(date):
			setFigures(&r, a)
			setKnown(&r.State, before, now, false)
		case before.Status == store.Known:
			r.State.Rechecks++
			switch {
			case a.notReady: // not rechecked
			case before.Empty:
				r.State.Rechecked = true
			default:
				vanished = append(vanished, date) // not rechecked: a revision would be missed
			}
		case settled && !hasTraffic(other.At(date)):
			setFigures(&r, a)
			setKnown(&r.State, before, now, true)
		default:
			r.State.Status = store.NotReady
			r.State.Empty = !a.emptyIsInconclusive()
			r.State.Asks++
			if contradicted(now, date, r.State, other.At(date)) {
				r.State.Rechecks++
			}
		}
		rowsLater = rowsLater || a.hasRow(date)
		records = append(records, r)
	}
	return records, vanished
}

// damage notes that the answer for a day could not be understood.
func damage(s *store.State) {
	s.Damaged++
	if s.Status != store.Known {
		s.Status = store.NotReady
		s.Empty = false
		s.Asks++
	}
}

// settled reports whether a day without rows can be taken as a day without traffic.
func settled(now time.Time, l Ledger, date, yesterday datacube.Date) bool {
	return !now.Before(date.End().Add(emptyAfter)) || !l.laterRows(date, yesterday).IsZero()
}

// setKnown marks a day as known or as rechecked. A day that was known as empty and now has rows counts as newly
// known, so that it is rechecked like any other.
func setKnown(s *store.State, before store.State, now time.Time, empty bool) {
	s.Status = store.Known
	s.Empty = empty
	if before.Status == store.Known && (!before.Empty || empty) {
		s.Rechecked = true
		s.Rechecks++
		return
	}
	s.KnownAt = now
	s.Rechecked = false
	s.Rechecks = 0
}

// setFigures sets a day's figures from the answer; without a row they are zero.
func setFigures(r *store.Record, a answer) {
	if r.API == datacube.Daily {
		figures := a.daily[r.Date]
		r.Daily = &figures
		r.State.Checksum = store.Checksum(figures)
		return
	}
	r.Hourly = &datacube.Hours{}
	if a.hourly != nil {
		r.Hourly = a.hourly
	}
	r.State.Checksum = store.Checksum(r.Hourly[:]...)
}
