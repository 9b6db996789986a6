// Package export writes what is known of the accounts, every hour and day with its own time:
// as OpenMetrics for a time series database, and as CSV and NDJSON for everything else. All
// of them are written as the figures are read, in memory that does not grow with their number.
//
// Each period of a known day is there, with zeros where it had no traffic. Days that are not
// known are not there.
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

// Source has the known days; *store.FigureReader is one. It yields an error as the last element.
type Source interface {
	Figures(q store.FigureQuery) iter.Seq2[store.DayFigures, error]
}

// Account is one to export, under a name that no other one has.
type Account struct {
	Name  string
	AppID string
}

// Job says what to write.
type Job struct {
	Source   Source
	Accounts []Account
	// Since and Until are the first and the last day.
	Since, Until datacube.Date
	// Periods are the calls to write the answers of; none means both.
	Periods []datacube.API
	// Spool says where OpenMetrics keeps what it cannot write yet. The other formats need nothing.
	Spool Spool
}

// Spool says where OpenMetrics keeps what belongs to later families: in files without a name that end
// with it.
type Spool struct {
	// Folder is where the files are; "" is the folder for temporary files.
	Folder string
	// Ahead has all of it read and kept before anything is written, so that neither a full disk nor a
	// source that fails leaves the beginning of a text behind.
	Ahead bool
	// Off needs no folder: the source is read for each family anew, four times as often.
	Off bool
}

// wants reports whether the answers of a call are to be written.
func (j *Job) wants(api datacube.API) bool {
	return len(j.Periods) == 0 || slices.Contains(j.Periods, api)
}

// FirstDate and LastDate are the Since and Until of a Job that leaves nothing out.
const (
	FirstDate datacube.Date = math.MinInt32
	LastDate  datacube.Date = math.MaxInt32
)

// inOrder returns the accounts by name.
func (j *Job) inOrder() []Account {
	return slices.SortedFunc(slices.Values(j.Accounts), func(a, b Account) int { return cmp.Compare(a.Name, b.Name) })
}

// periods are what one call is about: the hours of a day, or the day itself.
type periods struct {
	api datacube.API
	// number is how many there are in a day; step is their length in seconds.
	number int
	step   int64
}

func periodsOf(api datacube.API) periods {
	if api == datacube.Hourly {
		return periods{api, datacube.HoursPerDay, 3600}
	}
	return periods{api, 1, 24 * 3600}
}

// first returns the end of the day's first period, in Unix seconds.
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
