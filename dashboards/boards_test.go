package dashboards_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/repotest"
	"weixin_exporter/weixin/datacube"
)

// What the Grafana boards promise: they load as they are, keep their links, and say what they show.

const (
	historyBoard = "weixin-history"
	// What the queries choose by.
	chosenAccounts = "account=~`${account:regex}`"
	chosen         = "{job=~`${job:regex}`,instance=~`${instance:regex}`," + chosenAccounts + "}"
)

type (
	// board is a Grafana board, as far as the tests look at it.
	board struct {
		ID         *int
		UID        string
		Title      string
		Timezone   string
		Refresh    string
		Links      []link
		Templating struct{ List []variable }

		Annotations struct {
			List []struct {
				Name, Expr, Step, TitleFormat, TextFormat string
				BuiltIn                                   int
				Enable, Hide                              bool
				Datasource                                source
			}
		}
		Panels []boardPanel
	}
	link struct {
		Title, URL  string
		IncludeVars bool
	}
	variable struct {
		Name, Type, AllValue, Definition string
		Query                            json.RawMessage
		Multi, IncludeAll                bool
		Datasource                       source
	}
	source     struct{ Type, UID string }
	boardPanel struct {
		ID                       int
		Type, Title, Description string
		Datasource               source
		MaxDataPoints            int
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct {
			RefID, Expr, Interval string
			Range                 bool
			Datasource            *source
		}
		Transformations []struct {
			ID      string
			Options struct{ RenameByName map[string]string }
		}
		FieldConfig struct {
			Defaults struct {
				Unit       string
				Thresholds struct{ Steps []struct{ Value *float64 } }
			}
			Overrides []struct {
				Matcher    struct{ Options string }
				Properties []struct {
					ID    string
					Value json.RawMessage
				}
			}
		}
	}
)

// boards returns all boards.
func boards(t *testing.T) []board {
	t.Helper()
	files := repotest.Glob(t, "dashboards/*.json")
	if len(files) != 3 {
		t.Fatalf("boards %q, want three", files)
	}
	list := make([]board, len(files))
	for i, file := range files {
		if err := json.Unmarshal([]byte(repotest.Text(t, file)), &list[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := strings.TrimSuffix(filepath.Base(file), ".json"); list[i].UID != want {
			t.Errorf("%s has the uid %q", file, list[i].UID)
		}
	}
	return list
}

func TestBoardsLoadAsTheyAre(t *testing.T) {
	titles := map[string]bool{}
	for _, b := range boards(t) {
		text := repotest.Text(t, "dashboards/"+b.UID+".json")
		var formatted bytes.Buffer
		if err := json.Indent(&formatted, []byte(strings.TrimSpace(text)), "", "  "); err != nil {
			t.Fatal(err)
		}
		if formatted.String()+"\n" != text {
			t.Errorf("%s is not written with two spaces for each level, as jq . does", b.UID)
		}
		if strings.Contains(text, "__inputs") || strings.Contains(text, "__requires") {
			t.Errorf("%s is an export for sharing, which cannot be provisioned", b.UID)
		}
		if b.ID != nil || b.Timezone != "Asia/Shanghai" || b.Refresh == "" || b.Title == "" || titles[b.Title] {
			t.Errorf("%s: id %v, time zone %q, refresh %q, title %q", b.UID, b.ID, b.Timezone, b.Refresh, b.Title)
		}
		titles[b.Title] = true
		checkVariables(t, b)
	}
}

func checkVariables(t *testing.T, b board) {
	t.Helper()
	want := map[string]string{
		"job":      "label_values(weixin_account_info, job)",
		"instance": "label_values(weixin_account_info{job=~`${job:regex}`}, instance)",
		"account":  "label_values(weixin_account_info" + strings.Replace(chosen, ","+chosenAccounts, "", 1) + ", account)",
	}
	order := []string{"datasource", "job", "instance", "account"}
	if b.UID == historyBoard {
		// The history is sent without the labels of a scrape.
		want = map[string]string{"account": "label_values(weixin_history_daily_callbacks, account)"}
		order = []string{"datasource", "account"}
	}
	var names []string
	for _, v := range b.Templating.List {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, order) {
		t.Fatalf("%s has the variables %q, want %q", b.UID, names, order)
	}
	if data := b.Templating.List[0]; data.Type != "datasource" || string(data.Query) != `"prometheus"` {
		t.Errorf("%s: the first variable is %+v, want the data source", b.UID, data)
	}
	for _, v := range b.Templating.List[1:] {
		if v.Type != "query" || !v.Multi || !v.IncludeAll || v.AllValue != ".*" || v.Datasource != (source{"prometheus", "${datasource}"}) {
			t.Errorf("%s: the variable is %+v, want several values or all", b.UID, v)
		}
		var query struct{ Query string }
		if err := json.Unmarshal(v.Query, &query); err != nil || query.Query != v.Definition || query.Query != want[v.Name] {
			t.Errorf("%s: %s comes from %s (%v), want %s", b.UID, v.Name, v.Query, err, want[v.Name])
		}
	}
}

// TestBoardsShowAlerts looks for the firing alerts of what is chosen on each board. An alert on the exporter has no
// account, one on an absent job no instance: the empty value matches these.
func TestBoardsShowAlerts(t *testing.T) {
	names := map[string]bool{}
	for _, b := range boards(t) {
		if n := len(b.Annotations.List); n != 2 || b.Annotations.List[0].BuiltIn != 1 {
			t.Fatalf("%s has %d annotations, want those of Grafana itself and the alerts", b.UID, n)
		}
		a := b.Annotations.List[1]
		if !a.Enable || a.Hide || a.Datasource != (source{"prometheus", "${datasource}"}) || a.Step == "" {
			t.Errorf("%s: the annotation is %+v", b.UID, a)
		}
		want := "ALERTS{alertname=~`Weixin.+`,alertstate=`firing`,job=~`|${job:regex}`,instance=~`|${instance:regex}`,account=~`|${account:regex}`}"
		if b.UID == historyBoard {
			want = "ALERTS{alertname=~`Weixin.+`,alertstate=`firing`,account=~`|${account:regex}`}"
		}
		if a.Expr != want || !strings.Contains(a.TitleFormat, "{{alertname}}") || !strings.Contains(a.TextFormat, "{{account}}") {
			t.Errorf("%s: the annotation is %+v, want %s", b.UID, a, want)
		}
		names[a.Name] = true
	}
	for name := range repotest.Alerts(t) {
		if !strings.HasPrefix(name, "Weixin") {
			t.Errorf("the boards do not show %s", name)
		}
	}
	if len(names) != 1 {
		t.Errorf("the alerts are named %v", names)
	}
}

// TestBoardsJudgeAsTheAlerts compares where boards use red for figures with the rule that page and alerts follow.
func TestBoardsJudgeAsTheAlerts(t *testing.T) {
	number := func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
	failures, ratio := " >= "+number(datacube.ManyFailures), " >= "+number(datacube.HighFailureRatio)
	slow := " >= " + number(datacube.TimeoutSeconds) + " and "
	slowRatio := " >= " + number(datacube.TimeoutFailureRatio)
	asBool := func(text string) string { return strings.ReplaceAll(text, ">=", ">= bool") }
	for panel, parts := range map[string][]string{
		"weixin-overview, Failure ratio":             {failures, ratio, `"bad"`},
		"weixin-overview, Longest callback":          {failures, slow, slowRatio, `"bad"`},
		"weixin-overview, Accounts":                  {asBool(failures), asBool(ratio), asBool(slowRatio), ">= bool " + number(datacube.TimeoutSeconds)},
		"weixin-overview, Highest failure ratio":     {failures},
		"weixin-account, Failure ratio":              {failures, ratio, `"bad"`},
		"weixin-account, Longest time":               {failures, slow, slowRatio, `"bad"`},
		"weixin-history, Failure ratio, last 7 days": {failures, ratio, `"bad"`},
	} {
		uid, title, _ := strings.Cut(panel, ", ")
		var exprs strings.Builder
		for _, b := range boards(t) {
			for _, p := range b.Panels {
				for _, q := range p.Targets {
					if b.UID == uid && p.Title == title {
						exprs.WriteString(q.Expr + "\n")
					}
				}
			}
		}
		for _, part := range parts {
			if !strings.Contains(exprs.String(), part) {
				t.Errorf("%s does not have %q: %s", panel, part, exprs.String())
			}
		}
	}
	// Where a threshold gives a color to a ratio, or draws a line, it is one of the rule.
	allowed := map[string][]float64{
		"percentunit": {datacube.HighFailureRatio, datacube.HighHourFailureRatio, 0.1}, // a tenth of the calls
		"s":           {5, (66 * time.Hour).Seconds(), (102 * time.Hour).Seconds()},    // Weixin's limit, and the ages of WeixinStatisticsStale
	}
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
				if unit := p.FieldConfig.Defaults.Unit; step.Value != nil && allowed[unit] != nil && !slices.Contains(allowed[unit], *step.Value) {
					t.Errorf("%s: %s changes its color at %v", b.UID, p.Title, *step.Value)
				}
			}
		}
	}
}

func TestBoardsSayWhatTheyShow(t *testing.T) {
	ofDays := regexp.MustCompile(`weixin_(interface|history)_`)
	for _, b := range boards(t) {
		ids, names := map[int]bool{}, map[string]bool{}
		for i, p := range b.Panels {
			if ids[p.ID] || names[p.Title] || p.ID <= 0 || p.Title == "" {
				t.Errorf("%s: panel %d %q has no id or title of its own", b.UID, p.ID, p.Title)
			}
			ids[p.ID], names[p.Title] = true, true
			checkPlace(t, b, i)
			if p.Type == "row" {
				continue
			}
			if p.Datasource != (source{"prometheus", "${datasource}"}) {
				t.Errorf("%s: %s asks %+v rather than the data source that was chosen", b.UID, p.Title, p.Datasource)
			}
			if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: %s is described as %q", b.UID, p.Title, p.Description)
			}
			for _, q := range p.Targets {
				if q.Datasource != nil {
					t.Errorf("%s: %s has a query with a data source of its own", b.UID, p.Title)
				}
				if ofDays.MatchString(q.Expr) && !regexp.MustCompile(`\b(day|days|yesterday)\b`).MatchString(p.Description) {
					t.Errorf("%s: %s does not say which day it shows", b.UID, p.Title)
				}
			}
			checkUnits(t, b, p)
		}
	}
}

// checkPlace fails if a panel is outside of the grid or overlaps an earlier one.
func checkPlace(t *testing.T, b board, i int) {
	t.Helper()
	at := b.Panels[i].GridPos
	if at.X < 0 || at.Y < 0 || at.W <= 0 || at.H <= 0 || at.X+at.W > 24 {
		t.Errorf("%s: %s is at %+v, outside of the grid", b.UID, b.Panels[i].Title, at)
	}
	for _, other := range b.Panels[:i] {
		o := other.GridPos
		if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
			t.Errorf("%s: %s overlaps %s", b.UID, b.Panels[i].Title, other.Title)
		}
	}
}

// checkUnits fails unless all numbers of a panel have a unit: by default or, in a table, by column.
func checkUnits(t *testing.T, b board, p boardPanel) {
	t.Helper()
	if p.FieldConfig.Defaults.Unit != "" {
		return
	}
	united := map[string]bool{}
	for _, override := range p.FieldConfig.Overrides {
		for _, property := range override.Properties {
			if property.ID == "unit" {
				united[override.Matcher.Options] = true
			}
		}
	}
	columns := 0
	for _, transformation := range p.Transformations {
		for from, name := range transformation.Options.RenameByName {
			if !strings.HasPrefix(from, "Value") {
				continue
			}
			columns++
			if !united[name] {
				t.Errorf("%s: %s has no unit for %s", b.UID, p.Title, name)
			}
		}
	}
	if p.Type != "table" || columns == 0 {
		t.Errorf("%s: %s has no unit", b.UID, p.Title)
	}
}

func TestBoardsAreLinked(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range boards(t) {
		uids[b.UID] = true
	}
	for _, b := range boards(t) {
		linked := map[string]bool{b.UID: true}
		for _, l := range b.Links {
			linked[strings.TrimPrefix(l.URL, "/d/")] = true
			if !l.IncludeVars {
				t.Errorf("%s: the link to %s does not keep the variables", b.UID, l.Title)
			}
		}
		if lacking, strange := repotest.Missing(uids, linked), repotest.Missing(linked, uids); len(lacking)+len(strange) > 0 {
			t.Errorf("%s does not link to %q and does to %q, which do not exist", b.UID, lacking, strange)
		}
		for target := range repotest.Found(`"(/d/[^"]+\?[^"]*)"`, repotest.Text(t, "dashboards/"+b.UID+".json")) {
			path, query, _ := strings.Cut(target, "?")
			if !uids[strings.TrimPrefix(path, "/d/")] || !strings.Contains(query, "${datasource:queryparam}") ||
				!regexp.MustCompile(`var-account=\$\{__[a-z.]+:percentencode\}`).MatchString(query) {
				t.Errorf("%s: a value links to %s, which does not exist or does not keep data source and account", b.UID, target)
			}
		}
	}
}

// TestBoardsAsk looks at how the queries choose accounts and times; that they find something is
// for the end-to-end tests.
func TestBoardsAsk(t *testing.T) {
	ofExporters := regexp.MustCompile(`^weixin_(exporter|api_request|remote_write|store_(slots|exporters|followed|connections|max_connections|failures))`)
	ofStates := regexp.MustCompile(`state="[a-z]+",`)
	selectors := regexp.MustCompile(`\bweixin_[a-z]+_[a-z_]+(?:\{(?:state="[a-z]+",)?(?:[a-z]+=~\x60\$\{[a-z]+:regex\}\x60,?)*\})?`)
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: %s has no query", b.UID, p.Title)
			}
			var refs []string
			for _, q := range p.Targets {
				refs = append(refs, q.RefID)
				for _, selector := range selectors.FindAllString(q.Expr, -1) {
					want := chosen
					switch {
					case b.UID == historyBoard:
						want = "{" + chosenAccounts + "}"
					case ofExporters.MatchString(selector):
						want = strings.Replace(chosen, ","+chosenAccounts, "", 1)
					}
					if !strings.HasSuffix(ofStates.ReplaceAllString(selector, ""), want) {
						t.Errorf("%s: %s asks for %s, not for what is chosen, %s", b.UID, p.Title, selector, want)
					}
				}
				// The history has a sample for each hour or day and nothing in between, and Grafana leaves some
				// out where it thinks that a panel has no room for all: here the points of four months and of four years.
				points := map[string]int{"1h": 3000, "1d": 1500}[q.Interval]
				if q.Range && strings.Contains(q.Expr, "weixin_history_") && (points == 0 || p.MaxDataPoints < points) {
					t.Errorf("%s: %s asks for at most %d points of history with the step %q", b.UID, p.Title, p.MaxDataPoints, q.Interval)
				}
				if q.Interval == "1h" && strings.Contains(q.Expr, "weixin_history_daily_") {
					t.Errorf("%s: %s asks for days by the hour", b.UID, p.Title)
				}
			}
			slices.Sort(refs)
			if len(slices.Compact(refs)) != len(p.Targets) {
				t.Errorf("%s: %s has two queries of one name", b.UID, p.Title)
			}
		}
	}
}

// TestBoardsAskForMetricsThatExist: each metric in a query is documented, as those of the program are, or one of
// the history.
func TestBoardsAskForMetricsThatExist(t *testing.T) {
	known := repotest.Found("(?m)^\\| `(weixin_[a-z_]+)` \\|", repotest.Text(t, "docs/metrics.md"))
	for _, api := range []datacube.API{datacube.Daily, datacube.Hourly} {
		for _, figure := range []string{"callbacks", "failures", "time_cost_seconds", "max_time_cost_seconds"} {
			known["weixin_history_"+api.String()+"_"+figure] = true
		}
	}
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				names := repotest.Found(`\b(weixin_[a-z_]+?)(?:_sum|_count)?\b`, q.Expr)
				if strange := repotest.Missing(names, known); len(strange) > 0 {
					t.Errorf("%s: %s asks for %q, which the program does not show", b.UID, p.Title, strange)
				}
			}
		}
	}
}
