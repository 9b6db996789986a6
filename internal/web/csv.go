package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"weixin_exporter/weixin/datacube"
)

// writeCSV answers with the figures that a page shows, in the columns of the command export: those of the hours of
// the day, or of the days of the window. Figures that are not known are empty, never 0.
func writeCSV(w http.ResponseWriter, asked accountRequest, month []monthDay, of string) {
	records := [][]string{{"ref_date", "callbacks", "failures", "time_cost_ms", "max_time_cost_ms"}}
	name := asked.from.String() + "_" + asked.to.String()
	if of == "hours" {
		records, name = hourRecords(month[int(asked.date-asked.from)]), asked.date.String()
	} else {
		for _, d := range month {
			records = append(records, append([]string{d.date.String()}, figureRecord(d.total())...))
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", disposition("weixin-"+asked.account.Name+"-"+name+".csv"))
	h.Set("Cache-Control", "no-cache")
	secure(h)
	_ = csv.NewWriter(w).WriteAll(records) // the client is gone: nothing can be done
}

func hourRecords(d monthDay) [][]string {
	records := [][]string{{"ref_date", "hour", "callbacks", "failures", "time_cost_ms", "max_time_cost_ms"}}
	for hour := range datacube.HoursPerDay {
		var f *datacube.Figures
		if d.hours != nil {
			f = &d.hours[hour]
		}
		records = append(records, append([]string{d.date.String(), strconv.Itoa(hour)}, figureRecord(f)...))
	}
	return records
}

func figureRecord(f *datacube.Figures) []string {
	if f == nil {
		return []string{"", "", "", ""}
	}
	record := make([]string, 0, 4)
	for _, n := range []int64{f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis} {
		record = append(record, strconv.FormatInt(n, 10))
	}
	return record
}

// disposition makes a browser save an answer under a name, in ASCII and, by RFC 6266, as it is.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, name)
	return fmt.Sprintf(`attachment; filename="%s"; filename*=UTF-8''%s`, plain, url.PathEscape(name))
}
