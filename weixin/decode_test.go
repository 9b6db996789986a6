package weixin_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/summary"
	"weixin_exporter/weixin"
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
	figures := summary.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}
	one := []summary.Day{{Date: begin + 1, Figures: figures}}
	tests := []struct {
		name     string
		body     []byte
		days     []summary.Day
		rejected map[weixin.Rejection]int
	}{
		{"empty", list(), nil, nil},
		{"null", []byte(`{"list":null}`), nil, nil},
		{"one", list(good), one, nil},
		{"errcode 0 beside it", []byte(`{"errcode":0,"errmsg":"ok","list":[` + good + `]}`), one, nil},
		{"errcode null beside it", []byte(`{"errcode":null,"list":[` + good + `]}`), one, nil},
		{"foreign keys", []byte(` {"is_delay":false,"list":[{"x":[{}],` + good[1:] + `],"y":{}} `), one, nil},
		{"any order", list(dailyRow("2026-11-03", 3, 0, 3, 3), dailyRow("2026-11-01", 1, 1, 1, 1)), []summary.Day{
			{Date: begin, Figures: summary.Figures{Callbacks: 1, Failures: 1, TimeCostMillis: 1, MaxTimeCostMillis: 1}},
			{Date: end, Figures: summary.Figures{Callbacks: 3, TimeCostMillis: 3, MaxTimeCostMillis: 3}},
		}, nil},
		{"64 bits", list(dailyRow("2026-11-01", int64(1)<<62, 0, int64(1)<<62, 5000)), []summary.Day{
			{Date: begin, Figures: summary.Figures{Callbacks: 1 << 62, TimeCostMillis: 1 << 62, MaxTimeCostMillis: 5000}},
		}, nil},
		{"outside the range", list(dailyRow("2026-10-31", 1, 0, 1, 1), good, dailyRow("2026-11-04", 1, 0, 1, 1),
			dailyRow("2024-11-02", -1, 0, 1, 1)), one, map[weixin.Rejection]int{weixin.OutOfRange: 3}},
		{"doubled, the first counts", list(good, dailyRow("2026-11-02", 7, 0, 7, 7)), one,
			map[weixin.Rejection]int{weixin.Duplicate: 1}},
		{"a bad row is no first one", list(dailyRow("2026-11-02", -7, 0, 7, 7), good), one,
			map[weixin.Rejection]int{weixin.BadValue: 1}},
		{"bad figures", list(dailyRow("2026-11-01", -1, 0, 1, 1), dailyRow("2026-11-01", 1, -1, 1, 1),
			dailyRow("2026-11-01", 1, 0, -1, 1), dailyRow("2026-11-01", 1, 0, 1, -1), dailyRow("2026-11-01", 1, 2, 1, 1),
			good), one, map[weixin.Rejection]int{weixin.BadValue: 5}},
		{"figures that are no whole numbers", list(dailyRow("2026-11-01", `"1"`, 0, 1, 1), dailyRow("2026-11-01", 1.5, 0, 1, 1),
			dailyRow("2026-11-01", "1e30", 0, 1, 1), dailyRow("2026-11-01", "9223372036854775808", 0, 1, 1),
			dailyRow("2026-11-01", "null", 0, 1, 1), dailyRow("2026-11-01", "{}", 0, 1, 1), dailyRow("2026-11-01", "[1]", 0, 1, 1),
			dailyRow("2026-11-01", "true", 0, 1, 1), good), one, map[weixin.Rejection]int{weixin.BadValue: 8}},
		{"missing figure", list(`{"ref_date":"2026-11-01","callback_count":1,"fail_count":0,"total_time_cost":1}`, good), one,
			map[weixin.Rejection]int{weixin.BadValue: 1}},
		{"bad dates", list(dailyRow("", 1, 0, 1, 1), dailyRow("2026-11-31", 1, 0, 1, 1), dailyRow("20261101", 1, 0, 1, 1),
			`{"ref_date":20261101,"callback_count":1,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`,
			`{"callback_count":1,"fail_count":0,"total_time_cost":1,"max_time_cost":1}`, good), one,
			map[weixin.Rejection]int{weixin.BadValue: 5}},
		{"no rows at all", list("1", `"x"`, "null", "[]", "{}", "true", good, "[[[]]]"), one,
			map[weixin.Rejection]int{weixin.BadValue: 7}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := weixin.DecodeDaily(test.body, begin, end)
			if err != nil {
				t.Fatal(err)
			}
			want := weixin.DailyAnswer{Days: test.days, Rejected: counts(test.rejected)}
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
		name     string
		body     []byte
		hours    []int
		plain    int
		rejected map[weixin.Rejection]int
	}{
		{"empty", list(), nil, 0, nil},
		{"hundreds", list(hourlyRow(ref, 1800), hourlyRow(ref, 0), hourlyRow(ref, 2300), hourlyRow(ref, 100)),
			[]int{0, 1, 18, 23}, 0, nil},
		{"plain hours", list(hourlyRow(ref, 1), hourlyRow(ref, 23)), []int{1, 23}, 2, nil},
		{"plain and hundredfold are the same hour", list(hourlyRow(ref, 100), hourlyRow(ref, 1)), []int{1}, 0,
			map[weixin.Rejection]int{weixin.Duplicate: 1}},
		{"no hours", list(hourlyRow(ref, -1), hourlyRow(ref, -100), hourlyRow(ref, 24), hourlyRow(ref, 99),
			hourlyRow(ref, 150), hourlyRow(ref, 2400), hourlyRow(ref, 2359), hourlyRow(ref, "1e2"), hourlyRow(ref, 1.5),
			hourlyRow(ref, `"100"`), hourlyRow(ref, "null"), hourlyRow(ref, 100)), []int{1}, 0,
			map[weixin.Rejection]int{weixin.BadHour: 11}},
		{"missing hour", list(dailyRow(ref, 1, 0, 1, 1)), nil, 0, map[weixin.Rejection]int{weixin.BadHour: 1}},
		{"another day", list(hourlyRow("2026-11-01", 100), hourlyRow("2024-11-02", 5000), hourlyRow(ref, 100)), []int{1}, 0,
			map[weixin.Rejection]int{weixin.OutOfRange: 2}},
		{"bad date, bad figure", list(hourlyRow("yesterday", 100),
			`{"ref_date":"2026-11-02","ref_hour":300,"callback_count":1,"fail_count":2,"total_time_cost":1,"max_time_cost":1}`,
			hourlyRow(ref, 300)), []int{3}, 0, map[weixin.Rejection]int{weixin.BadValue: 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := weixin.DecodeHourly(test.body, day)
			if err != nil {
				t.Fatal(err)
			}
			want := weixin.HourlyAnswer{Rows: len(test.hours), PlainHours: test.plain, Rejected: counts(test.rejected)}
			for _, hour := range test.hours {
				want.Hours[hour] = summary.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// noAnswers are bodies that are none of the API's answers, with what the error says of them.
var noAnswers = map[string]string{
	"":                                     "the answer is empty",
	" \r\n\t":                              "the answer is empty",
	"<html>502</html>":                     "is no JSON object",
	"[]":                                   "is no JSON object",
	"null":                                 "is no JSON object",
	"true":                                 "is no JSON object",
	`"list"`:                               "is no JSON object",
	`{"list":[`:                            "is no JSON object",
	`{"list":[]}x`:                         "is no JSON object",
	`{"list":[{]}`:                         "is no JSON object",
	"\xef\xbb\xbf{\"list\":[]}":            "is no JSON object",
	strings.Repeat(`{"list":`, 20_000):     "is no JSON object",
	`{"list":` + strings.Repeat("[", 9000): "is no JSON object",
	"{}":                                   "neither list nor errcode",
	`{"errcode":0,"errmsg":"ok"}`:          "neither list nor errcode",
	`{"errmsg":"no code"}`:                 "neither list nor errcode",
	`{"list":{}}`:                          "list of the answer is no array",
	`{"list":"[]"}`:                        "list of the answer is no array",
	`{"list":0}`:                           "list of the answer is no array",
	`{"errcode":true,"list":[]}`:           "errcode of the answer is no number",
	`{"errcode":"","list":[]}`:             "errcode of the answer is no number",
	`{"errcode":"ok","list":[]}`:           "errcode of the answer is no number",
	`{"errcode":{},"list":[]}`:             "errcode of the answer is no number",
	`{"errcode":4.5,"list":[]}`:            "errcode of the answer is no number",
	`{"errcode":99999999999}`:              "errcode of the answer is no number",
}

func TestDecodeNoAnswer(t *testing.T) {
	day := date(t, "2026-11-02")
	for body, says := range noAnswers {
		_, daily := weixin.DecodeDaily([]byte(body), day, day)
		_, hourly := weixin.DecodeHourly([]byte(body), day)
		for api, err := range map[string]error{"daily": daily, "hourly": hourly} {
			var fault *weixin.Error
			if !errors.As(err, &fault) || fault.Class != weixin.Busy || fault.Code != 0 || fault.API != api ||
				!strings.Contains(err.Error(), says) {
				t.Errorf("%.40q: got %v, want one of class busy that says %q", body, err, says)
			}
		}
	}
}

func TestDecodeManyTinyRows(t *testing.T) {
	const rows = 100_000
	day := date(t, "2026-11-02")
	got, err := weixin.DecodeHourly([]byte(`{"list":[`+strings.Repeat("0,", rows-1)+`0]}`), day)
	if err != nil || got.Rejected[weixin.BadValue] != rows || got.Rows != 0 {
		t.Errorf("got %d rejected, %d rows, error %v; want %d rejected", got.Rejected[weixin.BadValue], got.Rows, err, rows)
	}
}

func seeds(f *testing.F) {
	f.Helper()
	f.Add(list())
	f.Add(list(dailyRow("2026-11-02", 196, 1, 17244, 3000), dailyRow("2026-11-03", 1, 2, 3, 4)))
	f.Add(list(hourlyRow("2026-11-02", 100), hourlyRow("2026-11-02", 1), hourlyRow("2024-01-01", 2400)))
	f.Add([]byte(`{"errcode":40164,"errmsg":"invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 5f9b-0ba7"}`))
	f.Add([]byte(`{"errcode":"45009","errmsg":"reach max api daily quota limit hint: [x], more details at https://x.example/y"}`))
	f.Add([]byte(`{"access_token":"sim-token-1","expires_in":7200}`))
	for _, body := range slices.Sorted(maps.Keys(noAnswers)) {
		if len(body) < 100 {
			f.Add([]byte(body))
		}
	}
}

// checkError holds for every error that a decoder returns.
func checkError(t *testing.T, err error) {
	t.Helper()
	var fault *weixin.Error
	switch {
	case !errors.As(err, &fault):
		t.Fatalf("%T is no *Error", err)
	case (fault.Code == 0) == (fault.Err == nil):
		t.Fatalf("%q has both errcode and cause, or none", err)
	case len([]rune(fault.Message)) > 201 || strings.ContainsAny(err.Error(), "\r\n\x00\x1b"):
		t.Fatalf("%q is not one short line", err)
	case fault.Advice() == "":
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
		if again, _ := weixin.DecodeDaily(body, begin, end); !slices.Equal(again.Days, got.Days) {
			t.Error("a second reading gives other days")
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
		if got.Rows > summary.HoursPerDay || got.PlainHours > got.Rows {
			t.Errorf("%d rows, %d plain hours", got.Rows, got.PlainHours)
		}
		if got.Rows == 0 && got.Hours != (summary.Hours{}) {
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

func checkFigures(t *testing.T, f summary.Figures) {
	t.Helper()
	if f.Callbacks < 0 || f.Failures < 0 || f.Failures > f.Callbacks || f.TimeCostMillis < 0 || f.MaxTimeCostMillis < 0 {
		t.Errorf("figures %+v", f)
	}
}

func BenchmarkDecodeHourly(b *testing.B) {
	var rows []string
	for hour := range summary.HoursPerDay {
		rows = append(rows, hourlyRow("2026-11-02", hour*100))
	}
	body, day := list(rows...), date(b, "2026-11-02")
	b.ReportAllocs()
	for b.Loop() {
		got, err := weixin.DecodeHourly(body, day)
		if err != nil || got.Rows != summary.HoursPerDay {
			b.Fatal(got.Rows, err)
		}
	}
}
