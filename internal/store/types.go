package store

import (
	"time"

	"weixin_exporter/weixin/datacube"
)

// Status is the status of one day of one account and API.
type Status uint8

const (
	// NeverAsked is a day for which there has been no response; it has no row in the store.
	NeverAsked Status = iota
	// NotReady is a day that was requested before Weixin had its figures.
	NotReady
	// Known is a day whose figures are stored; days without traffic are known as well.
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

// State summarizes the responses of one API for one day of one account. Times are stored to the second
// and returned in China time.
type State struct {
	Status Status
	// Empty means, for a day that is Known, that it had no traffic and, for one that is NotReady,
	// that the last response was an empty list (not errcode 61503).
	Empty bool
	// Asks is the number of requests for the day before it was Known.
	Asks int
	// AskedAt is the time of the last response of any kind.
	AskedAt time.Time
	// KnownAt is the time of the first response that made the day Known; zero before.
	KnownAt time.Time
	// Rechecked is true once a known day has been requested again.
	Rechecked bool
	// Damaged is the number of consecutive responses, up to the last one, whose part about the day
	// could not be parsed; at most 15.
	Damaged int
	// Rechecks is the number of responses, errcode 61503 among them, that could be parsed since the day
	// became Known or, while it is NotReady, since its lack of rows has contradicted the other API; at most 15.
	Rechecks int
	// Checksum is the Checksum of the figures of a day that is Known; 0 if there is none.
	Checksum uint32
}

// Record is the content of one response for one day. State replaces the stored state. Figures that are
// nil leave the stored figures unchanged.
type Record struct {
	AppID string
	API   datacube.API
	Date  datacube.Date
	State State
	// Before is the state by which the response was interpreted; what is stored may be another one by now.
	Before State
	// Daily are the figures of the day; only for datacube.Daily.
	Daily *datacube.Figures
	// Hourly are the figures of all 24 hours; only for datacube.Hourly.
	Hourly *datacube.Hours
}

// Revision is a day that was Known and for which Weixin returned different figures. Before and After are
// those of the whole day: for the hourly call the sums of the 24 hours, with the longest of their
// maxima. They are equal if traffic only moved between hours.
type Revision struct {
	AppID         string
	API           datacube.API
	Date          datacube.Date
	Before, After datacube.Figures
}

// Mark is the sequence number of a Save, over all processes. The zero Mark is before all of them.
type Mark int64

// Account is the stored data of one account. The caller owns it.
type Account struct {
	// States are, for each API, the states of days from the requested date on; NeverAsked is left out.
	States [datacube.APIs]States
	// Daily is the latest Known day of the daily call in the whole store whose figures are not damaged; nil if there is none.
	Daily *datacube.Day
	// Hourly is that of the hourly call.
	Hourly *datacube.HourlyDay
	// Days is, for each API, the number of Known days in the whole store.
	Days [datacube.APIs]int64
}

// Hold describes failed attempts to call one API for one account, which must survive a restart.
type Hold struct {
	AppID string
	API   datacube.API
	// Until is when the call may be repeated, as determined at Since; both to the second.
	Since, Until time.Time
	// Date is the day in China on which Attempts failed.
	Date     datacube.Date
	Attempts int
	// Fingerprint is a salted hash of the credentials with which the attempts failed. nil is stored as an empty one.
	Fingerprint []byte
	// Detail is JSON that describes what failed. It contains no secret.
	Detail string
}
