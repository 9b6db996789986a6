package datacube_test

import (
	"encoding/json"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

func TestDateOf(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-09T15:59:59Z":      "2026-03-09",
		"2026-03-09T16:00:00Z":      "2026-03-10", // midnight in China
		"2026-03-10T00:00:00+08:00": "2026-03-10",
		"2026-03-09T10:00:00-08:00": "2026-03-10",
		"2024-02-29T12:00:00+08:00": "2024-02-29",
		"1969-12-31T15:59:59Z":      "1969-12-31",
		"1969-12-31T16:00:00Z":      "1970-01-01",
		"0001-01-01T00:00:00Z":      "0001-01-01",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := datacube.DateOf(at).String(); got != want {
			t.Errorf("%s is %s in China, want %s", text, got, want)
		}
	}
}

func TestDayBoundaries(t *testing.T) {
	d, err := datacube.ParseDate("2026-03-09")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Start().Format(time.RFC3339); got != "2026-03-09T00:00:00+08:00" {
		t.Errorf("begins at %s", got)
	}
	if got := d.End().Format(time.RFC3339); got != "2026-03-10T00:00:00+08:00" {
		t.Errorf("ends at %s", got)
	}
	if got := (d + 1).String(); got != "2026-03-10" {
		t.Errorf("the next day is %s", got)
	}
	for date := d; date < d+1000; date++ {
		if datacube.DateOf(date.Start()) != date || datacube.DateOf(date.End().Add(-1)) != date {
			t.Fatalf("%s does not contain its own hours", date)
		}
	}
}

func TestFirstDate(t *testing.T) {
	if got := datacube.FirstDate.String(); got != "2014-12-01" {
		t.Errorf("the first date is %s", got)
	}
}

func TestParseDateRefusesOtherForms(t *testing.T) {
	for _, text := range []string{"", "2026-3-9", "20260309", "2026-02-29", "2026-13-01", " 2026-03-09", "2026-03-09T00:00:00Z", "yesterday"} {
		if d, err := datacube.ParseDate(text); err == nil {
			t.Errorf("%q was read as %s", text, d)
		}
	}
}

func TestDateAsText(t *testing.T) {
	type body struct {
		BeginDate datacube.Date `json:"begin_date"`
	}
	var b body
	if err := json.Unmarshal([]byte(`{"begin_date":"2014-12-07"}`), &b); err != nil || b.BeginDate != datacube.FirstDate+6 {
		t.Errorf("read as %v: %v", b.BeginDate, err)
	}
	if text, err := json.Marshal(b); err != nil || string(text) != `{"begin_date":"2014-12-07"}` {
		t.Errorf("written as %s: %v", text, err)
	}
	if err := json.Unmarshal([]byte(`{"begin_date":"07.12.2014"}`), &b); err == nil {
		t.Error("a date of another form was read")
	}
}

func TestFigures(t *testing.T) {
	// A day on Tencent's own statistics page: 17,244 ms in 196 callbacks are 87.98 ms each.
	f := datacube.Figures{Callbacks: 196, Failures: 1, TimeCostMillis: 17244, MaxTimeCostMillis: 3000}
	if average, ok := f.AverageTimeCostSeconds(); !ok || average < 0.08797 || average > 0.08799 {
		t.Errorf("average %v, %v", average, ok)
	}
	if f.TimeCostSeconds() != 17.244 || f.MaxTimeCostSeconds() != 3 {
		t.Errorf("%v s in all, %v s at most", f.TimeCostSeconds(), f.MaxTimeCostSeconds())
	}
	if average, ok := (datacube.Figures{}).AverageTimeCostSeconds(); ok || average != 0 {
		t.Errorf("without traffic the average is %v, %v", average, ok)
	}
}

func TestAPI(t *testing.T) {
	if datacube.Daily.String() != "daily" || datacube.Hourly.String() != "hourly" || datacube.APIs.String() != "unknown" {
		t.Error("the calls have other names")
	}
}
