package store

import (
	"math"
	"slices"

	"weixin_exporter/weixin/datacube"
)

// Pending are days of one account that one endpoint does not have yet. The caller owns it.
type Pending struct {
	AppID string
	// Daily and Hourly are Known days in the order of their dates.
	Daily  []datacube.Day
	Hourly []datacube.HourlyDay
	// TooOld is, for each API, the number of days up to Done that are before the requested date.
	TooOld [datacube.APIs]int64
	// More is true if there are further days after Done.
	More bool
	// Done is what MarkDelivered records once the endpoint is done with these days.
	Done Progress
}

// IsEmpty reports whether there is no day that must be sent or counted.
func (p *Pending) IsEmpty() bool {
	return len(p.Daily)+len(p.Hourly) == 0 && p.TooOld == [datacube.APIs]int64{}
}

// Progress is how far an endpoint has got with the days of an account. Only engines look into it.
type Progress struct {
	Position Position
	// Resent are the days that have been sent again.
	Resent Resent
	// Incarnation tells apart the states of the store of which one was replaced by an earlier one, as far as this Store has
	// noticed: the marks of one mean nothing in another. It is not stored.
	Incarnation int64
}

// Position is a place in the order in which the days of an account are sent: that of their marks and, for the
// same mark, of their dates.
type Position struct {
	Mark Mark
	// Date is the last day with the mark that is done; LastDate if all of them are.
	Date datacube.Date
}

// LastDate is a date after all days.
const LastDate datacube.Date = math.MaxInt32

// Resent are days that were scheduled to be sent again: those up to a date that were scheduled up to a mark. The
// zero value contains none.
type Resent struct {
	UpTo datacube.Date
	Mark Mark
}

// PendingDay is a day that is pending.
type PendingDay struct {
	Position Position
	API      datacube.API
}

// Budget counts how many samples still fit into the result of a ReadPending.
type Budget struct {
	left int
	some bool // something was taken, so that nothing has to exceed the limit
}

// NewBudget returns a budget for a limit of samples.
func NewBudget(limit int) *Budget { return &Budget{left: limit} }

// Spent reports whether nothing else fits.
func (b *Budget) Spent() bool { return b.left <= 0 }

// MaxDays returns the number of days of an account that suffice to spend the budget, and to find that there are more.
func (b *Budget) MaxDays() int { return max(0, b.left)/samplesOf(datacube.Daily) + 3 }

// Take returns how many of the days fit, which are in the order of their positions. Those of both APIs at the
// same position stay together, and the first ones are taken even if they exceed the limit.
func (b *Budget) Take(days []PendingDay) int {
	taken := 0
	for taken < len(days) {
		next, samples := taken, 0
		for next < len(days) && days[next].Position == days[taken].Position {
			samples += samplesOf(days[next].API)
			next++
		}
		if samples > b.left && b.some {
			break
		}
		b.some = true
		b.left -= samples
		taken = next
	}
	return taken
}

// Choose sets how far p is done, whose endpoint is at a position, and has everything at another: as many days as
// fit of those to be sent again, and only if these are all of them, as many of the fresh ones. Both are in the order of their positions.
// It returns the days that were chosen, and whether p gets past days, so that those that are too old must be counted.
func (b *Budget) Choose(p *Pending, from Position, everything Progress, again, fresh []PendingDay) (chosen []PendingDay, passes bool) { //nolint:nonamedreturns // a boolean needs a name
	p.Done = everything
	if taken := b.Take(again); taken < len(again) {
		p.Done.Position, p.Done.Resent.UpTo, p.More = from, 0, true
		if taken > 0 {
			p.Done.Resent.UpTo = again[taken-1].Position.Date
		}
		return again[:taken], false
	}
	if taken := b.Take(fresh); taken < len(fresh) {
		p.Done.Position, p.More = from, true
		if taken > 0 {
			p.Done.Position = fresh[taken-1].Position
		}
		fresh = fresh[:taken]
	}
	return slices.Concat(again, fresh), true
}

// Dates returns the dates of days, each once, by API and in ascending order.
func Dates(days []PendingDay) [datacube.APIs][]datacube.Date {
	var dates [datacube.APIs][]datacube.Date
	for _, d := range days {
		dates[d.API] = append(dates[d.API], d.Position.Date)
	}
	for api := range dates {
		slices.Sort(dates[api])
		dates[api] = slices.Compact(dates[api])
	}
	return dates
}

// samplesOf returns the number of samples that a day has in the history.
func samplesOf(api datacube.API) int {
	const each = 4
	if api == datacube.Hourly {
		return each * datacube.HoursPerDay
	}
	return each
}
