package chart

import (
	"html/template"
	"math"
	"strings"
)

// Point is a day in a line.
type Point struct {
	Known bool
	Value float64
	Level Level
}

// Line draws days as a line that begins at zero, with a gap where nothing is known, and a dot on each day
// whose failures deserve attention.
func Line(points []Point, c Caption) template.HTML {
	const step, height, margin = 5, 20, 2
	var s svg
	width := float64(max(1, len(points)-1) * step)
	s.begin("line", width, height, c)
	most := 1.0
	for _, p := range points {
		if p.Known {
			most = max(most, p.Value)
		}
	}
	var path, area strings.Builder
	var dots [Levels]string
	for i := 0; i < len(points); {
		if !points[i].Known {
			i++
			continue
		}
		first := i
		for ; i < len(points) && points[i].Known; i++ {
			x, y := float64(i*step), height-margin-(height-2*margin)*points[i].Value/most
			command := "L"
			if i == first {
				command = "M"
				area.WriteString("M" + number(x) + " " + number(height))
			}
			at := number(x) + " " + number(y)
			path.WriteString(command + at)
			area.WriteString("L" + at)
			if level := points[i].Level; level == High || level == Severe {
				dots[level] += dot(x, y)
			}
		}
		if i == first+1 {
			path.WriteString("h0") // a day by itself is a point
		}
		area.WriteString("L" + number(float64((i-1)*step)) + " " + number(height) + "z")
	}
	s.path("area", area.String())
	s.path("stroke", path.String())
	for level, d := range dots {
		s.path("dots "+Level(level).Class(), d)
	}
	return s.end()
}

// Column is an hour with a part that failed.
type Column struct {
	Known           bool
	Total, Failures int64
	Level           Level
}

// plot is the height of the larger charts in their own units; an hour is hourWidth wide.
const (
	plotHeight = 160
	hourWidth  = 20
	hourGap    = 4
)

// Columns draws hours as bars with the failures stacked at their foot, and returns the value at the top of
// the chart, a round number.
func Columns(columns []Column, c Caption) (template.HTML, int64) {
	var most int64
	for _, column := range columns {
		most = max(most, column.Total)
	}
	top := roundUp(most)
	var s svg
	s.begin("plot", float64(len(columns)*hourWidth), plotHeight, c)
	s.path("grid", grid(len(columns)))
	var unknown, rest strings.Builder
	var failed [Levels]string
	for i, column := range columns {
		x := float64(i*hourWidth) + hourGap/2
		if !column.Known {
			unknown.WriteString(rect(x, 0, hourWidth-hourGap, plotHeight))
			continue
		}
		height := func(n int64) float64 {
			if n == 0 {
				return 0
			}
			return max(least, plotHeight*float64(n)/float64(top))
		}
		bad := height(column.Failures)
		if all := max(height(column.Total), bad); all > bad {
			rest.WriteString(rect(x, plotHeight-all, hourWidth-hourGap, all-bad))
		}
		if bad > 0 && column.Level < Levels {
			failed[column.Level] += rect(x, plotHeight-bad, hourWidth-hourGap, bad)
		}
	}
	s.path(Unknown.Class(), unknown.String())
	s.path(Well.Class(), rest.String())
	for level, d := range failed {
		s.path(Level(level).Class(), d)
	}
	return s.end(), top
}

// grid returns lines at the top and in the middle, and at the foot.
func grid(columns int) string {
	width := float64(columns * hourWidth)
	return line(0, 0.5, width, 0.5) + line(0, plotHeight/2, width, plotHeight/2) + line(0, plotHeight-0.5, width, plotHeight-0.5)
}

// roundUp returns the next number that is 1, 2, 4, 6 or 8 times a power of ten, and at least 4: its half is a
// whole number, too.
func roundUp(n int64) int64 {
	const smallest = 4
	if n <= smallest {
		return smallest
	}
	for power := int64(1); ; power *= 10 {
		for _, step := range []int64{1, 2, 4, 6, 8} {
			if v := step * power; v >= n && v%2 == 0 {
				return v
			}
		}
	}
}

// Span is an hour with its average and its longest time, in seconds.
type Span struct {
	Known            bool
	Average, Longest float64
	Level            Level
}

// The scale of times is logarithmic, from a hundredth of a second to ten seconds: what is usual is far below
// the limit, and both must be seen.
const (
	shortest = 0.01
	decades  = 3
)

// TimeTicks are the labels of the scale from top to bottom, in seconds, at equal distances.
func TimeTicks() []float64 { return []float64{10, 1, 0.1, 0.01} }

// Spans draws hours as lines from the average to the longest time, and the limit, in seconds, as a line
// across. An hour without a callback is empty.
func Spans(spans []Span, limit float64, c Caption) template.HTML {
	var s svg
	width := float64(len(spans) * hourWidth)
	s.begin("plot spans", width, plotHeight, c)
	var lines strings.Builder
	for i := range decades + 1 {
		y := min(max(plotHeight*float64(i)/decades, 0.5), plotHeight-0.5)
		lines.WriteString(line(0, y, width, y))
	}
	s.path("grid", lines.String())
	var unknown, averages string
	var stems, ends [Levels]string
	for i, span := range spans {
		x := float64(i*hourWidth) + hourWidth/2
		switch {
		case !span.Known:
			unknown += rect(x-hourWidth/2+hourGap/2, 0, hourWidth-hourGap, plotHeight)
		case span.Longest > 0 && span.Level < Levels:
			low, high := timeHeight(span.Average), timeHeight(span.Longest)
			stems[span.Level] += line(x, low, x, high)
			ends[span.Level] += line(x-6, high, x+6, high)
			averages += dot(x, low)
		}
	}
	s.path(Unknown.Class(), unknown)
	at := timeHeight(limit)
	s.path("limit", line(0, at, width, at))
	for level := range Levels {
		s.path("stem "+level.Class(), stems[level])
		s.path("end "+level.Class(), ends[level])
	}
	s.path("average", averages)
	return s.end()
}

func timeHeight(seconds float64) float64 {
	share := math.Log10(max(seconds, shortest)/shortest) / decades
	return plotHeight * (1 - min(share, 1))
}
