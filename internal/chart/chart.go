// Package chart draws the figures of callbacks as SVG that stands within a page. It is pure: values in,
// markup out. Colours come from the page's style sheet by classes, since the page allows no inline
// style; text beside the drawing is the page's own, since a drawing is stretched to the room there is.
package chart

import (
	"html/template"
	"strconv"
	"strings"
)

// Level says how much attention the failures of an hour or a day deserve.
type Level uint8

const (
	// Unknown is a period of which nothing is known.
	Unknown Level = iota
	// Quiet is one without a callback.
	Quiet
	// Well is one without a failure.
	Well
	// Some is one with failures that deserve no attention.
	Some
	// High is one with many failures.
	High
	// Severe is one with very many failures.
	Severe
	// Levels is their number.
	Levels
)

// Class returns the class by which the style sheet colours the level.
func (l Level) Class() string {
	if l >= Levels {
		l = Unknown
	}
	return "lv-" + [Levels]string{"unknown", "quiet", "well", "some", "high", "severe"}[l]
}

// Caption says what a chart shows, for those who do not see it.
type Caption struct {
	// ID is unique within the page.
	ID string
	// Title names the chart, Description says what it shows; the latter may be "".
	Title, Description string
}

// svg writes a drawing of a size in its own units.
type svg struct{ strings.Builder }

// begin opens a drawing. It is stretched to the room that the style sheet gives to the class.
func (s *svg) begin(class string, width, height float64, c Caption) {
	labels := c.ID + "-t"
	if c.Description != "" {
		labels += " " + c.ID + "-d"
	}
	s.put(`<svg class="`, class, `" viewBox="0 0 `, number(width), " ", number(height),
		`" preserveAspectRatio="none" role="img" aria-labelledby="`, escape(labels), `"><title id="`, escape(c.ID), `-t">`, escape(c.Title), `</title>`)
	if c.Description != "" {
		s.put(`<desc id="`, escape(c.ID), `-d">`, escape(c.Description), `</desc>`)
	}
}

func (s *svg) end() template.HTML {
	s.put("</svg>")
	return template.HTML(s.String()) //nolint:gosec // all text in it is escaped
}

func (s *svg) put(parts ...string) {
	for _, part := range parts {
		s.WriteString(part)
	}
}

// path writes a path of a class; nothing where the path is empty.
func (s *svg) path(class, d string) {
	if d != "" {
		s.put(`<path class="`, class, `" d="`, d, `"/>`)
	}
}

// rect returns the path of a rectangle.
func rect(x, y, width, height float64) string {
	return "M" + number(x) + " " + number(y) + "h" + number(width) + "v" + number(height) + "h" + number(-width) + "z"
}

// line returns the path of a straight line.
func line(x1, y1, x2, y2 float64) string {
	return "M" + number(x1) + " " + number(y1) + "L" + number(x2) + " " + number(y2)
}

// dot returns the path of a point, which the style sheet draws with a round end.
func dot(x, y float64) string { return "M" + number(x) + " " + number(y) + "h0" }

// number writes a coordinate with as many digits as can be seen.
func number(v float64) string {
	text := strconv.FormatFloat(v, 'f', 2, 64)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}

func escape(text string) string { return template.HTMLEscapeString(text) }
