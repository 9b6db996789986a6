package datacube

import (
	"fmt"
	"time"
)

// China is the zone in which Weixin counts days and hours: a fixed UTC+8 without
// daylight saving time, so that the host needs no zone database.
// The official documents do not say that the interface statistics use it,
// but all known clients assume so.
var China = time.FixedZone("UTC+8", 8*60*60)

// FirstDate is 2014-12-01, the first day whose interface statistics are reliable according to the
// official documents of the data cube.
const FirstDate Date = 16405

// Date is a calendar day in China time: the API's ref_date. Its value is the number of days since
// 1970-01-01, so dates compare with the usual operators and date+1 is the next day.
type Date int32

const (
	isoDate       = "2006-01-02"
	secondsPerDay = 24 * 60 * 60
	chinaOffset   = 8 * 60 * 60
)

// DateOf returns the day in China that contains t, in whatever zone t is.
func DateOf(t time.Time) Date {
	seconds := t.Unix() + chinaOffset
	days := seconds / secondsPerDay
	if seconds%secondsPerDay < 0 {
		days--
	}
	return Date(days)
}

// ParseDate parses a day as Weixin writes it, YYYY-MM-DD. It accepts no other form.
func ParseDate(s string) (Date, error) {
	t, err := time.ParseInLocation(isoDate, s, China)
	if err != nil {
		return 0, fmt.Errorf("%q is not a date of the form YYYY-MM-DD", s)
	}
	return DateOf(t), nil
}

// Start returns the instant at which the day begins in China.
func (d Date) Start() time.Time {
	return time.Unix(int64(d)*secondsPerDay-chinaOffset, 0).In(China)
}

// End returns the instant at which the day ends in China, the start of the next one.
func (d Date) End() time.Time { return (d + 1).Start() }

// String returns the day as Weixin writes it: YYYY-MM-DD.
func (d Date) String() string { return d.Start().Format(isoDate) }

// MarshalText returns the day as YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses a day of the form YYYY-MM-DD.
func (d *Date) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
