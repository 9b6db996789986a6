package i18n

import (
	"time"

	"golang.org/x/text/number"

	"weixin_exporter/weixin/datacube"
)

// The forms of times, in China time, which is the zone of all of Weixin's days and hours.
const (
	clockTime = "15:04"
	dayTime   = "01-02 15:04"
	fullTime  = "2006-01-02 15:04:05"
)

// Ratio is an argument of a text that is written in percent.
type Ratio float64

// arg writes an argument of a text by its type; others are left to the format.
func (p Printer) arg(arg any) any {
	switch v := arg.(type) {
	case Message:
		return p.Message(v)
	case datacube.Date:
		return v.String()
	case time.Time:
		return p.Moment(v)
	case Ratio:
		return p.Percent(float64(v))
	case time.Duration:
		return p.Age(v)
	case Localized:
		return v.In(p)
	case error:
		return p.Error(v)
	default:
		return arg
	}
}

// Number writes a whole number with its digits in groups.
func (p Printer) Number(n int64) string {
	return p.catalogue.printers[p.Language].Sprint(number.Decimal(n))
}

// Percent writes a ratio in percent with two decimals. A ratio that is not 0 is never written as 0.
func (p Printer) Percent(ratio float64) string {
	const smallest = 0.0001
	if ratio > 0 && ratio < smallest {
		return "<" + p.percent(smallest)
	}
	return p.percent(ratio)
}

func (p Printer) percent(ratio float64) string {
	return p.catalogue.printers[p.Language].Sprint(number.Percent(ratio, number.MinFractionDigits(2), number.MaxFractionDigits(2)))
}

// Seconds writes a time in seconds with the digits that matter: milliseconds.
func (p Printer) Seconds(seconds float64) string {
	return p.Text("unit.seconds", p.decimal(seconds, 3))
}

func (p Printer) decimal(value float64, digits int) string {
	return p.catalogue.printers[p.Language].Sprint(number.Decimal(value, number.MinFractionDigits(digits), number.MaxFractionDigits(digits)))
}

// Bytes writes a size in the unit that suits it.
func (p Printer) Bytes(n int64) string {
	const step = 1024
	units := [...]string{"kB", "MB", "GB", "TB"}
	if n < step {
		return p.Number(n) + " B"
	}
	size, unit := float64(n)/step, 0
	for size >= step && unit < len(units)-1 {
		size, unit = size/step, unit+1
	}
	return p.decimal(size, 1) + " " + units[unit]
}

// LongDate writes a day in full: "Saturday, 28 November 2026", "2026年11月28日 星期六".
func (p Printer) LongDate(d datacube.Date) string {
	if p.Language == Chinese {
		return d.Start().Format("2006年1月2日") + " " + chineseWeekday(d)
	}
	return d.Start().Format("Monday, 2 January 2006")
}

// ShortDate writes a day that is near: "28 Nov", "11月28日".
func (p Printer) ShortDate(d datacube.Date) string {
	if p.Language == Chinese {
		return d.Start().Format("1月2日")
	}
	return d.Start().Format("2 Jan")
}

// Weekday writes the day of the week in short: "Sat", "周六".
func (p Printer) Weekday(d datacube.Date) string {
	if p.Language == Chinese {
		return "周" + string([]rune(chineseWeekday(d))[2:])
	}
	return d.Start().Format("Mon")
}

func chineseWeekday(d datacube.Date) string {
	return [...]string{"星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"}[d.Start().Weekday()]
}

// Moment writes a time to the second.
func (p Printer) Moment(t time.Time) string { return t.In(datacube.China).Format(fullTime) }

// Clock writes a time to the minute, and its day where that is not today.
func (p Printer) Clock(t, now time.Time) string {
	t = t.In(datacube.China)
	switch {
	case datacube.DateOf(t) == datacube.DateOf(now):
		return t.Format(clockTime)
	case t.Year() == now.In(datacube.China).Year():
		return t.Format(dayTime)
	default:
		return t.Format("2006-01-02 15:04")
	}
}

// Age writes how long something takes or is ago, in its largest unit.
func (p Printer) Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return p.Text("unit.seconds_long", int64(max(d, 0)/time.Second))
	case d < 2*time.Hour:
		return p.Text("unit.minutes", int64(d/time.Minute))
	case d < 2*day:
		return p.Text("unit.hours", int64(d/time.Hour))
	default:
		return p.Text("unit.days", int64(d/day))
	}
}

// ShortSeconds writes a round time in seconds, for a scale.
func (p Printer) ShortSeconds(seconds float64) string {
	return p.Text("unit.seconds", p.catalogue.printers[p.Language].Sprint(number.Decimal(seconds, number.MaxFractionDigits(2))))
}
