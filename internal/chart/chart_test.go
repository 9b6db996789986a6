package chart_test

import (
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/internal/chart"
)

// drawing is what a test needs to know of a drawing.
type drawing struct {
	class, label, title, desc string
	paths                     map[string]string // by class
}

// parse fails unless a drawing is well-formed, has a title, and has neither style nor script.
func parse(t *testing.T, markup template.HTML) drawing {
	t.Helper()
	d := drawing{paths: map[string]string{}}
	decoder := xml.NewDecoder(strings.NewReader(string(markup)))
	var open string
	ids := map[string]bool{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, markup)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = e.Name.Local
			attributes := map[string]string{}
			for _, a := range e.Attr {
				attributes[a.Name.Local] = a.Value
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
				}
			}
			switch open {
			case "svg":
				d.class, d.label = attributes["class"], attributes["aria-labelledby"]
				if attributes["role"] != "img" {
					t.Error("the drawing has no role")
				}
			case "path":
				if _, twice := d.paths[attributes["class"]]; twice || attributes["d"] == "" {
					t.Errorf("path %q is empty or there twice", attributes["class"])
				}
				d.paths[attributes["class"]] = attributes["d"]
			case "title", "desc":
				ids[attributes["id"]] = true
			default:
				t.Errorf("element %q", open)
			}
		case xml.CharData:
			if open == "title" {
				d.title += string(e)
			} else {
				d.desc += string(e)
			}
		case xml.EndElement:
			if e.Name.Local == "title" {
				open = ""
			}
		}
	}
	for id := range strings.FieldsSeq(d.label) {
		if !ids[id] {
			t.Errorf("no element %q is its label", id)
		}
	}
	if d.title == "" {
		t.Error("the drawing has no title")
	}
	return d
}

func caption() chart.Caption {
	return chart.Caption{ID: "x", Title: "<b>&\"'", Description: "said"}
}

func TestStrip(t *testing.T) {
	cells := []chart.Cell{
		{Level: chart.Unknown, Volume: 0}, {Level: chart.Quiet}, {Level: chart.Well, Volume: 50}, {Level: chart.Some, Volume: 100},
		{Level: chart.High, Volume: 1}, {Level: chart.Severe, Volume: 25},
	}
	d := parse(t, chart.Strip(cells, caption()))
	if d.class != "strip" || d.title != "<b>&\"'" || d.desc != "said" {
		t.Errorf("%+v", d)
	}
	for class, want := range map[string]string{
		"lv-unknown": "M0 0h4v20h-4z",   // over the whole height
		"lv-quiet":   "M5 19h4v1h-4z",   // no callback
		"lv-well":    "M10 10h4v10h-4z", // half of the largest
		"lv-some":    "M15 0h4v20h-4z",  // the largest
		"lv-high":    "M20 18h4v2h-4z",  // little, but to be seen
		"lv-severe":  "M25 15h4v5h-4z",
	} {
		if d.paths[class] != want {
			t.Errorf("%s is %q, want %q", class, d.paths[class], want)
		}
	}
	parse(t, chart.Strip(nil, caption()))
}

func TestHeat(t *testing.T) {
	columns := [][]chart.Cell{
		{{Level: chart.Well, Volume: 1}, {Level: chart.Severe, Volume: 5}},
		{{Level: chart.Well, Volume: 1600}, {Level: chart.Unknown}},
		{{Level: chart.Some, Volume: 400}, {Level: chart.Quiet}},
	}
	d := parse(t, chart.Heat(columns, chart.Caption{ID: "h", Title: "hours"}))
	for class, want := range map[string]string{
		"vol-1": "M0 0h9v9h-9z", "vol-4": "M10 0h9v9h-9z", "vol-2": "M20 0h9v9h-9z", "lv-severe": "M0 10h9v9h-9z", "lv-unknown": "M10 10h9v9h-9z", "lv-quiet": "M20 10h9v9h-9z",
	} {
		if d.paths[class] != want {
			t.Errorf("%s is %q, want %q", class, d.paths[class], want)
		}
	}
	if d.desc != "" || strings.Contains(d.label, "h-d") {
		t.Errorf("a description without text: %+v", d)
	}
	parse(t, chart.Heat(nil, caption()))
}

func TestLine(t *testing.T) {
	points := []chart.Point{{Known: true, Value: 0}, {Known: true, Value: 100, Level: chart.Severe}, {}, {Known: true, Value: 50}, {}, {Known: true, Value: 100, Level: chart.High}, {Known: true, Value: 100}}
	d := parse(t, chart.Line(points, caption()))
	for class, want := range map[string]string{
		"stroke":         "M0 18L5 2M15 10h0M25 2L30 2", // a gap where nothing is known, a point where a day is alone
		"dots lv-severe": "M5 2h0",
		"dots lv-high":   "M25 2h0",
		"area":           "M0 20L0 18L5 2L5 20zM15 20L15 10L15 20zM25 20L25 2L30 2L30 20z",
	} {
		if d.paths[class] != want {
			t.Errorf("%s is %q, want %q", class, d.paths[class], want)
		}
	}
	for _, none := range [][]chart.Point{nil, make([]chart.Point, 30)} {
		if d := parse(t, chart.Line(none, caption())); len(d.paths) != 0 {
			t.Errorf("days of which nothing is known are drawn: %+v", d.paths)
		}
	}
}

func TestColumns(t *testing.T) {
	columns := []chart.Column{{Known: true, Total: 300, Failures: 150, Level: chart.Severe}, {}, {Known: true}, {Known: true, Total: 400, Failures: 1, Level: chart.Some}}
	markup, top := chart.Columns(columns, caption())
	if d := parse(t, markup); top != 400 ||
		d.paths["lv-severe"] != "M2 100h16v60h-16z" || // the failures stand at the foot
		d.paths["lv-well"] != "M2 40h16v60h-16zM62 0h16v158h-16z" ||
		d.paths["lv-unknown"] != "M22 0h16v160h-16z" ||
		d.paths["lv-some"] != "M62 158h16v2h-16z" { // one of four hundred can be seen
		t.Errorf("top %d, %q", top, d.paths)
	}
	for most, want := range map[int64]int64{0: 4, 3: 4, 5: 6, 9: 10, 11: 20, 10: 10, 21: 40, 999: 1000, 1000: 1000, 1001: 2000, 61_000: 80_000, 9_000_000_000_000_000: 10_000_000_000_000_000} {
		if _, top := chart.Columns([]chart.Column{{Known: true, Total: most}}, caption()); top != want {
			t.Errorf("the top of a chart of %d is %d, want %d", most, top, want)
		}
	}
}

func TestSpans(t *testing.T) {
	spans := []chart.Span{{Known: true, Average: 0.1, Longest: 10, Level: chart.Severe}, {}, {Known: true, Level: chart.Quiet}, {Known: true, Average: 0.001, Longest: 1000, Level: chart.Well}}
	d := parse(t, chart.Spans(spans, 1, caption()))
	for class, want := range map[string]string{
		"limit":          "M0 53.33L80 53.33", // a second is two thirds of the height
		"stem lv-severe": "M10 106.67L10 0",
		"end lv-severe":  "M4 0L16 0",
		"stem lv-well":   "M70 160L70 0", // what is beyond the scale ends at it
		"average":        "M10 106.67h0M70 160h0",
		"lv-unknown":     "M22 0h16v160h-16z",
	} {
		if d.paths[class] != want {
			t.Errorf("%s is %q, want %q", class, d.paths[class], want)
		}
	}
	if ticks := chart.TimeTicks(); ticks[0] != 10 || ticks[len(ticks)-1] != 0.01 {
		t.Errorf("ticks %v", ticks)
	}
}

func TestLevels(t *testing.T) {
	seen := map[string]bool{}
	for l := range chart.Levels {
		if class := l.Class(); seen[class] || !regexp.MustCompile(`^lv-[a-z]+$`).MatchString(class) {
			t.Errorf("class %q of level %d", class, l)
		}
		seen[l.Class()] = true
	}
	if chart.Levels.Class() != chart.Unknown.Class() {
		t.Error("an invalid level is not unknown")
	}
}
