package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"

	"weixin_exporter/weixin/datacube"
)

// row is one period of one account.
type row struct {
	Account string `json:"account"`
	AppID   string `json:"app_id"`
	Period  string `json:"period"`
	RefDate string `json:"ref_date"`
	// Hour is nil for a day.
	Hour *int `json:"hour"`
	// Timestamp is the end of the period in Unix seconds.
	Timestamp         int64 `json:"timestamp"`
	Callbacks         int64 `json:"callbacks"`
	Failures          int64 `json:"failures"`
	TimeCostMillis    int64 `json:"time_cost_ms"`
	MaxTimeCostMillis int64 `json:"max_time_cost_ms"`
}

// rows calls each for all periods: account by account, first the days and then the hours, in the order of
// their times. The row is valid until each returns.
func (j *Job) rows(each func(*row) error) error {
	var r row
	var hour int
	for _, account := range j.inOrder() {
		r.Account, r.AppID = account.Name, account.AppID
		for _, api := range []datacube.API{datacube.Daily, datacube.Hourly} {
			if !j.wants(api) {
				continue
			}
			p := periodsOf(api)
			r.Period, r.Hour = api.String(), nil
			if api == datacube.Hourly {
				r.Hour = &hour
			}
			for day, err := range j.days(api, account.AppID) {
				if err != nil {
					return err
				}
				r.RefDate, r.Timestamp = day.Date.String(), p.first(day.Date)
				for i, f := range day.Figures {
					hour = i
					r.Callbacks, r.Failures = f.Callbacks, f.Failures
					r.TimeCostMillis, r.MaxTimeCostMillis = f.TimeCostMillis, f.MaxTimeCostMillis
					if err := each(&r); err != nil {
						return err
					}
					r.Timestamp += p.step
				}
			}
		}
	}
	return nil
}

// CSV writes a header and a line for each period of each account. The period is daily or hourly; a day
// has an empty hour.
func CSV(w io.Writer, j Job) error {
	out := csv.NewWriter(bufio.NewWriterSize(w, bufferSize)) // csv uses this buffer as its own
	record := []string{
		"account", "app_id", "period", "ref_date", "hour", "timestamp",
		"callbacks", "failures", "time_cost_ms", "max_time_cost_ms",
	}
	if err := out.Write(record); err != nil {
		return err
	}
	err := j.rows(func(r *row) error {
		record = append(record[:0], r.Account, r.AppID, r.Period, r.RefDate, "")
		if r.Hour != nil {
			record[4] = strconv.Itoa(*r.Hour)
		}
		for _, n := range [...]int64{r.Timestamp, r.Callbacks, r.Failures, r.TimeCostMillis, r.MaxTimeCostMillis} {
			record = append(record, strconv.FormatInt(n, 10))
		}
		return out.Write(record)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// NDJSON writes a line with a JSON object for each period, with the fields and in the order of CSV. The
// hour of a day is null.
func NDJSON(w io.Writer, j Job) error {
	buffered := bufio.NewWriterSize(w, bufferSize)
	out := json.NewEncoder(buffered)
	out.SetEscapeHTML(false)
	if err := j.rows(func(r *row) error { return out.Encode(r) }); err != nil {
		return err
	}
	return buffered.Flush()
}
