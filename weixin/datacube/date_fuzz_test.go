package datacube_test

import (
	"testing"

	"weixin_exporter/weixin/datacube"
)

// FuzzParseDate: a text is a date in the one form in which it is written, or an error.
func FuzzParseDate(f *testing.F) {
	for _, text := range []string{"2026-11-29", "2024-02-29", "2026-02-29", "0001-01-01", "9999-12-31", "2026-1-2", "2026-11-29 ", "20261129", "-001-01-01", "２０２６-11-29", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		date, err := datacube.ParseDate(text)
		var same datacube.Date
		if again := same.UnmarshalText([]byte(text)); (again == nil) != (err == nil) || same != date {
			t.Fatalf("%q is %v (%v), and %v (%v) as a text", text, date, err, same, again)
		}
		if err != nil {
			return
		}
		if date.String() != text {
			t.Errorf("%q is read as %v", text, date)
		}
		if datacube.DateOf(date.Start()) != date || datacube.DateOf(date.End()) != date+1 || datacube.DateOf(date.End().Add(-1)) != date {
			t.Errorf("%v is from %v to %v", date, date.Start(), date.End())
		}
	})
}
