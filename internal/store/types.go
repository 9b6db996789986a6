package store

import (
	"time"

	"weixin_exporter/weixin/datacube"
)

// Status says what is known of one day of one account and API.
type Status uint8

const (
	// NeverAsked is a day that no answer spoke of; the store holds nothing about it.
	NeverAsked Status = iota
	// NotReady is a day that was asked for and that Weixin did not have yet.
	NotReady
	// Known is a day whose figures are stored; a day without traffic can be known, too.
	Known
)

// String returns the status in words.
func (s Status) String() string {
	switch s {
	case NeverAsked:
		return "never asked"
	case NotReady:
		return "not ready"
	case Known:
		return "known"
	default:
		return "unknown"
	}
}

// State is what the answers of one API said so far about one day of one account.
// Times are kept to the second and come back in China time.
type State struct {
	Status Status
	// Empty means for a day that is Known that it had no traffic, and for one that is
	// NotReady that the last answer was an empty list (not errcode 61503).
	Empty bool
	// Asks counts how often the day was asked for before it was there.
	Asks int
	// AskedAt is the time of the last answer, whichever it was.
	AskedAt time.Time
	// KnownAt is the time of the first answer that made the day Known; zero before.
	KnownAt time.Time
	// Rechecked is true once a known day was asked for again.
	Rechecked bool
	// Damaged counts the latest answers in a row that could not be understood as far as the day is
	// concerned; up to 15.
	Damaged int
	// Rechecks counts the answers that were understood since the day became Known, or, while it is
	// NotReady, since its lack of rows has contradicted the other API; up to 15.
	Rechecks int
	// Checksum is that of the figures of a day that is Known, see Checksum; 0 where there is none.
	Checksum uint32
}

// Record is what one answer says about one day. State replaces the one stored. Figures
// that are nil leave the stored ones as they are.
type Record struct {
	AppID string
	API   datacube.API
	Date  datacube.Date
	State State
	// Daily holds the figures of the day; only for datacube.Daily.
	Daily *datacube.Figures
	// Hourly holds the figures of all 24 hours; only for datacube.Hourly.
	Hourly *datacube.Hours
}

// Revision is a day that was Known and came back with other figures. Before and After
// describe the whole day: those of the hourly call are the 24 hours summed, with the
// longest of their maxima. They are equal where only the hours moved within the day.
type Revision struct {
	AppID         string
	API           datacube.API
	Date          datacube.Date
	Before, After datacube.Figures
}

// Mark numbers a Save: a later one, by whatever process, has a higher mark. The zero Mark
// is before all of them.
type Mark int64

// Account is what is known of one account. The caller owns it.
type Account struct {
	// States holds, for each API, the days from the date asked for on that are not NeverAsked.
	States [datacube.APIs]States
	// Daily is the latest Known day of the daily call in the whole store; nil if there is none.
	Daily *datacube.Day
	// Hourly is the latest Known day of the hourly call in the whole store; nil if there is none.
	Hourly *datacube.HourlyDay
	// Days counts, for each API, the Known days of the whole store.
	Days [datacube.APIs]int64
}
