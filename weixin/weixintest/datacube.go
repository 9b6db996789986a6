package weixintest

import (
	"time"

	"weixin_exporter/weixin/datacube"
)

// maxDays is the longest range of the daily call, both ends included.
const maxDays = 30

// row is a row of a response, with the fields in the order of the official documents.
type row struct {
	RefDate       datacube.Date `json:"ref_date"`
	RefHour       *int          `json:"ref_hour,omitempty"` // hour × 100; not in the daily call
	CallbackCount int64         `json:"callback_count"`
	FailCount     int64         `json:"fail_count"`
	TotalTimeCost int64         `json:"total_time_cost"`
	MaxTimeCost   int64         `json:"max_time_cost"`
}

func newRow(date datacube.Date, refHour *int, f datacube.Figures) row {
	return row{date, refHour, f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis}
}

// interfaceSummary is getinterfacesummary and getinterfacesummaryhour.
func (s *Server) interfaceSummary(r request, fault Fault) answer {
	now := s.now()
	api, _ := summaryAPI(r.api) // no other calls come here
	a, code := s.caller(r, now)
	if code == 0 {
		code = a.Errcode
	}
	if code == 0 {
		code = checkPost(r)
	}
	if code == 0 {
		code = s.countCall(a, api, now)
	}
	if code == 0 {
		code = checkDates(r, now)
	}
	if code != 0 {
		return s.refuse(r, code, false)
	}
	begin, _ := r.date("begin_date") // checkDates has checked them
	end, _ := r.date("end_date")
	rows := []row{}
	if !fault.NoRows {
		rows = s.rows(a, api, begin, end, now)
	}
	random := newRandom(s.seed, a.AppID, r.api, uint64(begin)<<32|uint64(end))
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if fault.Partial {
		rows = rows[:len(rows)/2]
	}
	if fault.Elsewhere {
		rows = addStrays(nil, api, begin, end)
	}
	if fault.Stray {
		rows = addStrays(rows, api, begin, end)
	}
	if fault.Garbled {
		rows = addGarbled(rows, api, begin, end)
	}
	result := struct {
		List    []row `json:"list"`
		IsDelay *bool `json:"is_delay,omitempty"` // a key that is in no document of these calls
	}{List: rows}
	if random.IntN(4) == 0 {
		result.IsDelay = new(bool)
	}
	response := jsonAnswer(result)
	if fault.Truncated {
		response.body, response.errcode = response.body[:len(response.body)/2], NoAnswer
	}
	return response
}

// countCall counts a call against the quota of the day (China time), and returns an errcode if the quota is used
// up.
func (s *Server) countCall(a *account, api datacube.API, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &a.quota[api]
	if today := datacube.DateOf(now); q.day != today {
		q.day, q.used = today, 0
	}
	if a.Quota > 0 && q.used >= a.Quota {
		return errQuota
	}
	q.used++
	return 0
}

// checkDates returns the errcode of a range that Weixin refuses; 0 if the range is valid.
func checkDates(r request, now time.Time) int {
	begin, ok := r.date("begin_date")
	if !ok {
		return errDateFormat
	}
	end, ok := r.date("end_date")
	if !ok {
		return errDateFormat
	}
	days := datacube.Date(1)
	if r.api == apiDaily {
		days = maxDays
	}
	yesterday := datacube.DateOf(now) - 1
	if begin > end || end-begin >= days || end > yesterday || begin < datacube.FirstDate {
		return errDateRange
	}
	return 0
}

// rows returns the rows of the available days, one for each period with traffic.
func (s *Server) rows(a *account, api datacube.API, begin, end datacube.Date, now time.Time) []row {
	rows := []row{}
	for date := begin; date <= end; date++ {
		if now.Before(s.ready(a.AppID, date)) {
			continue
		}
		hours := s.Hours(a.AppID, date)
		if api == datacube.Daily {
			if day := dayOf(hours); day != (datacube.Figures{}) {
				rows = append(rows, newRow(date, nil, day))
			}
			continue
		}
		for hour, f := range hours {
			if f != (datacube.Figures{}) {
				refHour := hour * 100
				rows = append(rows, newRow(date, &refHour, f))
			}
		}
	}
	return rows
}

// addStrays adds the rows of Fault.Stray.
func addStrays(rows []row, api datacube.API, begin, end datacube.Date) []row {
	hour, some := someRow(api)
	result := append([]row{newRow(begin-2*365, hour, some)}, rows...)
	if len(rows) > 0 {
		result = append(result, rows[0])
	}
	return append(result, newRow(end+1, hour, some))
}

// addGarbled adds the rows of Fault.Garbled. Those with impossible figures are before the correct rows and the
// duplicate is after them, so that the order is known.
func addGarbled(rows []row, api datacube.API, begin, end datacube.Date) []row {
	hour, some := someRow(api)
	negative, failing := some, some
	negative.TimeCostMillis = -1_500
	failing.Failures = failing.Callbacks + 1

	result := append([]row{newRow(begin, hour, negative), newRow(end, hour, failing)}, rows...)
	if len(rows) > 0 {
		other := rows[0]
		other.CallbackCount++
		result = append(result, other)
	}
	if api == datacube.Hourly {
		for _, bad := range []int{-100, 1234, 2400} {
			result = append(result, newRow(begin, &bad, some))
		}
	}
	return result
}

// someRow returns a valid hour and valid figures for a row of a call.
func someRow(api datacube.API) (*int, datacube.Figures) {
	var hour *int
	if api == datacube.Hourly {
		hour = new(int)
		*hour = 1200
	}
	return hour, datacube.Figures{Callbacks: 12, Failures: 1, TimeCostMillis: 1_500, MaxTimeCostMillis: 340}
}
