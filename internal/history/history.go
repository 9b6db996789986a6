// Package history describes the series in which every known hour and day is one sample at its
// own time, as they are exported and sent by remote write. Their names differ from those that
// are scraped, so that the two never mix.
package history

import (
	"fmt"
	"time"

	"weixin_exporter/weixin/datacube"
)

// AccountLabel is the only label of these series: the account's name.
const AccountLabel = "account"

// Figure says which of the four figures of an hour or a day a family holds.
type Figure uint8

const (
	// Callbacks is datacube.Figures.Callbacks.
	Callbacks Figure = iota
	// Failures is datacube.Figures.Failures.
	Failures
	// TimeCost is datacube.Figures.TimeCostMillis.
	TimeCost
	// MaxTimeCost is datacube.Figures.MaxTimeCostMillis.
	MaxTimeCost
	// FigureCount is their number, for arrays indexed by Figure.
	FigureCount
)

// Of returns the figure as the store has it: a count, or milliseconds for the time costs.
func (f Figure) Of(figures datacube.Figures) int64 {
	switch f {
	case Callbacks:
		return figures.Callbacks
	case Failures:
		return figures.Failures
	case TimeCost:
		return figures.TimeCostMillis
	case MaxTimeCost:
		return figures.MaxTimeCostMillis
	default:
		return 0
	}
}

// InMillis reports whether Of is in milliseconds and its family in seconds.
func (f Figure) InMillis() bool { return f == TimeCost || f == MaxTimeCost }

// Family is one of the eight metrics, a gauge with the label AccountLabel. Each known period
// has a sample, 0 where it had no traffic; a period that is not known has none.
type Family struct {
	Name string
	Help string
	// API says whether the samples are hours or days.
	API    datacube.API
	Figure Figure
}

// Value returns the sample of an hour or a day, in the unit that the name says.
func (f Family) Value(figures datacube.Figures) float64 {
	if f.Figure.InMillis() {
		return float64(f.Figure.Of(figures)) / 1000
	}
	return float64(f.Figure.Of(figures))
}

// Families returns the eight families, those of each API together and in the order of Figure:
// first the hourly ones, then the daily ones. The caller owns the slice.
func Families() []Family {
	families := make([]Family, 0, int(datacube.APIs)*int(FigureCount))
	for _, p := range []struct {
		api          datacube.API
		period, call string
	}{
		{datacube.Hourly, "hour", "getinterfacesummaryhour"},
		{datacube.Daily, "day", "getinterfacesummary"},
	} {
		for figure, f := range [FigureCount]struct{ suffix, help, field string }{
			Callbacks:   {"callbacks", "How often Weixin called the account's server, failures included,", "callback_count"},
			Failures:    {"failures", "How many of the callbacks failed", "fail_count"},
			TimeCost:    {"time_cost_seconds", "Time of all callbacks together", "total_time_cost"},
			MaxTimeCost: {"max_time_cost_seconds", "Time of the longest callback", "max_time_cost"},
		} {
			families = append(families, Family{
				Name: "weixin_history_" + p.api.String() + "_" + f.suffix,
				Help: fmt.Sprintf("%s in one %s (%s of %s). Each sample has the time at which its %s ended in China.",
					f.help, p.period, f.field, p.call, p.period),
				API:    p.api,
				Figure: Figure(figure),
			})
		}
	}
	return families
}

// HourTime returns the time of the sample of an hour, 0 to 23: its end. That of hour 23 is
// the midnight that ends the day.
func HourTime(date datacube.Date, hour int) time.Time {
	return date.Start().Add(time.Duration(hour+1) * time.Hour)
}

// DayTime returns the time of the sample of a day: the midnight in China that ends it.
func DayTime(date datacube.Date) time.Time { return date.End() }
