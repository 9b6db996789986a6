package refresh

import (
	"time"

	"weixin_exporter/store"
	"weixin_exporter/summary"
	"weixin_exporter/weixin"
)

// answer is what Weixin said to one call, the same for both calls.
type answer struct {
	daily      map[summary.Date]summary.Figures // the daily call: days with a row
	hourly     *summary.Hours                   // the hourly call: nil where no row was kept
	notReady   bool                             // errcode 61503 instead of a list
	rejected   [weixin.Rejections]int
	plainHours int
}

// row reports whether there is one for the day.
func (a answer) row(date summary.Date) bool {
	if _, ok := a.daily[date]; ok {
		return true
	}
	return a.hourly != nil
}

// damaged reports whether the lack of a row says nothing, because rows could not be read
// or Weixin has not computed the day.
func (a answer) damaged() bool {
	return a.notReady || a.rejected[weixin.BadValue] > 0 || a.rejected[weixin.BadHour] > 0
}

// absorb turns an answer into what is to be stored: a record for each day asked for.
// vanished are known days with traffic for which Weixin had no row: their figures
// are kept, because empty answers for days with traffic have been reported and a figure
// lost is lost for good. It depends on its arguments alone.
func absorb(now time.Time, appID string, c Call, l Ledger, a answer) (records []store.Record, vanished []summary.Date) { //nolint:nonamedreturns // two lists that need names
	yesterday := summary.DateOf(now) - 1
	rowsLater := false
	for date := c.End; date >= c.Begin; date-- {
		before := l.At(date)
		r := store.Record{AppID: appID, API: c.API, Date: date, State: before}
		r.State.AskedAt = now
		switch {
		case a.row(date):
			setFigures(&r, a)
			setKnown(&r.State, before, now, false)
		case before.Status == store.Known:
			if !a.notReady {
				r.State.Rechecked = true
			}
			if !before.Empty && !a.notReady {
				vanished = append(vanished, date)
			}
		case !a.damaged() && date < yesterday && (rowsLater || settled(now, l, date, yesterday)):
			setFigures(&r, a)
			setKnown(&r.State, before, now, true)
		default:
			r.State.Status = store.NotThere
			r.State.Empty = !a.damaged()
			r.State.Asks++
		}
		rowsLater = rowsLater || a.row(date)
		records = append(records, r)
	}
	return records, vanished
}

// settled reports whether a day without a row is one without traffic.
func settled(now time.Time, l Ledger, date, yesterday summary.Date) bool {
	return !now.Before(date.End().Add(emptyAfter)) || !l.laterRows(date, yesterday).IsZero()
}

func setKnown(s *store.State, before store.State, now time.Time, empty bool) {
	s.Status = store.Known
	s.Empty = empty
	if before.Status == store.Known {
		s.Rechecked = true
		return
	}
	s.KnownAt = now
}

// setFigures takes a day's figures from the answer: zeros where it has no row.
func setFigures(r *store.Record, a answer) {
	if r.API == summary.Daily {
		figures := a.daily[r.Date]
		r.Daily = &figures
		return
	}
	if a.hourly != nil {
		r.Hourly = a.hourly
		return
	}
	r.Hourly = &summary.Hours{}
}
