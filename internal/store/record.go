package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"weixin_exporter/weixin/datacube"
)

// String returns the date, account and API of the record.
func (r *Record) String() string {
	return fmt.Sprintf("%v of %s, %v", r.Date, r.AppID, r.API)
}

// Saving says in errors what is saved.
func Saving(records []Record) string {
	if len(records) == 1 {
		return fmt.Sprintf("save %v", &records[0])
	}
	return fmt.Sprintf("save %d records", len(records))
}

// CheckRecords fails if one of the records is one that no response can produce.
func CheckRecords(records []Record) error {
	for i := range records {
		if err := records[i].check(); err != nil {
			return fmt.Errorf("%s: %w", Saving(records[i:i+1]), err)
		}
	}
	return nil
}

func (r *Record) check() error {
	switch {
	case r.AppID == "":
		return errors.New("the app id is missing")
	case r.API >= datacube.APIs:
		return errors.New("unknown API")
	case r.State.Status != NotReady && r.State.Status != Known:
		return fmt.Errorf("a day cannot become %q", r.State.Status)
	case r.Daily != nil && r.API != datacube.Daily, r.Hourly != nil && r.API != datacube.Hourly:
		return errors.New("the figures are of the other API")
	}
	return nil
}

// Revise returns the revision that the record is of the figures before, which are the hours of a day or, for
// datacube.Daily, the day as the first element; nil if they are the same.
func (r *Record) Revise(before *datacube.Hours) *Revision {
	revision := Revision{AppID: r.AppID, API: r.API, Date: r.Date}
	switch {
	case r.Daily != nil && *r.Daily != before[0]:
		revision.Before, revision.After = before[0], *r.Daily
	case r.Hourly != nil && *r.Hourly != *before:
		revision.Before, revision.After = wholeDay(before), wholeDay(r.Hourly)
	default:
		return nil
	}
	return &revision
}

// MarksDay reports whether the record's transaction gives its day a new mark: it makes the day known, whose status was
// this one before, or revises its figures.
func (r *Record) MarksDay(before Status, revised bool) bool {
	return r.State.Status == Known && (before != Known || revised)
}

// IsOutdated reports whether the record must not be stored, because its response was interpreted without what is stored of its
// day by now: stored is the state of that day and other the one of the same day of the other API. Known days stay known, and
// their figures are replaced only by others that Weixin has returned later. Without figures, a record only confirms those by which it
// was interpreted. A day becomes known as one without traffic only if no traffic is known, and then any figures replace its zeros,
// which Weixin has not returned.
func (r *Record) IsOutdated(stored, other State) bool {
	later := stored.AskedAt.After(r.State.AskedAt) && !stored.AskedAt.Equal(r.Before.AskedAt)
	switch {
	case r.State.Status != Known:
		return stored.Status == Known || later
	case !r.hasFigures():
		return stored.Status != Known || stored.Checksum != r.State.Checksum || later
	case r.isWithoutTraffic() && (stored.hasTraffic() || other.hasTraffic()):
		return true
	case stored.Status == Known && stored.Empty && !r.isWithoutTraffic():
		return false
	default:
		return stored.Status == Known && later && (r.Before.Status != Known || stored.Checksum != r.Before.Checksum)
	}
}

// NeedsOther reports whether IsOutdated needs the state of the other API.
func (r *Record) NeedsOther() bool { return r.hasFigures() && r.isWithoutTraffic() }

func (r *Record) hasFigures() bool { return r.Daily != nil || r.Hourly != nil }

func (r *Record) isWithoutTraffic() bool { return r.State.Status == Known && r.State.Empty }

func (s State) hasTraffic() bool { return s.Status == Known && !s.Empty }

// OutdatedError means that nothing was stored because these records are outdated: see Record.IsOutdated. The others can be stored
// without them.
type OutdatedError struct {
	Records []OutdatedRecord
}

// OutdatedRecord is one of the records of a Save.
type OutdatedRecord struct {
	// Index is that of the record.
	Index int
	// Stored is what is stored of its day.
	Stored State
	// Other is what is stored of the same day of the other API, if Record.NeedsOther.
	Other State
}

// Error implements error.
func (e *OutdatedError) Error() string {
	return fmt.Sprintf("what has been stored of %d of the days has changed since their responses were interpreted", len(e.Records))
}

// wholeDay returns the sum of the hours, with the longest of their maxima. Sums that overflow an int64
// are its maximum.
func wholeDay(hours *datacube.Hours) datacube.Figures {
	var day datacube.Figures
	for _, h := range hours {
		day.Callbacks = add(day.Callbacks, h.Callbacks)
		day.Failures = add(day.Failures, h.Failures)
		day.TimeCostMillis = add(day.TimeCostMillis, h.TimeCostMillis)
		day.MaxTimeCostMillis = max(day.MaxTimeCostMillis, h.MaxTimeCostMillis)
	}
	return day
}

func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// FromUnix returns a time that was stored in Unix seconds, in China time; 0 is the zero time.
func FromUnix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).In(datacube.China)
}
