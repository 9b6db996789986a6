package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

// The parts of a Grafana board that affect its queries and drawings.
type (
	board struct {
		UID        string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	panel struct {
		Title           string
		Type            string
		MaxDataPoints   int
		Targets         []target
		GridPos         struct{ X, Y, W, H float64 }
		Transformations []struct {
			ID      string
			Options struct {
				ByField      string
				RenameByName map[string]string
				IndexByName  map[string]int
			}
		}
		FieldConfig struct {
			Defaults  fields
			Overrides []override
		}
		Options struct{ Stacking, TextMode string }
	}
	fields struct {
		Unit     string
		Max      float64
		Color    struct{ FixedColor string }
		Mappings []struct {
			Options map[string]struct{ Text string }
		}
		Thresholds struct {
			Steps []struct {
				Value *float64
				Color string
			}
		}
		Custom struct {
			DrawStyle       string
			Stacking        struct{ Mode string }
			ThresholdsStyle struct{ Mode string }
		}
	}
	override struct {
		Matcher    struct{ Options string }
		Properties []struct {
			ID    string
			Value any
		}
	}
	target struct {
		RefID, Expr, Interval, Format, LegendFormat string
		Instant, Range                              bool
	}
)

// readBoards returns the boards by name.
func readBoards(t *testing.T) map[string]board {
	t.Helper()
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	boards := map[string]board{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		boards[strings.TrimSuffix(filepath.Base(file), ".json")] = b
	}
	if len(boards) != 3 {
		t.Fatalf("boards %q, want three", slices.Sorted(maps.Keys(boards)))
	}
	return boards
}

// span is the range of time that a board shows.
type span struct{ from, to time.Time }

const (
	// scrapeInterval is that of the Prometheus that the boards query.
	scrapeInterval = 2 * time.Second
	// pointsOfPanel is how many points Grafana requests on a usual screen.
	pointsOfPanel = 1000
)

// spanOf returns the time range of a board: twelve weeks of history, or what was scraped.
func (b board) spanOf(now time.Time) span {
	if strings.HasSuffix(b.UID, "-history") {
		return span{now.AddDate(0, 0, -84), now}
	}
	return span{now.Add(-5 * time.Minute), now}
}

// find returns a panel by its title and a query of it by its name.
func (b board) find(t *testing.T, title, ref string) (panel, target) {
	t.Helper()
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			if p.Title == title && q.RefID == ref {
				return p, q
			}
		}
	}
	t.Fatalf("%s has no query %s of a panel %q", b.UID, ref, title)
	return panel{}, target{}
}

// step returns the step that Grafana uses for a query: as many points as fit, but no more than the query allows.
func (s span) step(t *testing.T, p panel, q target) time.Duration {
	t.Helper()
	points := pointsOfPanel
	if p.MaxDataPoints > 0 {
		points = p.MaxDataPoints
	}
	step := max(s.to.Sub(s.from)/time.Duration(points), scrapeInterval).Round(time.Second)
	return max(step, promDuration(t, q.Interval))
}

// promDuration parses the durations that boards use; "" is 0.
func promDuration(t *testing.T, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// aligned returns the time that Grafana uses instead of a limit of a range: a multiple of the step in the board's
// time zone.
func aligned(at time.Time, step time.Duration) time.Time {
	_, offset := at.In(datacube.China).Zone()
	local := at.Unix() + int64(offset)
	return time.Unix(local-local%int64(step.Seconds())-int64(offset), 0)
}

// expression returns a query with its variables replaced as Grafana does.
func (q target) expression(step time.Duration, accounts string) string {
	rate := max(step+scrapeInterval, 4*scrapeInterval)
	return strings.NewReplacer(
		"${account:regex}", accounts,
		"${job:regex}", everything,
		"${instance:regex}", everything,
		"$__rate_interval", strconv.Itoa(int(rate.Seconds()))+"s",
	).Replace(q.Expr)
}

// regexOf formats an account's name like Grafana's format "regex".
func regexOf(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`\^$*+?.()|[]{}/`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
