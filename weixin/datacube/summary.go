// Package datacube holds the values that the interface statistics of a Weixin Official
// Account are made of: the day in China time, the figures of an hour or a day, and
// which of the two calls they come from.
package datacube

// HoursPerDay is the number of hours in a ref date; China time has no daylight saving.
const HoursPerDay = 24

// API names one of the two calls. It is the value of the label "api".
type API uint8

const (
	// Daily is getinterfacesummary: one row for each day.
	Daily API = iota
	// Hourly is getinterfacesummaryhour: one row for each hour of a day.
	Hourly
	// APIs is their number, for arrays indexed by API.
	APIs
)

// String returns "daily" or "hourly".
func (a API) String() string {
	switch a {
	case Daily:
		return "daily"
	case Hourly:
		return "hourly"
	default:
		return "unknown"
	}
}

// Figures are what Weixin counted in one hour or one day. The zero value is a period
// without traffic.
type Figures struct {
	// Callbacks is callback_count: how often Weixin called the account's server,
	// the failed calls included.
	Callbacks int64
	// Failures is fail_count: how many of the callbacks failed.
	Failures int64
	// TimeCostMillis is total_time_cost: the time of all callbacks together, in
	// milliseconds, that of the failed ones included.
	TimeCostMillis int64
	// MaxTimeCostMillis is max_time_cost: the time of the longest callback, in milliseconds.
	MaxTimeCostMillis int64
}

// TimeCostSeconds returns the time of all callbacks together, in seconds.
func (f Figures) TimeCostSeconds() float64 { return float64(f.TimeCostMillis) / 1000 }

// MaxTimeCostSeconds returns the time of the longest callback, in seconds.
func (f Figures) MaxTimeCostSeconds() float64 { return float64(f.MaxTimeCostMillis) / 1000 }

// AverageTimeCostSeconds returns the mean time of a callback in seconds, and false where
// there was no callback.
func (f Figures) AverageTimeCostSeconds() (float64, bool) {
	if f.Callbacks == 0 {
		return 0, false
	}
	return float64(f.TimeCostMillis) / float64(f.Callbacks) / 1000, true
}

// Hours are the figures of the 24 hours of a day; index 0 is [00:00,01:00) China time.
type Hours [HoursPerDay]Figures

// Day is one day of the daily call.
type Day struct {
	Date    Date
	Figures Figures
}

// HourlyDay is one day of the hourly call.
type HourlyDay struct {
	Date  Date
	Hours Hours
}
