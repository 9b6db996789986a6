// Package history describes the series in which every known hour and day is a sample at its own time,
// as they are exported and sent by remote write. Their names differ from those of the scraped
// series, so that the two never mix.
package history

import (
	"fmt"
	"time"

	"weixin_exporter/weixin/datacube"
)

// AccountLabel is the only label of these series: the account's name.
const AccountLabel = "account"

// Figure is one of the four figures of an hour or a day.
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
	// FigureCount is the number of figures, for arrays indexed by Figure.
	FigureCount
)

// Of returns the figure as it is stored: a count, or milliseconds for the time costs.
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

// InMillis reports whether Of returns milliseconds, and the family has seconds.
func (f Figure) InMillis() bool { return f == TimeCost || f == MaxTimeCost }

// Family is one of the eight metric families, a gauge with the label AccountLabel. Each known period
// has a sample, which is 0 if there was no traffic; an unknown period has none.
type Family struct {
	Name string
	Help string
	// API determines whether the samples are hours or days.
	API    datacube.API
	Figure Figure
}

// Value returns the sample value of an hour or a day, in the unit of the name.
func (f Family) Value(figures datacube.Figures) float64 {
	if f.Figure.InMillis() {
		return float64(f.Figure.Of(figures)) / 1000
	}
	return float64(f.Figure.Of(figures))
}

// Families returns the eight families: first the hourly ones, then the daily ones, each in the order of
// Figure. The caller owns the slice.
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
			Callbacks:   {"callbacks", "Callbacks that Weixin made to the account's server, including failed ones,", "callback_count"},
			Failures:    {"failures", "Callbacks that failed", "fail_count"},
			TimeCost:    {"time_cost_seconds", "Total time of all callbacks", "total_time_cost"},
			MaxTimeCost: {"max_time_cost_seconds", "Time of the longest callback", "max_time_cost"},
		} {
			families = append(families, Family{
				Name: "weixin_history_" + p.api.String() + "_" + f.suffix,
				Help: fmt.Sprintf("%s in one %s (%s of %s). The timestamp of a sample is the end of its %s in China.",
					f.help, p.period, f.field, p.call, p.period),
				API:    p.api,
				Figure: Figure(figure),
			})
		}
	}
	return families
}

// HourTime returns the timestamp of an hour, 0 to 23: its end. That of hour 23 is the midnight at the
// end of the day.
func HourTime(date datacube.Date, hour int) time.Time {
	return date.Start().Add(time.Duration(hour+1) * time.Hour)
}

// DayTime returns the timestamp of a day: the midnight in China at its end.
func DayTime(date datacube.Date) time.Time { return date.End() }
