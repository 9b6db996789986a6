package web

import (
	"slices"

	"weixin_exporter/internal/chart"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/datacube"
)

// timeLimit is after how many seconds Weixin gives a callback up.
const timeLimit = 5

// drawDay draws the hours of a day: how many callbacks there were and failed, and how long they took.
func (v *accountView) drawDay(d *dayView, shown monthDay) {
	columns, spans := make([]chart.Column, datacube.HoursPerDay), make([]chart.Span, datacube.HoursPerDay)
	if shown.hours != nil {
		for hour, f := range shown.hours {
			level := levelOfHour(f)
			columns[hour] = chart.Column{Known: true, Total: f.Callbacks, Failures: f.Failures, Level: level}
			average, _ := f.AverageTimeCostSeconds()
			spans[hour] = chart.Span{Known: true, Average: average, Longest: f.MaxTimeCostSeconds(), Level: timeLevel(f)}
		}
	}
	said, slow := v.T("chart.unknown"), v.T("chart.unknown")
	if shown.hours != nil {
		total := shown.hours.Total()
		ratio, _ := total.FailureRatio()
		said = v.T("chart.strip.desc", total.Callbacks, i18n.Ratio(ratio))
		average, _ := total.AverageTimeCostSeconds()
		slow = v.T("chart.times.desc", v.Seconds(average), v.Seconds(total.MaxTimeCostSeconds()))
	}
	var top int64
	d.Callbacks, top = chart.Columns(columns, chart.Caption{ID: "day-callbacks", Title: v.T("chart.columns", shown.date), Description: said})
	d.Top, d.Half = v.Number(top), v.Number(top/2)
	d.Times = chart.Spans(spans, timeLimit, chart.Caption{ID: "day-times", Title: v.T("chart.times", shown.date), Description: slow})
	for _, tick := range chart.TimeTicks() {
		d.Ticks = append(d.Ticks, v.ShortSeconds(tick))
	}
}

// timeLevel colours the times of an hour: red where callbacks ran into the limit and many failed.
func timeLevel(f datacube.Figures) chart.Level {
	switch {
	case f.Callbacks == 0:
		return chart.Quiet
	case f.MaxTimeCostSeconds() >= datacube.TimeoutSeconds && f.ManyFailed():
		return chart.Severe
	case f.MaxTimeCostSeconds() >= datacube.TimeoutSeconds:
		return chart.High
	default:
		return chart.Well
	}
}

// window is the month: a map of its hours, and a table of its days, the latest first.
func (v *accountView) window(asked accountRequest, month []monthDay) windowView {
	view := windowView{
		Title: v.T("account.window", asked.from, asked.to),
		CSV:   v.dayURL(asked.date, "format", "csv", "of", "days"),
	}
	var cells [][]chart.Cell
	known := int64(0)
	for i, d := range month {
		cells = append(cells, cellsOf(d.hours))
		column := heatColumn{Date: d.date.String(), Short: v.ShortDate(d.date), URL: v.dayURL(d.date) + "#day"}
		const every = 7
		if i%every == (len(month)-1)%every {
			column.Label = column.Short
		}
		view.Columns = append(view.Columns, column)
		if d.hours != nil {
			known++
		}
	}
	view.Heat = chart.Heat(cells, chart.Caption{
		ID: "heat", Title: v.T("chart.heat", asked.from, asked.to), Description: v.T("chart.heat.desc", known, int64(len(month))),
	})
	for _, d := range slices.Backward(month) {
		day := windowDay{
			Date: d.date.String(), Weekday: v.Weekday(d.date), URL: v.dayURL(d.date) + "#day",
			Figures: v.ofDay(d.total()), Known: d.total() != nil, Current: d.date == asked.date,
		}
		if d.hours != nil {
			day.Hours = v.strip("m"+d.date.String(), d.date, d.hours)
		}
		view.Days = append(view.Days, day)
	}
	view.HeatRows = v.heatRows(month)
	return view
}

func (v *accountView) heatRows(month []monthDay) []heatRow {
	rows := make([]heatRow, datacube.HoursPerDay)
	for hour := range rows {
		rows[hour].Hour = twoDigits(hour) + ":00"
		for _, d := range month {
			text := v.T("chart.heat.unknown")
			if d.hours != nil {
				text = dash
				if ratio, ok := d.hours[hour].FailureRatio(); ok {
					text = v.Percent(ratio)
				}
			}
			rows[hour].Cells = append(rows[hour].Cells, text)
		}
	}
	return rows
}
