package store

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"weixin_exporter/weixin/datacube"
)

// States are the states of the days of one account and API, by ref date. A day takes 20 bytes, since a
// program may hold all days of thousands of accounts; so times are kept to the second, as in the
// store. The zero value is empty and ready for use. A copy shares the days with its original: only one
// of the two may be changed.
type States struct { //nolint:recvcheck // a value can be read and compared, only a variable be changed
	days []packedState // in the order of their dates
}

// packedState is a State in compact form.
type packedState struct {
	date             datacube.Date
	askedAt, knownAt uint32 // Unix seconds, 0 for the zero time
	checksum         uint32
	asks             uint16
	flags            uint8 // the status and the flags below
	doubts           uint8 // damaged, and rechecks * 16
}

const (
	flagStatus    = 3
	flagEmpty     = 4
	flagRechecked = 8
	// MaxDoubts is where Damaged and Rechecks stop counting.
	MaxDoubts = 15
)

// At returns the state of a day; the zero State, NeverAsked, if it has none.
func (s States) At(date datacube.Date) State {
	i, found := s.find(date)
	if !found {
		return State{}
	}
	return s.days[i].unpack()
}

// Settled reports whether nothing is open about a day: both have it as known, with traffic and the same checksum, rechecked
// and not damaged. This is so for most days, and found out in a fraction of the time that At takes.
func (s States) Settled(other States, date datacube.Date) bool {
	i, found := s.find(date)
	if !found || !s.days[i].settled() {
		return false
	}
	j, found := other.find(date)
	return found && other.days[j].settled() && s.days[i].checksum == other.days[j].checksum
}

// Unsettled yields the days that are not Settled, in the order of their dates.
func (s States) Unsettled(other States) iter.Seq2[datacube.Date, State] {
	return func(yield func(datacube.Date, State) bool) {
		for _, p := range s.days {
			if !s.Settled(other, p.date) && !yield(p.date, p.unpack()) {
				return
			}
		}
	}
}

// Set replaces the state of a day. NeverAsked removes it.
func (s *States) Set(date datacube.Date, state State) {
	if state.Status == NeverAsked {
		if i, found := s.find(date); found {
			s.days = slices.Delete(s.days, i, i+1)
		}
		return
	}
	s.set(pack(date, state))
}

// Forget removes the days before a date.
func (s *States) Forget(before datacube.Date) {
	i, _ := s.find(before)
	s.days = slices.Delete(s.days, 0, i)
}

// Len returns the number of days.
func (s States) Len() int { return len(s.days) }

// Equal reports whether both have the same states for the same days.
func (s States) Equal(other States) bool { return slices.Equal(s.days, other.days) }

// All yields the days in the order of their dates.
func (s States) All() iter.Seq2[datacube.Date, State] {
	return func(yield func(datacube.Date, State) bool) {
		for _, p := range s.days {
			if !yield(p.date, p.unpack()) {
				return
			}
		}
	}
}

// find returns the index of a day, or where it would be inserted. Mostly no day is missing, so that the date tells the index.
func (s States) find(date datacube.Date) (int, bool) {
	if len(s.days) > 0 {
		i := int(date - s.days[0].date)
		if i >= 0 && i < len(s.days) && s.days[i].date == date {
			return i, true
		}
	}
	return slices.BinarySearchFunc(s.days, date, func(p packedState, d datacube.Date) int { return cmp.Compare(p.date, d) })
}

func (s *States) set(p packedState) {
	i := len(s.days)
	if i > 0 && s.days[i-1].date >= p.date {
		var found bool
		if i, found = s.find(p.date); found {
			s.days[i] = p
			return
		}
	}
	if len(s.days) == cap(s.days) {
		s.grow()
	}
	s.days = slices.Insert(s.days, i, p)
}

// grow increases the capacity: it doubles up to a month and a few days, which is what most accounts
// keep, and then grows by an eighth.
func (s *States) grow() {
	const month = 32
	capacity := max(4, 2*len(s.days))
	if capacity > month {
		capacity = max(month, len(s.days)+len(s.days)/8)
	}
	grown := make([]packedState, len(s.days), capacity)
	copy(grown, s.days)
	s.days = grown
}

func pack(date datacube.Date, s State) packedState {
	p := packedState{
		date:     date,
		askedAt:  packTime(s.AskedAt),
		knownAt:  packTime(s.KnownAt),
		checksum: s.Checksum,
		asks:     uint16(min(max(s.Asks, 0), math.MaxUint16)),
		flags:    uint8(s.Status) & flagStatus,
		doubts:   uint8(min(max(s.Damaged, 0), MaxDoubts) + 16*min(max(s.Rechecks, 0), MaxDoubts)),
	}
	if s.Empty {
		p.flags |= flagEmpty
	}
	if s.Rechecked {
		p.flags |= flagRechecked
	}
	return p
}

func (p packedState) unpack() State {
	return State{
		Status:    Status(p.flags & flagStatus),
		Empty:     p.flags&flagEmpty != 0,
		Asks:      int(p.asks),
		AskedAt:   FromUnix(int64(p.askedAt)),
		KnownAt:   FromUnix(int64(p.knownAt)),
		Rechecked: p.flags&flagRechecked != 0,
		Damaged:   int(p.doubts % 16),
		Rechecks:  int(p.doubts / 16),
		Checksum:  p.checksum,
	}
}

// settled reports whether the day is known, with traffic, rechecked and not damaged.
func (p packedState) settled() bool {
	return p.flags == uint8(Known)|flagRechecked && p.doubts%16 == 0
}

func packTime(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return packSeconds(t.Unix())
}

// packSeconds moves times of a clock that is wrong by decades to the limits of the type, 1970 or 2106,
// which are as far from now.
func packSeconds(unix int64) uint32 { return uint32(min(max(unix, 1), math.MaxUint32)) }
