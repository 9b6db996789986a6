package e2e_test

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// The pictures of the boards in docs are drawn from the results of the boards' own queries in the demonstration. They
// are simple drawings of the content, and say that they are not screenshots of Grafana. E2E_UPDATE=1 updates them;
// without it they are written to the artifacts.

const (
	cellWidth, cellHeight = 50, 34 // of Grafana's grid, in pixels
	headHeight            = 34
	textHeight            = 15
)

// draw draws all boards, and fails if a picture is not an SVG or lacks a panel.
func draw(t *testing.T, p prometheus, boards map[string]board, subtest string) {
	t.Helper()
	for name, b := range boards {
		accounts, caption := everything, "of all accounts"
		if name != "weixin-overview" {
			accounts, caption = "support-bot", "of the account support-bot; what was scraped a day before is invented"
		}
		picture := drawBoard(t, p, b, accounts, caption)
		checkPicture(t, b, picture)
		folder := artifacts("boards", subtest)
		if os.Getenv("E2E_UPDATE") != "" && subtest == "classic" {
			folder = "../docs/boards"
		}
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".svg"), []byte(picture), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func checkPicture(t *testing.T, b board, picture string) {
	t.Helper()
	var texts strings.Builder
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture of %s: %v", b.UID, err)
		}
		if text, ok := token.(xml.CharData); ok {
			texts.Write(text)
			texts.WriteByte('\n')
		}
	}
	for _, in := range b.Panels {
		if !strings.Contains(texts.String(), strings.ReplaceAll(in.Title, "$account", "support-bot")+"\n") {
			t.Errorf("the picture of %s lacks %s", b.UID, in.Title)
		}
	}
	for _, wrong := range []string{"NaN", "Inf", "<nil>"} {
		if strings.Contains(picture, wrong) {
			t.Errorf("the picture of %s has %s in it", b.UID, wrong)
		}
	}
}

// canvas collects the elements of a picture.
type canvas struct{ strings.Builder }

// short formats a number with at most one decimal.
func short(x float64) string { return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64) }

func (c *canvas) rect(x, y, w, h float64, fill string) {
	if w > 0 && h > 0 {
		fmt.Fprintf(c, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", short(x), short(y), short(w), short(h), fill)
	}
}

func (c *canvas) text(x, y float64, class, text string) {
	fmt.Fprintf(c, `<text x="%s" y="%s" class="%s">%s</text>`+"\n", short(x), short(y), class, html.EscapeString(text))
}

// dashed draws a horizontal line, for a threshold.
func (c *canvas) dashed(x, y, w float64) {
	fmt.Fprintf(c, `<path d="M%s %sh%s" stroke="#d33" stroke-dasharray="5 4"/>`+"\n", short(x), short(y), short(w))
}

// area is the position and size of a panel's content.
type area struct{ x, y, w, h float64 }

// drawing is a panel with the results of its queries.
type drawing struct {
	*canvas
	panel
	area
	span
	found map[string][]line // by the query's name
}

func drawBoard(t *testing.T, p prometheus, b board, accounts, caption string) string {
	t.Helper()
	c, height := &canvas{}, 0.0
	now := clock()
	for _, in := range b.Panels {
		at := area{in.GridPos.X * cellWidth, headHeight + in.GridPos.Y*cellHeight, in.GridPos.W * cellWidth, in.GridPos.H * cellHeight}
		height = max(height, at.y+at.h)
		title := strings.ReplaceAll(in.Title, "$account", "support-bot")
		if in.Type == "row" {
			c.text(at.x+8, at.y+22, "row", title)
			continue
		}
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="panel"/>`+"\n", at.x+2, at.y+2, at.w-4, at.h-4)
		c.text(at.x+10, at.y+18, "title", title)
		d := drawing{c, in, area{at.x + 12, at.y + 30, at.w - 24, at.h - 40}, b.spanOf(now), map[string][]line{}}
		for _, q := range in.Targets {
			lines, err := p.show(t, b, in, q, accounts)
			if err != nil {
				t.Fatal(err)
			}
			d.found[q.RefID] = lines
		}
		d.draw()
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" font-family="sans-serif">
<style>.panel{fill:#fff;stroke:#ccd}.title{font-size:12px;font-weight:bold}.row{font-size:14px;font-weight:bold}.head{font-size:11px;font-weight:bold}.label{font-size:11px;fill:#556}.end{font-size:11px;fill:#556;text-anchor:end}.big{font-size:22px}path{fill:none}</style>
<rect width="100%%" height="100%%" fill="#f4f5f8"/>
`, 24*cellWidth, height+4) +
		fmt.Sprintf(`<text x="8" y="22" class="label">%s: drawn by a test from the answers to the board's own queries on data of the demonstration, `+
			`%s. Not a screenshot of Grafana.</text>`+"\n", b.UID, html.EscapeString(caption)) + c.String() + "</svg>\n"
}

func (d drawing) draw() {
	switch d.Type {
	case "stat":
		d.drawStat()
	case "bargauge":
		d.drawGauge()
	case "barchart":
		d.drawHours()
	case "heatmap":
		d.drawHeat()
	case "table":
		d.drawTable()
	default:
		d.drawSeries()
	}
}

// named is a series with its name in the panel.
type named struct {
	name, ref string
	line
}

// series returns all results, in the order of the queries and names.
func (d drawing) series() []named {
	var all []named
	for _, q := range d.Targets {
		var lines []named
		for _, l := range d.found[q.RefID] {
			name := q.LegendFormat
			for label, value := range l.labels {
				name = strings.ReplaceAll(name, "{{"+label+"}}", value)
			}
			lines = append(lines, named{name, q.RefID, l})
		}
		slices.SortFunc(lines, func(a, b named) int { return strings.Compare(a.name, b.name) })
		all = append(all, lines...)
	}
	return all
}

// last returns the latest value of a series that is a number; false if there is none.
func (l line) last() (float64, bool) {
	latest := int64(math.MinInt64)
	for at, value := range l.points {
		if at > latest && !math.IsNaN(value) {
			latest = at
		}
	}
	value, ok := l.points[latest]
	return value, ok
}

func (d drawing) drawStat() {
	all := d.series()
	if len(all) == 0 {
		d.text(d.x, d.y+28, "label", "no data in the demonstration")
	}
	for i, s := range all {
		x := d.x + float64(i)*d.w/float64(len(all))
		value, _ := s.last()
		text := d.format(d.FieldConfig.Defaults.Unit, value)
		for _, mapping := range d.FieldConfig.Defaults.Mappings {
			text = cmp.Or(mapping.Options[text].Text, text)
		}
		if d.Options.TextMode == "name" {
			text = s.name
		} else if s.name != "" {
			d.text(x, d.y+52, "label", s.name)
		}
		d.text(x, d.y+30, "big", text)
	}
}

func (d drawing) drawGauge() {
	all := d.series()
	slices.SortFunc(all, func(a, b named) int {
		x, _ := a.last()
		y, _ := b.last()
		return int(math.Copysign(1, y-x))
	})
	top := d.top(all)
	for i, s := range all {
		value, _ := s.last()
		y := d.y + float64(i)*26
		d.text(d.x, y+14, "label", s.name)
		d.rect(d.x+110, y, (d.w-200)*value/top, 18, d.thresholdColor(value))
		d.text(d.x+d.w-80, y+14, "label", d.format(d.FieldConfig.Defaults.Unit, value))
	}
}

// top returns the largest of all values and of a threshold that is drawn; 1 if there is nothing to draw.
func (d drawing) top(all []named) float64 {
	var top float64
	for _, s := range all {
		for _, value := range s.points {
			if !math.IsNaN(value) {
				top = max(top, value)
			}
		}
	}
	if limit, ok := d.limit(); ok {
		top = max(top, 1.05*limit)
	}
	return cmp.Or(top, 1)
}

// limit returns the highest threshold, if the panel draws a line for it.
func (d drawing) limit() (float64, bool) {
	steps := d.FieldConfig.Defaults.Thresholds.Steps
	if d.FieldConfig.Defaults.Custom.ThresholdsStyle.Mode == "" || len(steps) == 0 {
		return 0, false
	}
	return *steps[len(steps)-1].Value, true
}

func (d drawing) thresholdColor(value float64) string {
	color := "green"
	for _, step := range d.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	return map[string]string{"green": "#5a5", "orange": "#e90", "red": "#d33"}[color]
}

// color returns the color of an override for a name, or the i-th of a palette.
func (d drawing) color(name string, i int) string {
	colors := map[string]string{"blue": "#46c", "red": "#d33", "orange": "#e90", "semi-dark-purple": "#a7c"}
	for _, o := range d.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if fixed, ok := property.Value.(map[string]any); ok && o.Matcher.Options == name && property.ID == "color" {
				return colors[fmt.Sprint(fixed["fixedColor"])]
			}
		}
	}
	if fixed, ok := colors[d.FieldConfig.Defaults.Color.FixedColor]; ok {
		return fixed
	}
	palette := []string{"#46c", "#5a5", "#e90", "#a5c", "#2aa", "#c66", "#884", "#777"}
	return palette[i%len(palette)]
}

// renamed returns the name of a query's values after the panel's transformations.
func (d drawing) renamed(ref string) string {
	for _, transformation := range d.Transformations {
		if name, ok := transformation.Options.RenameByName["Value #"+ref]; ok {
			return name
		}
		if name, ok := transformation.Options.RenameByName["Value"]; ok && ref == "A" {
			return name
		}
	}
	return ref
}

func day(at int64) string { return datacube.DateOf(time.Unix(at, 0)).String() }

// times returns all times at which any of the series has a value.
func times(all []named) []int64 {
	set := map[int64]bool{}
	for _, s := range all {
		for at := range s.points {
			set[at] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}
