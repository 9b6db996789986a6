// Package export writes the history of accounts, every hour and day with its own timestamp: as
// OpenMetrics for a time series database, and as CSV and NDJSON for everything else. Figures are
// written as they are read, in memory that does not grow with their number.
//
// All periods of known days are written, with zeros if there was no traffic. Unknown days are left out.
package export

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Source provides the known days, as *store.FigureReader does. An error is the last element.
type Source interface {
	Figures(q store.FigureQuery) iter.Seq2[store.DayFigures, error]
}

// Account is an account to export, under a unique name.
type Account struct {
	Name  string
	AppID string
}

// Job describes what to write.
type Job struct {
	Source   Source
	Accounts []Account
	// Since and Until are the first and the last day.
	Since, Until datacube.Date
	// Periods are the APIs whose figures are written; none means both.
	Periods []datacube.API
	// Spool configures where OpenMetrics keeps what it cannot write yet. The other formats do not use it.
	Spool Spool
}

// Spool configures where OpenMetrics keeps the samples of later families: in unlinked files, which
// disappear with the process.
type Spool struct {
	// Folder contains the files; "" is the folder for temporary files.
	Folder string
	// Ahead spools everything before anything is written, so that neither a full disk nor a failing
	// source leaves incomplete output.
	Ahead bool
	// Off uses no files: the source is read again for each family, four times in all.
	Off bool
}

// wants reports whether the figures of an API are written.
func (j *Job) wants(api datacube.API) bool {
	return len(j.Periods) == 0 || slices.Contains(j.Periods, api)
}

// FirstDate and LastDate are the Since and Until of a Job for all days.
const (
	FirstDate datacube.Date = math.MinInt32
	LastDate  datacube.Date = math.MaxInt32
)

// inOrder returns the accounts sorted by name.
func (j *Job) inOrder() []Account {
	return slices.SortedFunc(slices.Values(j.Accounts), func(a, b Account) int { return cmp.Compare(a.Name, b.Name) })
}

// periods are the periods of one API: the hours of a day, or the day itself.
type periods struct {
	api datacube.API
	// number is the number of periods in a day; step is their length in seconds.
	number int
	step   int64
}

func periodsOf(api datacube.API) periods {
	if api == datacube.Hourly {
		return periods{api, datacube.HoursPerDay, 3600}
	}
	return periods{api, 1, 24 * 3600}
}

// first returns the end of the first period of a day, in Unix seconds.
func (p periods) first(date datacube.Date) int64 {
	if p.api == datacube.Hourly {
		return history.HourTime(date, 0).Unix()
	}
	return history.DayTime(date).Unix()
}

// days yields the known days of an account.
func (j *Job) days(api datacube.API, appID string) iter.Seq2[store.DayFigures, error] {
	return j.Source.Figures(store.FigureQuery{API: api, Accounts: []string{appID}, From: j.Since, To: j.Until})
}
