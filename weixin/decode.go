package weixin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"weixin_exporter/weixin/datacube"
)

// DailyAnswer is what the daily call said about a range of days.
type DailyAnswer struct {
	// Days are in ascending order, each within the range asked for and at most once. A day that
	// is neither here nor among Damaged had no traffic, or its figures are not there yet.
	Days []datacube.Day
	// Damaged are the days, in ascending order, of which the answer says nothing because a row
	// could not be understood or two rows contradict each other. None of them is among Days. A row
	// without a date that can be read damages all days without another row.
	Damaged []datacube.Date
	// Rejected counts the rows that were left out, indexed by Rejection.
	Rejected [Rejections]int
	// Reformatted counts rows that were taken although their numbers were written as strings, with
	// a fraction of zeros or with an exponent.
	Reformatted int
}

// HourlyAnswer is what the hourly call said about one day.
type HourlyAnswer struct {
	// Hours holds zeros for an hour without a row.
	Hours datacube.Hours
	// Rows is the number of rows that Hours was made of. 0 means a day without traffic, or
	// one whose figures are not there yet, unless the answer is Damaged.
	Rows int
	// Damaged means that a row could not be understood, or that two rows contradict each other:
	// the answer says nothing about the day. Then Hours and Rows are zero.
	Damaged bool
	// Rejected counts the rows that were left out, indexed by Rejection.
	Rejected [Rejections]int
	// PlainHours counts rows that were taken although their ref_hour was 1 to 23, where
	// the API is known to give hundreds.
	PlainHours int
	// Reformatted is that of DailyAnswer.
	Reformatted int
}

// envelope is the JSON object that every answer is, as far as anybody here reads it.
type envelope struct {
	Errcode     json.RawMessage `json:"errcode"`
	Errmsg      json.RawMessage `json:"errmsg"`
	List        json.RawMessage `json:"list"`
	AccessToken json.RawMessage `json:"access_token"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Quota       json.RawMessage `json:"quota"`

	RateLimit          json.RawMessage `json:"rate_limit"`
	ComponentRateLimit json.RawMessage `json:"component_rate_limit"`

	AuthorizerAccessToken  json.RawMessage `json:"authorizer_access_token"`
	AuthorizerRefreshToken json.RawMessage `json:"authorizer_refresh_token"`

	code int // what Errcode says; 0 where it is absent
}

// parse reads the envelope and errcode. Its error says why body is not an answer of the API,
// without quoting it: a proxy's error page may show the URL with the token.
func parse(body []byte) (envelope, error) {
	var e envelope
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return e, errors.New("the answer is empty")
	}
	if trimmed[0] != '{' {
		return e, fmt.Errorf("the answer of %d bytes is not a JSON object", len(body))
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, fmt.Errorf("the answer of %d bytes is not a JSON object: %w", len(body), err)
	}
	var err error
	e.code, err = parseErrcode(e.Errcode)
	return e, err
}

// parseErrcode reads an errcode that is a number or a string with a number in it; an absent
// one and null are 0.
func parseErrcode(raw json.RawMessage) (int, error) {
	if raw == nil || string(raw) == "null" {
		return 0, nil
	}
	var code whole
	_ = code.UnmarshalJSON(raw) // it never fails
	if !code.ok || code.value != int64(int32(code.value)) {
		return 0, errors.New("the errcode of the answer is not a number")
	}
	return int(code.value), nil
}

// parseString returns false where raw is not a JSON string.
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
	RefHour       whole   `json:"ref_hour"`
	CallbackCount whole   `json:"callback_count"`
	FailCount     whole   `json:"fail_count"`
	TotalTimeCost whole   `json:"total_time_cost"`
	MaxTimeCost   whole   `json:"max_time_cost"`
}

// reformatted reports whether a number of the row is not written as the documents show it.
func (r row) reformatted() bool {
	return r.RefHour.reformatted || r.CallbackCount.reformatted || r.FailCount.reformatted ||
		r.TotalTimeCost.reformatted || r.MaxTimeCost.reformatted
}

// figures returns false where one is missing, no whole number, negative, or where there
// are more failures than callbacks.
func (r row) figures() (datacube.Figures, bool) {
	for _, w := range []whole{r.CallbackCount, r.FailCount, r.TotalTimeCost, r.MaxTimeCost} {
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

// hour returns the hour that ref_hour stands for, and false where it stands for none. The
// API gives the hour times 100; a value of 1 to 23 was never seen, and can mean nothing but
// the hour itself.
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

// eachRow calls visit for every element of list; one that is not a row comes as a row of which
// nothing is there. The rows are read one after the other, so that an answer of millions of
// tiny elements takes no more memory than its text.
func eachRow(list json.RawMessage, visit func(row)) error {
	if list == nil {
		return errors.New("the answer has neither list nor errcode")
	}
	if string(list) == "null" {
		return errors.New("the list of the answer is null") // not an empty list
	}
	if list[0] != '[' {
		return errors.New("the list of the answer is not an array")
	}
	decoder := json.NewDecoder(bytes.NewReader(list))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("the list of the answer: %w", err)
	}
	for decoder.More() {
		var r row
		if err := decoder.Decode(&r); err != nil {
			mismatch := (*json.UnmarshalTypeError)(nil)
			if !errors.As(err, &mismatch) {
				return fmt.Errorf("the list of the answer: %w", err)
			}
			r = row{}
		}
		visit(r)
	}
	return nil
}

// DecodeDaily reads an answer of the daily call that was asked for the days from begin to
// end, both included. Rows that are not to be trusted are counted and left out, and with them
// the days that they may be about. The error is an *Error.
func DecodeDaily(body []byte, begin, end datacube.Date) (DailyAnswer, error) {
	var result DailyAnswer
	err := decode(datacube.Daily, body, func(e envelope) error { return result.take(e, begin, end) })
	return result, err
}

// DecodeHourly reads an answer of the hourly call that was asked for date. Rows that are
// not to be trusted are counted; one that may be about date damages the answer. The error is
// an *Error.
func DecodeHourly(body []byte, date datacube.Date) (HourlyAnswer, error) {
	var result HourlyAnswer
	err := decode(datacube.Hourly, body, func(e envelope) error { return result.take(e, date) })
	return result, err
}

func decode(api datacube.API, body []byte, take func(envelope) error) error {
	if fault := judge(question{api: apiOf(api)}, answer{body: body}, take); fault != nil {
		return fault
	}
	return nil
}

func (a *DailyAnswer) take(e envelope, begin, end datacube.Date) error {
	*a = DailyAnswer{}
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

func (a *HourlyAnswer) take(e envelope, date datacube.Date) error {
	*a = HourlyAnswer{}
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
		*a = HourlyAnswer{Damaged: true, Rejected: a.Rejected}
	}
	return err
}
