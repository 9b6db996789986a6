package web

import (
	"html/template"

	"weixin_exporter/internal/chart"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin/datacube"
)

// dash stands for a figure that is not known, or that there is none of.
const dash = "–"

// figureTexts are the figures of an hour or a day as a page shows them; ManyFailed and TimedOut say what
// deserves attention.
type figureTexts struct {
	Callbacks, Failures, Ratio, Average, Longest string
	ManyFailed, TimedOut                         bool
}

func unknownFigures() figureTexts {
	return figureTexts{Callbacks: dash, Failures: dash, Ratio: dash, Average: dash, Longest: dash}
}

// ofDay returns the texts of a day's figures; nil is a day that is not known.
func (p *page) ofDay(f *datacube.Figures) figureTexts {
	if f == nil {
		return unknownFigures()
	}
	texts := p.figures(*f)
	texts.ManyFailed, texts.TimedOut = f.ManyFailed() || f.TimedOut(), f.TimedOut()
	return texts
}

// ofHour returns the texts of an hour's figures.
func (p *page) ofHour(f datacube.Figures) figureTexts {
	texts := p.figures(f)
	texts.ManyFailed = f.ManyFailedInHour()
	texts.TimedOut = texts.ManyFailed && f.MaxTimeCostSeconds() >= datacube.TimeoutSeconds
	return texts
}

func (p *page) figures(f datacube.Figures) figureTexts {
	texts := figureTexts{Callbacks: p.Number(f.Callbacks), Failures: p.Number(f.Failures), Ratio: dash, Average: dash, Longest: dash}
	if ratio, ok := f.FailureRatio(); ok {
		texts.Ratio = p.Percent(ratio)
	}
	if average, ok := f.AverageTimeCostSeconds(); ok {
		texts.Average, texts.Longest = p.Seconds(average), p.Seconds(f.MaxTimeCostSeconds())
	}
	return texts
}

// levelOfDay and levelOfHour say how a period is coloured, by the rule of the alerts: a ratio and a number.
func levelOfDay(f datacube.Figures) chart.Level {
	return failureLevel(f, f.ManyFailed() || f.TimedOut(), f.ManyFailedInHour())
}

func levelOfHour(f datacube.Figures) chart.Level {
	return failureLevel(f, f.ManyFailed(), f.ManyFailedInHour())
}

func failureLevel(f datacube.Figures, high, severe bool) chart.Level {
	switch {
	case f.Callbacks == 0:
		return chart.Quiet
	case severe:
		return chart.Severe
	case high:
		return chart.High
	case f.Failures > 0:
		return chart.Some
	default:
		return chart.Well
	}
}

func cellsOf(h *datacube.Hours) []chart.Cell {
	cells := make([]chart.Cell, datacube.HoursPerDay)
	if h == nil {
		return cells // nothing is known of them
	}
	for hour, f := range h {
		cells[hour] = chart.Cell{Level: levelOfHour(f), Volume: f.Callbacks}
	}
	return cells
}

// strip draws the hours of a day.
func (p *page) strip(id string, date datacube.Date, h *datacube.Hours) template.HTML {
	total := h.Total()
	ratio, _ := total.FailureRatio()
	said := p.T("chart.strip.desc", total.Callbacks, i18n.Ratio(ratio))
	if failed := h.Failed(); len(failed) > 0 {
		said = p.T("chart.strip.failed", said, hourList(failed))
	}
	return chart.Strip(cellsOf(h), chart.Caption{ID: id, Title: p.T("chart.strip", date), Description: said})
}

// line draws the days up to a date.
func (p *page) line(id string, last datacube.Date, days dailySeries) template.HTML {
	points := make([]chart.Point, window)
	known, most := int64(0), int64(0)
	for i := range points {
		if f, ok := days[last-window+1+datacube.Date(i)]; ok {
			points[i] = chart.Point{Known: true, Value: float64(f.Callbacks), Level: levelOfDay(f)}
			known, most = known+1, max(most, f.Callbacks)
		}
	}
	if known == 0 {
		return ""
	}
	return chart.Line(points, chart.Caption{ID: id, Title: p.T("chart.line", int64(window), last), Description: p.T("chart.line.desc", known, most)})
}
