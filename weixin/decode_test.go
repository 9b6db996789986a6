package weixin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

func dailyRow(date string, callbacks, failures, total, longest any) string {
	return fmt.Sprintf(`{"ref_date":%q,"callback_count":%v,"fail_count":%v,"total_time_cost":%v,"max_time_cost":%v}`,
		date, callbacks, failures, total, longest)
}

func hourlyRow(date string, hour any) string {
	return fmt.Sprintf(`{"ref_date":%q,"ref_hour":%v,"callback_count":196,"fail_count":1,"total_time_cost":17244,"max_time_cost":3000}`,
		date, hour)
}

func list(rows ...string) []byte { return []byte(`{"list":[` + strings.Join(rows, ",") + `]}`) }

func TestDecodeDaily(t *testing.T) {
	begin, end := date(t, "2026-11-01"), date(t, "2026-11-03")
	good := dailyRow("2026-11-02", 196, 1, 17244, 3000)
	figures := datacube.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}
	one := []datacube.Day{{Date: begin + 1, Figures: figures}}
	first, second := []datacube.Date{begin}, []datacube.Date{begin + 1}
	rejected := func(reason weixin.Rejection, n int) map[weixin.Rejection]int {
		return map[weixin.Rejection]int{reason: n}
	}
	tests := []struct {
		name        string
		body        []byte
		days        []datacube.Day
		damaged     []datacube.Date
		reformatted int
		rejected    map[weixin.Rejection]int
	}{
		{"empty", list(), nil, nil, 0, nil},
		{"one", list(good), one, nil, 0, nil},
		{"errcode 0 beside it", []byte(`{"errcode":0,"errmsg":"ok","list":[` + good + `]}`), one, nil, 0, nil},
		{"errcode null beside it", []byte(`{"errcode":null,"list":[` + good + `]}`), one, nil, 0, nil},
		{"errcode 0.0 beside it", []byte(`{"errcode":"0.0","list":[` + good + `]}`), one, nil, 0, nil},
		{"foreign keys", []byte(` {"is_delay":false,"list":[{"x":[{}],` + good[1:] + `],"y":{}} `), one, nil, 0, nil},
		{"any order", list(dailyRow("2026-11-03", 3, 0, 3, 3), dailyRow("2026-11-01", 1, 1, 1, 1)), []datacube.Day{
			{Date: begin, Figures: datacube.Figures{Callbacks: 1, Failures: 1, TimeCostMillis: 1, MaxTimeCostMillis: 1}},
			{Date: end, Figures: datacube.Figures{Callbacks: 3, TimeCostMillis: 3, MaxTimeCostMillis: 3}},
		}, nil, 0, nil},
		{"64 bits", list(dailyRow("2026-11-01", int64(1)<<62, 0, int64(1)<<62, 5000)), []datacube.Day{
			{Date: begin, Figures: datacube.Figures{Callbacks: 1 << 62, TimeCostMillis: 1 << 62, MaxTimeCostMillis: 5000}},
		}, nil, 0, nil},
		{"outside the range", list(dailyRow("2026-10-31", 1, 0, 1, 1), good, dailyRow("2026-11-04", 1, 0, 1, 1),
			dailyRow("2024-11-02", -1, 0, 1, 1)), one, nil, 0, rejected(weixin.OutOfRange, 3)},
		{"doubled with the same figures", list(good, good, dailyRow("2026-11-02", `"196"`, 1, 17244, 3000)), one, nil, 0,
			rejected(weixin.Duplicate, 2)},
		{"doubled with other figures", list(good, dailyRow("2026-11-02", 7, 0, 7, 7)), nil, second, 0,
			rejected(weixin.Duplicate, 1)},
		{"a good row after a bad one", list(dailyRow("2026-11-02", -7, 0, 7, 7), good), nil, second, 0, rejected(weixin.BadValue, 1)},
		{"a bad row after a good one", list(good, dailyRow("2026-11-02", 7, 8, 7, 7)), nil, second, 0, rejected(weixin.BadValue, 1)},
		{"bad figures", list(dailyRow("2026-11-01", -1, 0, 1, 1), dailyRow("2026-11-01", 1, -1, 1, 1),
			dailyRow("2026-11-01", 1, 0, -1, 1), dailyRow("2026-11-01", 1, 0, 1, -1), dailyRow("2026-11-01", 1, 2, 1, 1),
			good), one, first, 0, rejected(weixin.BadValue, 5)},
		{"whole numbers in other forms", list(dailyRow("2026-11-02", `"196"`, `"1"`, "172440e-1", "3000.0")), one, nil, 1, nil},
		{"two rows in other forms", list(dailyRow("2026-11-02", "1.96e2", `" 1 "`, "17244", `"3E3"`), dailyRow("2026-11-01", "0.0", `"-0"`, "0e99", "-0"),
			dailyRow("2026-11-03", `"9223372036854775807"`, `"0000"`, `"922337203685477580.70e1"`, "5")), []datacube.Day{
			{Date: begin},
			{Date: begin + 1, Figures: figures},
			{Date: end, Figures: datacube.Figures{Callbacks: math.MaxInt64, TimeCostMillis: math.MaxInt64, MaxTimeCostMillis: 5}},
		}, nil, 3, nil},
		{"figures that are not whole numbers", list(dailyRow("2026-11-01", `"one"`, 0, 1, 1), dailyRow("2026-11-01", 1.5, 0, 1, 1),
			dailyRow("2026-11-01", "1e30", 0, 1, 1), dailyRow("2026-11-01", "9223372036854775808", 0, 1, 1),
			dailyRow("2026-11-01", "null", 0, 1, 1), dailyRow("2026-11-01", "{}", 0, 1, 1), dailyRow("2026-11-01", "[1]", 0, 1, 1),
			dailyRow("2026-11-01", "true", 0, 1, 1), dailyRow("2026-11-01", `""`, 0, 1, 1), dailyRow("2026-11-01", `"0x10"`, 0, 1, 1),
			dailyRow("2026-11-01", `"1 0"`, 0, 1, 1), dailyRow("2026-11-01", `"1_0"`, 0, 1, 1), dailyRow("2026-11-01", `"1,000"`, 0, 1, 1),
			dailyRow("2026-11-01", `"--1"`, 0, 1, 1), dailyRow("2026-11-01", `"1e"`, 0, 1, 1), dailyRow("2026-11-01", `".5e1"`, 0, 1, 1),
			dailyRow("2026-11-01", "1e-1", 0, 1, 1), dailyRow("2026-11-01", "1e999999999999999999999", 0, 1, 1),
			dailyRow("2026-11-01", `"NaN"`, 0, 1, 1), dailyRow("2026-11-01", `"Infinity"`, 0, 1, 1),
			good), one, first, 0, rejected(weixin.BadValue, 20)},
		{"missing figure", list(`{"ref_date":"2026-11-01","callback_count":1,"fail_count":0,"total_time_cost":1}`, good), one,
			first, 0, rejected(weixin.BadValue, 1)},
		{"bad dates", list(dailyRow("", 1, 0, 1, 1), dailyRow("2026-11-31", 1, 0, 1, 1), dailyRow("20261101", 1, 0, 1, 1),
			`{"ref_date":20261101,"callback_count":1,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`,
			`{"callback_count":1,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`, good), one,
			[]datacube.Date{begin, end}, 0, rejected(weixin.BadValue, 5)},
		{"no rows at all", list("1", `"x"`, "null", "[]", "{}", "true", good, "[[[]]]"), one,
			[]datacube.Date{begin, end}, 0, rejected(weixin.BadValue, 7)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := weixin.DecodeDaily(test.body, begin, end)
			if err != nil {
				t.Fatal(err)
			}
			want := weixin.DailyResponse{Days: test.days, Damaged: test.damaged, Reformatted: test.reformatted, Rejected: counts(test.rejected)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func counts(byReason map[weixin.Rejection]int) [weixin.Rejections]int {
	var array [weixin.Rejections]int
	for reason, n := range byReason {
		array[reason] = n
	}
	return array
}

func TestDecodeHourly(t *testing.T) {
	const ref = "2026-11-02"
	day := date(t, ref)
	tests := []struct {
		name        string
		body        []byte
		hours       []int
		plain       int
		reformatted int
		rejected    map[weixin.Rejection]int
	}{
		{"empty", list(), nil, 0, 0, nil},
		{"hundreds", list(hourlyRow(ref, 1800), hourlyRow(ref, 0), hourlyRow(ref, 2300), hourlyRow(ref, 100)),
			[]int{0, 1, 18, 23}, 0, 0, nil},
		{"plain hours", list(hourlyRow(ref, 1), hourlyRow(ref, 23)), []int{1, 23}, 2, 0, nil},
		{"plain and hundredfold are the same hour", list(hourlyRow(ref, 100), hourlyRow(ref, 1)), []int{1}, 0, 0,
			map[weixin.Rejection]int{weixin.Duplicate: 1}},
		{"hours in other forms", list(hourlyRow(ref, `"0900"`), hourlyRow(ref, `"1000"`), hourlyRow(ref, "1.1e3"), hourlyRow(ref, "1200.0"),
			hourlyRow(ref, `"13"`), hourlyRow(ref, 0)), []int{0, 9, 10, 11, 12, 13}, 1, 5, nil},
		{"another day", list(hourlyRow("2026-11-01", 100), hourlyRow("2024-11-02", 5000), hourlyRow(ref, 100)), []int{1}, 0, 0,
			map[weixin.Rejection]int{weixin.OutOfRange: 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := weixin.DecodeHourly(test.body, day)
			if err != nil {
				t.Fatal(err)
			}
			want := weixin.HourlyResponse{
				Rows: len(test.hours), PlainHours: test.plain, Reformatted: test.reformatted, Rejected: counts(test.rejected),
			}
			for _, hour := range test.hours {
				want.Hours[hour] = datacube.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One invalid row damages the whole day, since the figures of its hour are unknown.
func TestDecodeHourlyDamaged(t *testing.T) {
	const ref = "2026-11-02"
	day := date(t, ref)
	tests := map[string]struct {
		row    string
		reason weixin.Rejection
	}{
		"an hour below 0":         {hourlyRow(ref, -1), weixin.BadHour},
		"a hundred below 0":       {hourlyRow(ref, -100), weixin.BadHour},
		"no plain hour":           {hourlyRow(ref, 24), weixin.BadHour},
		"no hundred":              {hourlyRow(ref, 99), weixin.BadHour},
		"half past one":           {hourlyRow(ref, 150), weixin.BadHour},
		"the end of the day":      {hourlyRow(ref, 2400), weixin.BadHour},
		"a minute before the end": {hourlyRow(ref, 2359), weixin.BadHour},
		"a fraction of an hour":   {hourlyRow(ref, 1.5), weixin.BadHour},
		"an hour with a colon":    {hourlyRow(ref, `"09:00"`), weixin.BadHour},
		"null for an hour":        {hourlyRow(ref, "null"), weixin.BadHour},
		"no hour":                 {dailyRow(ref, 1, 0, 1, 1), weixin.BadHour},
		"no date":                 {hourlyRow("yesterday", 100), weixin.BadValue},
		"null":                    {"null", weixin.BadValue},
		"an array":                {"[]", weixin.BadValue},
		"more failures than callbacks": {
			`{"ref_date":"2026-11-02","ref_hour":300,"callback_count":1,"fail_count":2,"total_time_cost":1,"max_time_cost":1}`, weixin.BadValue,
		},
		"a missing key": {`{"ref_date":"2026-11-02","ref_hour":300,"callback_count":1,"fail_count":1,"total_time_cost":1}`, weixin.BadValue},
		"null for a figure": {
			`{"ref_date":"2026-11-02","ref_hour":300,"callback_count":null,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`, weixin.BadValue,
		},
		"the same hour with other figures": {
			`{"ref_date":"2026-11-02","ref_hour":500,"callback_count":9,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`, weixin.Duplicate,
		},
	}
	for name, test := range tests {
		for _, rows := range [][]string{{test.row, hourlyRow(ref, 500)}, {hourlyRow(ref, 500), test.row}} {
			got, err := weixin.DecodeHourly(list(rows...), day)
			want := weixin.HourlyResponse{Damaged: true, Rejected: counts(map[weixin.Rejection]int{test.reason: 1})}
			if err != nil || got != want {
				t.Errorf("%s: got %+v, error %v", name, got, err)
			}
		}
	}
}

// invalidBodies are bodies that are not responses of the API, with a part of the error.
var invalidBodies = map[string]string{
	"":                                     "the response is empty",
	" \r\n\t":                              "the response is empty",
	"<html>502</html>":                     "is not a JSON object",
	"[]":                                   "is not a JSON object",
	"null":                                 "is not a JSON object",
	"true":                                 "is not a JSON object",
	`"list"`:                               "is not a JSON object",
	`{"list":[`:                            "is not a JSON object",
	`{"list":[]}x`:                         "is not a JSON object",
	`{"list":[{]}`:                         "is not a JSON object",
	strings.Repeat(`{"list":`, 20_000):     "is not a JSON object",
	`{"list":` + strings.Repeat("[", 9000): "is not a JSON object",
	"{}":                                   "neither list nor errcode",
	`{"errcode":0,"errmsg":"ok"}`:          "neither list nor errcode",
	`{"errmsg":"no code"}`:                 "neither list nor errcode",
	`{"list":{}}`:                          "list of the response is not an array",
	`{"list":"[]"}`:                        "list of the response is not an array",
	`{"list":0}`:                           "list of the response is not an array",
	`{"list":null}`:                        "list of the response is null",
	`{"errcode":0,"list":null}`:            "list of the response is null",
	`{"errcode":4294967296,"list":[]}`:     "errcode of the response is not a number",
	`{"errcode":true,"list":[]}`:           "errcode of the response is not a number",
	`{"errcode":"","list":[]}`:             "errcode of the response is not a number",
	`{"errcode":"ok","list":[]}`:           "errcode of the response is not a number",
	`{"errcode":{},"list":[]}`:             "errcode of the response is not a number",
	`{"errcode":4.5,"list":[]}`:            "errcode of the response is not a number",
	`{"errcode":99999999999}`:              "errcode of the response is not a number",
}

func TestDecodeNoAnswer(t *testing.T) {
	day := date(t, "2026-11-02")
	for body, says := range invalidBodies {
		_, daily := weixin.DecodeDaily([]byte(body), day, day)
		_, hourly := weixin.DecodeHourly([]byte(body), day)
		for api, err := range map[string]error{"daily": daily, "hourly": hourly} {
			var fault *weixin.Error
			if !errors.As(err, &fault) || fault.Reason != weixin.Busy || fault.Errcode != 0 || fault.API != weixin.API(api) ||
				!strings.Contains(err.Error(), says) {
				t.Errorf("%.40q: got %v, want an error for the reason busy that contains %q", body, err, says)
			}
		}
	}
}

func TestDecodeManyTinyRows(t *testing.T) {
	const rows = 100_000
	day := date(t, "2026-11-02")
	got, err := weixin.DecodeHourly([]byte(`{"list":[`+strings.Repeat("0,", rows-1)+`0]}`), day)
	if err != nil || got.Rejected[weixin.BadValue] != rows || got.Rows != 0 || !got.Damaged {
		t.Errorf("got %d rejected, %d rows, error %v; want %d rejected", got.Rejected[weixin.BadValue], got.Rows, err, rows)
	}
}

func seeds(f *testing.F) {
	f.Helper()
	f.Add(list())
	f.Add(list(dailyRow("2026-11-02", 196, 1, 17244, 3000), dailyRow("2026-11-03", 1, 2, 3, 4)))
	f.Add(list(hourlyRow("2026-11-02", 100), hourlyRow("2026-11-02", 1), hourlyRow("2024-01-01", 2400)))
	f.Add(list(dailyRow("2026-11-02", `"196"`, "1.0", "1.7244e4", `"03000"`), dailyRow("2026-11-03", "1e999", `""`, "-0", "1e-1")))
	f.Add(list(hourlyRow("2026-11-02", `"0900"`), hourlyRow("2026-11-02", "9e2"), hourlyRow("2026-11-02", `"9"`), "null"))
	f.Add([]byte(`{"errcode":40164,"errmsg":"invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 5f9b-0ba7"}`))
	f.Add([]byte(`{"errcode":"45009","errmsg":"reach max api daily quota limit hint: [x], more details at https://x.example/y"}`))
	f.Add([]byte(`{"access_token":"sim-token-1","expires_in":7200}`))
	for _, body := range slices.Sorted(maps.Keys(invalidBodies)) {
		if len(body) < 100 {
			f.Add([]byte(body))
		}
	}
}

// checkError checks an error of a decoder.
func checkError(t *testing.T, err error) {
	t.Helper()
	var fault *weixin.Error
	switch {
	case !errors.As(err, &fault):
		t.Fatalf("%T is not an *Error", err)
	case (fault.Errcode == 0) == (fault.Err == nil):
		t.Fatalf("%q has both errcode and cause, or neither", err)
	case len([]rune(fault.Errmsg)) > 201 || strings.ContainsAny(err.Error(), "\r\n\x00\x1b"):
		t.Fatalf("%q is not one short line", err)
	case fault.Advice().String() == "":
		t.Fatalf("%q has no advice", err)
	}
}

func FuzzDecodeDaily(f *testing.F) {
	seeds(f)
	begin, end := date(f, "2026-11-01"), date(f, "2026-11-30")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := weixin.DecodeDaily(body, begin, end)
		if err != nil {
			checkError(t, err)
			return
		}
		for i, day := range got.Days {
			if day.Date < begin || day.Date > end || i > 0 && day.Date <= got.Days[i-1].Date {
				t.Errorf("day %s is out of range or order", day.Date)
			}
			checkFigures(t, day.Figures)
		}
		damaged := map[datacube.Date]bool{}
		for i, date := range got.Damaged {
			if date < begin || date > end || i > 0 && date <= got.Damaged[i-1] {
				t.Errorf("damaged day %s is out of range or order", date)
			}
			damaged[date] = true
		}
		if slices.ContainsFunc(got.Days, func(day datacube.Day) bool { return damaged[day.Date] }) {
			t.Error("a day is damaged and has figures")
		}
		if got.Reformatted > len(got.Days) {
			t.Errorf("%d rows in other forms for %d days", got.Reformatted, len(got.Days))
		}
		if len(got.Damaged) == 0 && got.Rejected[weixin.BadValue] > 0 && len(got.Days) < 30 {
			t.Error("an invalid row damages no day")
		}
		if again, _ := weixin.DecodeDaily(body, begin, end); !slices.Equal(again.Days, got.Days) {
			t.Error("decoding again gives other days")
		}
	})
}

func FuzzDecodeHourly(f *testing.F) {
	seeds(f)
	day := date(f, "2026-11-02")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := weixin.DecodeHourly(body, day)
		if err != nil {
			checkError(t, err)
			return
		}
		if got.Rows > datacube.HoursPerDay || got.PlainHours > got.Rows || got.Reformatted > got.Rows {
			t.Errorf("%d rows, %d plain hours, %d in other forms", got.Rows, got.PlainHours, got.Reformatted)
		}
		if spoilt := got.Rejected[weixin.BadValue] + got.Rejected[weixin.BadHour]; spoilt > 0 && !got.Damaged || got.Damaged && got.Rows > 0 {
			t.Errorf("%d invalid rows, damaged: %t, %d rows", spoilt, got.Damaged, got.Rows)
		}
		if got.Rows == 0 && got.Hours != (datacube.Hours{}) {
			t.Error("hours without rows")
		}
		for _, figures := range got.Hours {
			checkFigures(t, figures)
		}
	})
}

func FuzzToken(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := clientOn(always(200, string(body))).StableToken(credentials()).Fetch(t.Context())
		if err != nil {
			checkError(t, err)
			return
		}
		if token.Life <= 0 || token.Text.IsZero() || strings.ContainsAny(token.Text.Reveal(), "\r\n\x00") {
			t.Errorf("a token of life %s that cannot be used", token.Life)
		}
	})
}

func checkFigures(t *testing.T, f datacube.Figures) {
	t.Helper()
	if f.Callbacks < 0 || f.Failures < 0 || f.Failures > f.Callbacks || f.TimeCostMillis < 0 || f.MaxTimeCostMillis < 0 {
		t.Errorf("figures %+v", f)
	}
}

func BenchmarkDecodeHourly(b *testing.B) {
	var rows []string
	for hour := range datacube.HoursPerDay {
		rows = append(rows, hourlyRow("2026-11-02", hour*100))
	}
	body, day := list(rows...), date(b, "2026-11-02")
	b.ReportAllocs()
	for b.Loop() {
		got, err := weixin.DecodeHourly(body, day)
		if err != nil || got.Rows != datacube.HoursPerDay {
			b.Fatal(got.Rows, err)
		}
	}
}

// Integers are read exactly in any form, and other numbers are refused.
func FuzzDecodeNumber(f *testing.F) {
	for _, number := range []string{
		"0", "-0", "10", "10.0", "1e1", `"10"`, `"0900"`, "1.5e1", "9223372036854775807", "9223372036854775808", "1e18", "1e19",
		"92233720368547758.07e2", "1e-1", "100e-2", "0.0e-999999999", "1e999999999", `"1e1"`, `" 7 "`, `"+7"`, `""`, "null",
		"\"\x95\\\\\"",
	} {
		f.Add(number)
	}
	day := date(f, "2026-11-02")
	f.Fuzz(func(t *testing.T, number string) {
		if !json.Valid([]byte(number)) || strings.ContainsAny(number, "{[") || len(number) > 60 {
			return
		}
		if !utf8.ValidString(number) {
			return // read as GB18030, in which a character can end with the byte of a backslash
		}
		got, err := weixin.DecodeDaily(list(dailyRow("2026-11-02", number, 0, 1, 1)), day, day)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(number)
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal([]byte(text), &text); err != nil {
				t.Fatal(err)
			}
			text = strings.TrimSpace(text)
		}
		if i := strings.IndexAny(text, "eE"); i >= 0 && len(strings.TrimLeft(text[i+1:], "+-0")) > 3 {
			return // big.Rat would take too long
		}
		exact, ok := new(big.Rat).SetString(text)
		decimal := strings.Trim(text, "0123456789.eE+-") == ""
		if len(got.Days) == 1 {
			if !ok || !decimal || exact.Cmp(new(big.Rat).SetInt64(got.Days[0].Figures.Callbacks)) != 0 {
				t.Errorf("%s is read as %d", number, got.Days[0].Figures.Callbacks)
			}
			return
		}
		if json.Valid([]byte(text)) && ok && exact.IsInt() && exact.Sign() >= 0 && exact.Num().IsInt64() {
			t.Errorf("%s is not read", number)
		}
	})
}
