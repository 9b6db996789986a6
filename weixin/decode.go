package weixin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// DailyResponse is the response of the daily call for a range of days.
type DailyResponse struct {
	// Days are the days with figures in ascending order, each within the requested range and at most
	// once. A day that is neither here nor in Damaged had no traffic, or its figures are not available yet.
	Days []datacube.Day
	// Damaged are the days, in ascending order, whose figures are unknown because a row could not be
	// understood or two rows contradict each other. None of them is in Days. A row without a valid date
	// damages all days that have no other row.
	Damaged []datacube.Date
	// Rejected counts the rows that were ignored.
	Rejected Rejected
	// Reformatted counts rows that were accepted although their numbers were written as strings, with
	// a fraction of zeros or with an exponent.
	Reformatted int
}

// HourlyResponse is the response of the hourly call for one day.
type HourlyResponse struct {
	// Hours has zeros for an hour without a row.
	Hours datacube.Hours
	// Rows is the number of rows in Hours. 0 means a day without traffic, or one whose figures are not
	// available yet, unless the response is Damaged.
	Rows int
	// Damaged means that a row could not be understood, or that two rows contradict each other: the
	// figures of the day are unknown. Then Hours and Rows are zero.
	Damaged bool
	// Rejected counts the rows that were ignored.
	Rejected Rejected
	// PlainHours counts rows that were accepted although their ref_hour was 1 to 23 instead of a multiple
	// of 100.
	PlainHours int
	// Reformatted counts rows as that of DailyResponse does.
	Reformatted int
}

// envelope is the JSON object of every response, with the fields that this package reads.
type envelope struct {
	Errcode     json.RawMessage `json:"errcode"`
	Errmsg      json.RawMessage `json:"errmsg"`
	List        json.RawMessage `json:"list"`
	AccessToken json.RawMessage `json:"access_token"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Quota       json.RawMessage `json:"quota"`
	DNS         json.RawMessage `json:"dns"`
	Ping        json.RawMessage `json:"ping"`
	Request     json.RawMessage `json:"request"`

	RateLimit          json.RawMessage `json:"rate_limit"`
	ComponentRateLimit json.RawMessage `json:"component_rate_limit"`

	AuthorizerAccessToken  json.RawMessage `json:"authorizer_access_token"`
	AuthorizerRefreshToken json.RawMessage `json:"authorizer_refresh_token"`

	code   int           // the value of Errcode; 0 if it is absent
	hidden secret.Masker // the secrets of the request, which the response may quote
}

// parse reads the envelope and errcode. Its error says why body is not a response of the API,
// without quoting it: a proxy's error page may contain the URL with the token.
func parse(body []byte) (envelope, error) {
	var e envelope
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return e, errors.New("the response is empty")
	}
	if trimmed[0] != '{' {
		return e, fmt.Errorf("the response of %d bytes is not a JSON object", len(body))
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("the response of %d bytes is not a JSON object: %w", len(body), err)
	}
	var err error
	e.code, err = parseErrcode(e.Errcode)
	return e, err
}

// parseErrcode reads an errcode that is a number or a string that contains a number; an absent
// one and null are 0.
func parseErrcode(raw json.RawMessage) (int, error) {
	if raw == nil || string(raw) == "null" {
		return 0, nil
	}
	var code integer
	_ = code.UnmarshalJSON(raw) // it never fails
	if !code.ok || code.value != int64(int32(code.value)) {
		return 0, errors.New("the errcode of the response is not a number")
	}
	return int(code.value), nil
}

// parseString returns false if raw is not a JSON string.
func parseString(raw json.RawMessage) (string, bool) {
	var text *string
	if raw == nil || json.Unmarshal(raw, &text) != nil || text == nil {
		return "", false
	}
	return *text, true
}

// refDate is a JSON string of the form YYYY-MM-DD; ok is false for anything else.
type refDate struct {
	date datacube.Date
	ok   bool
}

// UnmarshalJSON never fails.
func (d *refDate) UnmarshalJSON(raw []byte) error {
	text, isString := parseString(raw)
	date, err := datacube.ParseDate(text)
	*d = refDate{date: date, ok: isString && err == nil}
	return nil
}

// row is one row of either call.
type row struct {
	RefDate       refDate `json:"ref_date"`
	RefHour       integer `json:"ref_hour"`
	CallbackCount integer `json:"callback_count"`
	FailCount     integer `json:"fail_count"`
	TotalTimeCost integer `json:"total_time_cost"`
	MaxTimeCost   integer `json:"max_time_cost"`
}

// reformatted reports whether a number of the row is not written as in the documents.
func (r row) reformatted() bool {
	return r.RefHour.reformatted || r.CallbackCount.reformatted || r.FailCount.reformatted ||
		r.TotalTimeCost.reformatted || r.MaxTimeCost.reformatted
}

// figures returns false if a figure is missing, not an integer or negative, or if there are more failures
// than callbacks.
func (r row) figures() (datacube.Figures, bool) {
	for _, w := range []integer{r.CallbackCount, r.FailCount, r.TotalTimeCost, r.MaxTimeCost} {
		if !w.ok || w.value < 0 {
			return datacube.Figures{}, false
		}
	}
	return datacube.Figures{
		Callbacks:         r.CallbackCount.value,
		Failures:          r.FailCount.value,
		TimeCostMillis:    r.TotalTimeCost.value,
		MaxTimeCostMillis: r.MaxTimeCost.value,
	}, r.FailCount.value <= r.CallbackCount.value
}

// hour returns the hour that ref_hour means, and false if it is invalid. The API gives the hour times 100; a
// value of 1 to 23 was never seen, and can only mean the hour itself.
func (r row) hour() (int, bool) {
	value := r.RefHour.value
	switch {
	case !r.RefHour.ok || value < 0:
		return 0, false
	case value%100 == 0 && value/100 < datacube.HoursPerDay:
		return int(value / 100), true
	case value < datacube.HoursPerDay:
		return int(value), true
	default:
		return 0, false
	}
}

// eachRow calls visit for every element of list; one that is not an object becomes a row without
// values. The rows are read one after the other, so that a response of millions of
// tiny elements takes no more memory than its text.
func eachRow(list json.RawMessage, visit func(row)) error {
	if list == nil {
		return errors.New("the response has neither list nor errcode")
	}
	if string(list) == "null" {
		return errors.New("the list of the response is null") // not an empty list
	}
	if list[0] != '[' {
		return errors.New("the list of the response is not an array")
	}
	decoder := json.NewDecoder(bytes.NewReader(list))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("the list of the response: %w", err)
	}
	for decoder.More() {
		var r row
		if err := decoder.Decode(&r); err != nil {
			mismatch := (*json.UnmarshalTypeError)(nil)
			if !errors.As(err, &mismatch) {
				return fmt.Errorf("the list of the response: %w", err)
			}
			r = row{}
		}
		visit(r)
	}
	return nil
}

// DecodeDaily reads a response of the daily call for the days from begin to end, both included. Invalid and
// contradictory rows are counted and ignored, and the days that they may belong to are Damaged. The error is
// an *Error.
func DecodeDaily(body []byte, begin, end datacube.Date) (DailyResponse, error) {
	var result DailyResponse
	err := decode(datacube.Daily, body, func(e envelope) error { return result.decode(e, begin, end) })
	return result, err
}

// DecodeHourly reads a response of the hourly call for date. Invalid and contradictory rows are counted and
// ignored; the response is Damaged if one of them may belong to date. The error is an *Error.
func DecodeHourly(body []byte, date datacube.Date) (HourlyResponse, error) {
	var result HourlyResponse
	err := decode(datacube.Hourly, body, func(e envelope) error { return result.decode(e, date) })
	return result, err
}

func decode(api datacube.API, body []byte, list func(envelope) error) error {
	if failed := (call{api: apiOf(api)}).interpret(response{body: body}, list); failed != nil {
		return failed
	}
	return nil
}

func (a *DailyResponse) decode(e envelope, begin, end datacube.Date) error {
	*a = DailyResponse{}
	taken := make(map[datacube.Date]row)
	damaged := make(map[datacube.Date]bool)
	undated := false
	err := eachRow(e.List, func(r row) {
		figures, ok := r.figures()
		date := r.RefDate.date
		before, twice := taken[date]
		switch {
		case !r.RefDate.ok:
			undated = true
			a.Rejected[BadValue]++
		case date < begin || date > end:
			a.Rejected[OutOfRange]++
		case !ok:
			damaged[date] = true
			a.Rejected[BadValue]++
		case twice:
			other, _ := before.figures()
			damaged[date] = damaged[date] || figures != other
			a.Rejected[Duplicate]++
		default:
			taken[date] = r
		}
	})
	for date := begin; date <= end; date++ {
		r, ok := taken[date]
		switch {
		case damaged[date] || undated && !ok:
			a.Damaged = append(a.Damaged, date)
		case ok:
			figures, _ := r.figures()
			a.Days = append(a.Days, datacube.Day{Date: date, Figures: figures})
			if r.reformatted() {
				a.Reformatted++
			}
		}
	}
	return err
}

func (a *HourlyResponse) decode(e envelope, date datacube.Date) error {
	*a = HourlyResponse{}
	var seen [datacube.HoursPerDay]bool
	err := eachRow(e.List, func(r row) {
		hour, isHour := r.hour()
		figures, ok := r.figures()
		switch {
		case !r.RefDate.ok:
			a.Damaged = true
			a.Rejected[BadValue]++
		case r.RefDate.date != date:
			a.Rejected[OutOfRange]++
		case !isHour:
			a.Damaged = true
			a.Rejected[BadHour]++
		case !ok:
			a.Damaged = true
			a.Rejected[BadValue]++
		case seen[hour]:
			a.Damaged = a.Damaged || figures != a.Hours[hour]
			a.Rejected[Duplicate]++
		default:
			seen[hour] = true
			a.Hours[hour] = figures
			a.Rows++
			if r.RefHour.value%100 != 0 {
				a.PlainHours++
			}
			if r.reformatted() {
				a.Reformatted++
			}
		}
	})
	if a.Damaged {
		*a = HourlyResponse{Damaged: true, Rejected: a.Rejected}
	}
	return err
}
