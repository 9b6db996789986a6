package chart

import (
	"html/template"
	"math"
)

// Cell is a period in a strip or a heat map.
type Cell struct {
	Level Level
	// Volume is its number of callbacks.
	Volume int64
}

const (
	stripHeight = 20
	// least is how high a bar is at least, so that it can be seen and told from none.
	least = 2
)

// Strip draws a row of periods: their height is the volume, against the largest of them, and their colour
// the level. A period of which nothing is known reaches over the whole height, in a colour of its own.
func Strip(cells []Cell, c Caption) template.HTML {
	const width, gap = 5, 1
	var s svg
	s.begin("strip", float64(len(cells)*width-gap), stripHeight, c)
	most := mostOf(cells)
	var paths [Levels]string
	for i, cell := range cells {
		height := barHeight(cell, most, stripHeight)
		if cell.Level < Levels {
			paths[cell.Level] += rect(float64(i*width), stripHeight-height, width-gap, height)
		}
	}
	for level, d := range paths {
		s.path(Level(level).Class(), d)
	}
	return s.end()
}

func mostOf(cells []Cell) int64 {
	var most int64 = 1
	for _, cell := range cells {
		most = max(most, cell.Volume)
	}
	return most
}

func barHeight(cell Cell, most int64, height float64) float64 {
	switch cell.Level {
	case Unknown:
		return height
	case Quiet:
		return 1
	default:
		return max(least, height*float64(cell.Volume)/float64(most))
	}
}

// volumeSteps is how many shades a heat map has for the volume of periods without failures.
const volumeSteps = 4

// Heat draws a map of columns, each from top to bottom. Periods whose failures deserve attention have
// the colour of their level, others a shade by volume, against the largest of all. The shade
// grows with the square root, so that a quiet hour differs from none.
func Heat(columns [][]Cell, c Caption) template.HTML {
	const size, gap = 10, 1
	rows, most := 0, int64(1)
	for _, column := range columns {
		rows, most = max(rows, len(column)), max(most, mostOf(column))
	}
	var s svg
	s.begin("heat", float64(max(1, len(columns))*size), float64(max(1, rows)*size), c)
	var paths [Levels]string
	var shades [volumeSteps]string
	for x, column := range columns {
		for y, cell := range column {
			d := rect(float64(x*size), float64(y*size), size-gap, size-gap)
			switch {
			case cell.Level == Well || cell.Level == Some:
				step := int(math.Ceil(volumeSteps*math.Sqrt(float64(cell.Volume)/float64(most)))) - 1
				shades[min(max(step, 0), volumeSteps-1)] += d
			case cell.Level < Levels:
				paths[cell.Level] += d
			}
		}
	}
	for step, d := range shades {
		s.path("vol-"+number(float64(step+1)), d)
	}
	for level, d := range paths {
		s.path(Level(level).Class(), d)
	}
	return s.end()
}
