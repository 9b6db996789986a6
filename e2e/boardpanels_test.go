package e2e_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"weixin_exporter/weixin/datacube"
)

// frame draws the scale, the threshold and the legend of a graph, and returns the area that is left.
func (d drawing) frame(top float64, names []string) area {
	in := area{d.x + 50, d.y, d.w - 50, d.h - 2*textHeight}
	unit := d.FieldConfig.Defaults.Unit
	d.text(in.x-6, in.y+10, "end", d.format(unit, top))
	d.text(in.x-6, in.y+in.h, "end", d.format(unit, 0))
	d.rect(in.x, in.y+in.h, in.w, 1, "#99a")
	if limit, ok := d.limit(); ok {
		d.dashed(in.x, in.y+in.h*(1-limit/top), in.w)
	}
	x := in.x
	for i, name := range names {
		if name == "" || x > in.x+in.w-60 {
			continue
		}
		d.rect(x, d.y+d.h-8, 9, 9, d.color(name, i))
		d.text(x+13, d.y+d.h, "label", name)
		x += 30 + 6.5*float64(len(name))
	}
	return in
}

// drawHours draws bars by the label hour.
func (d drawing) drawHours() {
	stacked := d.Options.Stacking == "normal"
	byHour := map[string][]float64{}
	var names []string
	for i, q := range d.Targets {
		names = append(names, d.renamed(q.RefID))
		for _, l := range d.found[q.RefID] {
			hour := l.labels["hour"]
			if byHour[hour] == nil {
				byHour[hour] = make([]float64, len(d.Targets))
			}
			byHour[hour][i], _ = l.last()
		}
	}
	top := d.top(d.series())
	for _, values := range byHour {
		if stacked {
			var sum float64
			for _, value := range values {
				sum += value
			}
			top = max(top, sum)
		}
	}
	in := d.frame(top, names)
	slot := in.w / datacube.HoursPerDay
	for h := range datacube.HoursPerDay {
		hour := fmt.Sprintf("%02d", h)
		x, base := in.x+float64(h)*slot, in.y+in.h
		d.text(x+2, in.y+in.h+13, "label", hour)
		for i, value := range byHour[hour] {
			height := in.h * value / top
			if stacked {
				base -= height
				d.rect(x+1, base, slot-3, height, d.color(names[i], i))
				continue
			}
			width := (slot - 3) / float64(len(names))
			d.rect(x+1+float64(i)*width, base-height, width, height, d.color(names[i], i))
		}
	}
}

// drawSeries draws lines or bars over time.
func (d drawing) drawSeries() {
	all := d.series()
	bars := d.FieldConfig.Defaults.Custom.DrawStyle == "bars"
	names := make([]string, len(all))
	var low float64
	for i, s := range all {
		names[i] = s.name
		for _, value := range s.points {
			low = min(low, value)
		}
	}
	top := d.top(all)
	if low < 0 {
		d.text(d.x+d.w, d.y+10, "end", "lowest "+d.format(d.FieldConfig.Defaults.Unit, low))
	}
	at := times(all)
	in := d.frame(top, names)
	if len(at) == 0 {
		return
	}
	from, to := at[0], at[len(at)-1]
	d.text(in.x, in.y+in.h+13, "label", stamp(from, d.span))
	d.text(in.x+in.w, in.y+in.h+13, "end", stamp(to, d.span))
	wide := in.w / float64(len(at))
	position := func(t int64) float64 {
		if to == from {
			return in.x
		}
		return in.x + (in.w-wide)*float64(t-from)/float64(to-from)
	}
	floor := map[int64]float64{}
	for i, s := range all {
		var path strings.Builder
		step := "M"
		for _, t := range slices.Sorted(maps.Keys(s.points)) {
			value := s.points[t]
			if math.IsNaN(value) {
				step = "M"
				continue
			}
			height := in.h * (value - min(low, 0)) / (top - min(low, 0))
			if bars {
				d.rect(position(t), in.y+in.h-floor[t]-height, wide-1, height, d.color(s.name, i))
				floor[t] += height
				continue
			}
			path.WriteString(step + short(position(t)) + " " + short(in.y+in.h-height))
			step = "L"
		}
		if path.Len() > 0 {
			fmt.Fprintf(d, `<path d="%s" stroke="%s"/>`+"\n", path.String(), d.color(s.name, i))
		}
	}
}

// stamp formats a time: the day, or the time of day in China if the range is shorter than a day.
func stamp(at int64, s span) string {
	if s.to.Sub(s.from) < 24*time.Hour {
		return time.Unix(at, 0).In(datacube.China).Format("15:04:05")
	}
	return day(at)
}

// drawHeat draws a cell for each hour at each time.
func (d drawing) drawHeat() {
	all := d.series()
	top, at := d.top(all), times(all)
	in := area{d.x + 24, d.y, d.w - 24, d.h - textHeight}
	if len(at) == 0 {
		return
	}
	wide, high := in.w/float64(len(at)), in.h/float64(len(all))
	cells := map[string]string{} // by color
	for row, s := range all {
		if row%3 == 0 {
			d.text(in.x-4, in.y+float64(row+1)*high, "end", s.name)
		}
		for t, value := range s.points {
			if math.IsNaN(value) {
				continue
			}
			column, _ := slices.BinarySearch(at, t)
			shade := int(235 - 200*math.Sqrt(value/top))
			cells[fmt.Sprintf("#%02x%02xf0", shade, shade)] += "M" + short(in.x+float64(column)*wide) + " " + short(in.y+float64(row)*high) +
				"h" + short(wide-0.5) + "v" + short(high-0.5) + "h" + short(0.5-wide)
		}
	}
	for _, color := range slices.Sorted(maps.Keys(cells)) {
		fmt.Fprintf(d, `<path style="fill:%s" d="%s"/>`+"\n", color, cells[color])
	}
	d.text(in.x, in.y+in.h+13, "label", "…"+stamp(at[0], d.span))
	d.text(in.x+in.w, in.y+in.h+13, "end", "…"+stamp(at[len(at)-1], d.span)+", the darkest: "+d.format(d.FieldConfig.Defaults.Unit, top))
}

// drawTable draws the rows that a table's transformations produce: by account, by account and hour, or by week and
// month.
func (d drawing) drawTable() {
	switch by := d.Transformations[0].Options.ByField; by {
	case "account":
		d.drawAccounts()
	case "Time":
		d.drawPeriods()
	default:
		d.drawMatrix()
	}
}

func (d drawing) row(i int, cells []string) {
	class := "label"
	if i == 0 {
		class = "head"
	}
	for column, cell := range cells {
		d.text(d.x+float64(column)*d.w/float64(len(cells)), d.y+float64(i+1)*20, class, cell)
	}
}

func (d drawing) unitOf(column string) string {
	for _, o := range d.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if unit, ok := property.Value.(string); ok && o.Matcher.Options == column && property.ID == "unit" {
				return unit
			}
		}
	}
	return d.FieldConfig.Defaults.Unit
}

// mapped returns the text that a column's mappings show for a value.
func (d drawing) mapped(column, text string) string {
	for _, o := range d.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if o.Matcher.Options != column || property.ID != "mappings" {
				continue
			}
			for _, mapping := range property.Value.([]any) {
				if shown, ok := mapping.(map[string]any)["options"].(map[string]any)[text].(map[string]any); ok {
					return fmt.Sprint(shown["text"])
				}
			}
		}
	}
	return text
}

// drawAccounts draws a line for each account, with the columns in the order of the panel.
func (d drawing) drawAccounts() {
	order := d.Transformations[len(d.Transformations)-1].Options
	columns := slices.SortedFunc(maps.Keys(order.RenameByName), func(a, b string) int {
		return cmp.Compare(order.IndexByName[a], order.IndexByName[b])
	})
	rows := map[string]map[string]string{}
	for ref, lines := range d.found {
		column := "Value #" + ref
		for _, l := range lines {
			account := l.labels["account"]
			if rows[account] == nil {
				rows[account] = map[string]string{}
			}
			value, _ := l.last()
			name := order.RenameByName[column]
			rows[account][column] = d.mapped(name, d.format(d.unitOf(name), value))
			maps.Copy(rows[account], l.labels)
		}
	}
	var head []string
	for _, column := range columns {
		head = append(head, order.RenameByName[column])
	}
	d.row(0, head)
	for i, account := range slices.Sorted(maps.Keys(rows)) {
		cells := make([]string, len(columns))
		for c, column := range columns {
			cells[c] = rows[account][column]
		}
		d.row(i+1, cells)
	}
}

// drawMatrix draws a line for each account and a cell for each hour.
func (d drawing) drawMatrix() {
	rows := map[string]bool{}
	for _, l := range d.found["A"] {
		rows[l.labels["account"]] = true
	}
	accounts := slices.Sorted(maps.Keys(rows))
	wide := (d.w - 90) / datacube.HoursPerDay
	for _, l := range d.found["A"] {
		value, _ := l.last()
		var hour int
		_, _ = fmt.Sscan(strings.TrimPrefix(l.labels["hour"], "0"), &hour)
		row, _ := slices.BinarySearch(accounts, l.labels["account"])
		shade := int(235 - 200*math.Sqrt(min(value/d.FieldConfig.Defaults.Max, 1)))
		d.rect(d.x+90+float64(hour)*wide, d.y+20+float64(row)*24, wide-1, 22, fmt.Sprintf("#%02x%02xf0", shade, shade))
		d.text(d.x+92+float64(hour)*wide, d.y+14, "label", l.labels["hour"])
	}
	for row, account := range accounts {
		d.text(d.x, d.y+36+float64(row)*24, "label", account)
	}
}

// drawPeriods sums the days of a table by week or month, as its transformations do in Grafana.
func (d drawing) drawPeriods() {
	order := d.Transformations[len(d.Transformations)-1].Options
	title := order.RenameByName["Time"]
	sums := map[string]map[string]float64{}
	for ref, lines := range d.found {
		for _, l := range lines {
			for at, value := range l.points {
				period := day(at)[:len("2006-01")]
				if title == "Week" {
					year, week := time.Unix(at, 0).In(datacube.China).ISOWeek()
					period = fmt.Sprintf("%d-W%02d", year, week)
				}
				if sums[period] == nil {
					sums[period] = map[string]float64{}
				}
				if ref == "D" {
					sums[period][ref] = max(sums[period][ref], value)
				} else {
					sums[period][ref] += value
				}
			}
		}
	}
	d.row(0, []string{title, "Days", "Callbacks", "Failures", "Failure ratio", "Average time", "Longest time"})
	for i, period := range slices.Backward(slices.Sorted(maps.Keys(sums))) {
		s := sums[period]
		d.row(len(sums)-i, []string{
			period, d.format("none", s["E"]), d.format("short", s["A"]), d.format("short", s["B"]),
			d.format("percentunit", s["B"]/s["A"]), d.format("s", s["C"]/s["A"]), d.format("s", s["D"]),
		})
	}
}

// format formats a value in a unit of Grafana.
func (d drawing) format(unit string, v float64) string {
	switch unit {
	case "percentunit":
		return fmt.Sprintf("%.4g %%", math.Round(v*1e4)/100)
	case "time:YYYY-MM-DD":
		return day(int64(v / 1000))
	case "dateTimeFromNow":
		return fmt.Sprintf("%.0f s ago", max(d.to.Sub(time.UnixMilli(int64(v))).Seconds(), 0))
	case "bytes":
		return fmt.Sprintf("%.3g MiB", v/(1<<20))
	case "s":
		switch {
		case v >= 48*3600:
			return fmt.Sprintf("%.1f days", v/86400)
		case v >= 2*3600:
			return fmt.Sprintf("%.1f h", v/3600)
		case v > 0 && v < 1:
			return fmt.Sprintf("%.0f ms", v*1000)
		}
		return fmt.Sprintf("%.3g s", v)
	case "none":
		return fmt.Sprintf("%.0f", v)
	}
	switch {
	case math.Abs(v) >= 1e6:
		return fmt.Sprintf("%.3g M", v/1e6)
	case math.Abs(v) >= 1e4:
		return fmt.Sprintf("%.3g k", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
