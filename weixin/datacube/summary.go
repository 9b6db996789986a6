// Package datacube has the values of the interface statistics of a Weixin Official Account: the day in China
// time, the figures of an hour or a day, and the two calls that return them.
package datacube

// HoursPerDay is the number of hours in a day; China time has no daylight saving.
const HoursPerDay = 24

// API is one of the two calls. Its name is the value of the label "api".
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
	// Callbacks is callback_count: the number of callbacks to the account's server, including failed ones.
	Callbacks int64
	// Failures is fail_count: the number of failed callbacks.
	Failures int64
	// TimeCostMillis is total_time_cost: the sum of the times of all callbacks in milliseconds, including
	// failed ones.
	TimeCostMillis int64
	// MaxTimeCostMillis is max_time_cost: the time of the longest callback in milliseconds.
	MaxTimeCostMillis int64
}

// TimeCostSeconds returns the sum of the times of all callbacks in seconds.
func (f Figures) TimeCostSeconds() float64 { return float64(f.TimeCostMillis) / 1000 }

// MaxTimeCostSeconds returns the time of the longest callback in seconds.
func (f Figures) MaxTimeCostSeconds() float64 { return float64(f.MaxTimeCostMillis) / 1000 }

// AverageTimeCostSeconds returns the mean time of a callback in seconds, and false if there was no callback.
func (f Figures) AverageTimeCostSeconds() (float64, bool) {
	if f.Callbacks == 0 {
		return 0, false
	}
	return float64(f.TimeCostMillis) / float64(f.Callbacks) / 1000, true
}

// Hours are the figures of the 24 hours of a day; index 0 is [00:00, 01:00) China time.
type Hours [HoursPerDay]Figures

// Day is a day with the figures of the daily call.
type Day struct {
	Date    Date
	Figures Figures
}

// HourlyDay is a day with the figures of the hourly call.
type HourlyDay struct {
	Date  Date
	Hours Hours
}
