package refresh

import (
	"context"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// answer is what Weixin said to one call, the same for both calls.
type answer struct {
	daily       map[datacube.Date]datacube.Figures // the daily call: days with a row
	hourly      *datacube.Hours                    // the hourly call: nil where no row was kept
	damaged     map[datacube.Date]bool             // days of which the answer says nothing
	notReady    bool                               // errcode 61503 instead of a list
	rejected    [weixin.Rejections]int
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
		said, err := caller.InterfaceSummary(ctx, c.Begin, c.End)
		a := answer{
			rejected: said.Rejected, reformatted: said.Reformatted,
			damaged: make(map[datacube.Date]bool, len(said.Damaged)),
			daily:   make(map[datacube.Date]datacube.Figures, len(said.Days)),
		}
		for _, day := range said.Days {
			a.daily[day.Date] = day.Figures
		}
		for _, date := range said.Damaged {
			a.damaged[date] = true
		}
		return a.orNotReady(err)
	}
	said, err := caller.InterfaceSummaryHour(ctx, c.Begin)
	a := answer{rejected: said.Rejected, plainHours: said.PlainHours, reformatted: said.Reformatted}
	if said.Damaged {
		a.damaged = map[datacube.Date]bool{c.Begin: true}
	}
	if said.Rows > 0 {
		a.hourly = &said.Hours
	}
	return a.orNotReady(err)
}

// orNotReady turns errcode 61503 of an interface call into the answer that Weixin does not have the
// figures yet.
func (a answer) orNotReady(err error) (answer, error) {
	if err != nil && weixin.ReasonOf(err) == weixin.NotReady {
		return answer{notReady: true}, nil
	}
	return a, err
}

// hasRow reports whether there is one for the day.
func (a answer) hasRow(date datacube.Date) bool {
	if _, ok := a.daily[date]; ok {
		return true
	}
	return a.hourly != nil
}

// emptyIsInconclusive reports whether a day without a row may have had traffic all the same:
// because Weixin has not computed it, or because Weixin answers for other days than those
// asked for, as it has been seen to do before it sent empty lists.
func (a answer) emptyIsInconclusive() bool {
	return a.notReady || a.rejected[weixin.OutOfRange] > 0
}

// interpret turns an answer into a record for each day asked for.
// vanished are known days with traffic for which Weixin had no row: their figures
// are kept, because empty answers for days with traffic have been reported and a figure
// lost is lost for good. Nor does a row that could not be understood change what is known. It
// depends on its arguments alone.
func interpret(now time.Time, appID string, c Call, ledgers Ledgers, a answer) (records []store.Record, vanished []datacube.Date) { //nolint:nonamedreturns // two lists that need names
	l, other := ledgers.of(c.API)
	yesterday := datacube.DateOf(now) - 1
	rowsLater := false
	for date := c.End; date >= c.Begin; date-- {
		before := l.At(date)
		r := store.Record{AppID: appID, API: c.API, Date: date, State: before}
		r.State.AskedAt = now
		if a.damaged[date] {
			damage(&r.State)
			records = append(records, r)
			continue
		}
		r.State.Damaged = 0
		settled := date < yesterday && !a.emptyIsInconclusive() && (rowsLater || settled(now, l, date, yesterday))
		switch {
		case a.hasRow(date):
			setFigures(&r, a)
			setKnown(&r.State, before, now, false)
		case before.Status == store.Known:
			if !a.notReady {
				r.State.Rechecked = true
				r.State.Rechecks++
			}
			if !before.Empty && !a.notReady {
				vanished = append(vanished, date)
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

// damage notes that an answer could not be understood as far as a day is concerned.
func damage(s *store.State) {
	s.Damaged++
	if s.Status != store.Known {
		s.Status = store.NotReady
		s.Empty = false
		s.Asks++
	}
}

// settled reports whether a day without a row is one without traffic.
func settled(now time.Time, l Ledger, date, yesterday datacube.Date) bool {
	return !now.Before(date.End().Add(emptyAfter)) || !l.laterRows(date, yesterday).IsZero()
}

// setKnown makes a day known, or known once more. One that was known as a day without traffic
// and comes back with rows counts as known from now on: it is checked once more, as any other.
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

// setFigures takes a day's figures from the answer: zeros where it has no row.
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
