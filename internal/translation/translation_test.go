package translation_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/repotest"
	"weixin_exporter/internal/translation"
)

var update = flag.Bool("update", false, "rewrite alerts/zh and dashboards/zh")

const tableFile = "internal/translation/texts.zh.yml"

func table(t *testing.T) *translation.Table {
	t.Helper()
	texts, err := translation.ReadTable([]byte(repotest.Text(t, tableFile)))
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestTranslationsAreCurrent makes the Chinese files again. Each text that they show must be in the table, and the
// table must have no other.
func TestTranslationsAreCurrent(t *testing.T) {
	texts := table(t)
	made := map[string]string{}
	rules, err := texts.Rules(repotest.Text(t, repotest.RulesFile))
	if err != nil {
		t.Error(err)
	}
	made["alerts/zh/"+filepath.Base(repotest.RulesFile)] = rules
	for _, file := range repotest.Glob(t, "dashboards/*.json") {
		board, err := texts.Board(repotest.Text(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		made["dashboards/zh/"+filepath.Base(file)] = board
	}
	if unused := texts.Unused(); len(unused) > 0 {
		t.Errorf("%s has texts that no alert or board has: %q", tableFile, unused)
	}
	if t.Failed() {
		t.Fatalf("complete %s, then run go test ./internal/translation -update", tableFile)
	}
	there := map[string]bool{}
	for path, want := range made {
		there[path] = true
		if *update {
			write(t, path, want)
		}
		if diff := cmp.Diff(want, repotest.Text(t, path)); diff != "" {
			t.Errorf("%s is out of date: run go test ./internal/translation -update\n%s", path, diff)
		}
	}
	for _, pattern := range []string{"alerts/zh/*.yml", "dashboards/zh/*.json"} {
		for _, path := range repotest.Glob(t, pattern) {
			if !there[path] {
				t.Errorf("%s has no English original", path)
			}
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	path = repotest.Path(t, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTranslatedRulesAct as the English ones do: only texts and addresses differ, and no text is left in English.
func TestTranslatedRulesAct(t *testing.T) {
	comments := regexp.MustCompile(`(?m)^ *#.*\n`)
	actions := regexp.MustCompile(`\{\{.*?\}\}`)
	english, chinese := repotest.Rules(t), repotest.RulesIn(t, "alerts/zh/weixin.rules.yml")
	if len(english) != len(chinese) {
		t.Errorf("%d rules, want %d", len(chinese), len(english))
	}
	for name, want := range english {
		got := chinese[name]
		for key, en := range want.Annotations {
			zh := got.Annotations[key]
			if key == "runbook_url" {
				if zh != strings.Replace(en, "/docs/alerts.md", "/docs/zh/alerts.md", 1) {
					t.Errorf("%s leads to %s", name, zh)
				}
				continue
			}
			if !regexp.MustCompile(`\p{Han}`).MatchString(zh) || regexp.MustCompile(`[a-z]+( [a-z]+){3}`).MatchString(actions.ReplaceAllString(zh, "")) {
				t.Errorf("the %s of %s is not in Chinese: %s", key, name, zh)
			}
			if diff := cmp.Diff(sorted(actions.FindAllString(en, -1)), sorted(actions.FindAllString(zh, -1))); diff != "" {
				t.Errorf("the actions in the %s of %s differ:\n%s", key, name, diff)
			}
		}
		want.Annotations, got.Annotations = nil, nil
		want.Expr, got.Expr = comments.ReplaceAllString(want.Expr, ""), comments.ReplaceAllString(got.Expr, "")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs:\n%s", name, diff)
		}
	}
}

// TestTranslatedBoardsAct as the English ones do: only what is shown differs, and a name by which a panel refers to a column or a
// series is the one that the panel gives it.
func TestTranslatedBoardsAct(t *testing.T) {
	for _, file := range repotest.Glob(t, "dashboards/*.json") {
		var english, chinese map[string]any
		name := filepath.Base(file)
		for path, into := range map[string]*map[string]any{file: &english, "dashboards/zh/" + name: &chinese} {
			if err := json.Unmarshal([]byte(repotest.Text(t, path)), into); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if english["uid"].(string)+"-zh" != chinese["uid"] {
			t.Errorf("%s has the uid %v", name, chinese["uid"])
		}
		compare(t, name, english, chinese)
		panels, translated := english["panels"].([]any), chinese["panels"].([]any)
		for i := range panels {
			checkNames(t, name, panels[i].(map[string]any), translated[i].(map[string]any))
		}
	}
}

var shownKeys = regexp.MustCompile(`^(title|description|tooltip|label|legendFormat|noValue|text|displayName|alias|options|left|right|url|uid|name)$`)

// compare fails unless two JSON values have the same structure and differ only in texts that are shown.
func compare(t *testing.T, at string, english, chinese any) {
	t.Helper()
	switch en := english.(type) {
	case map[string]any:
		zh, ok := chinese.(map[string]any)
		if !ok || len(en) != len(zh) {
			t.Errorf("%s: %v, want the keys of %v", at, chinese, english)
			return
		}
		for key, value := range en {
			if strings.HasSuffix(at, ".renameByName") || strings.HasSuffix(at, ".indexByName") {
				continue // checkNames
			}
			if text, ok := value.(string); ok && shownKeys.MatchString(key) && zh[key] != nil {
				if translated := zh[key].(string); text != translated && key != "url" && key != "uid" && !regexp.MustCompile(`\p{Han}|^AppID$`).MatchString(translated) {
					t.Errorf("%s.%s is %q for %q", at, key, translated, text)
				}
				continue
			}
			compare(t, at+"."+key, value, zh[key])
		}
	case []any:
		zh, ok := chinese.([]any)
		if !ok || len(en) != len(zh) {
			t.Errorf("%s: %v, want as many as in %v", at, chinese, english)
			return
		}
		for i := range en {
			compare(t, at, en[i], zh[i])
		}
	default:
		if english != chinese {
			t.Errorf("%s: %v, want %v", at, chinese, english)
		}
	}
}

// checkNames compares how often a panel refers to the names that it gives.
func checkNames(t *testing.T, board string, english, chinese map[string]any) {
	t.Helper()
	given, translated := names(english), names(chinese)
	if len(given) != len(translated) {
		t.Errorf("%s: %v gives the names %v, want as many as %v", board, english["title"], translated, given)
	}
	count := func(panel map[string]any, set map[string]bool) int {
		n := 0
		visit(panel, func(key, value string) {
			if (key == "options" || key == "displayName" || key == "left" || key == "right" || key == "(key)") && set[value] {
				n++
			}
		})
		return n
	}
	if want, got := count(english, given), count(chinese, translated); want != got {
		t.Errorf("%s: %v refers %d times to its columns and series, want %d", board, english["title"], got, want)
	}
}

// names returns the names that a panel gives to columns and series.
func names(panel map[string]any) map[string]bool {
	set := map[string]bool{}
	visit(panel, func(key, value string) {
		if key == "legendFormat" || key == "alias" || key == "(renamed)" {
			set[value] = true
		}
	})
	delete(set, "")
	return set
}

// visit calls f with all strings in a JSON value, each with its key; with the keys of an order of columns; and with
// the new names of columns.
func visit(value any, f func(key, value string)) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			switch text := inner.(type) {
			case string:
				f(key, text)
			case map[string]any:
				for column, renamed := range text {
					if key == "indexByName" {
						f("(key)", column)
					}
					if name, ok := renamed.(string); ok && key == "renameByName" {
						f("(renamed)", name)
					}
				}
				visit(inner, f)
			default:
				visit(inner, f)
			}
		}
	case []any:
		for _, inner := range v {
			visit(inner, f)
		}
	}
}

func sorted(list []string) map[string]int {
	counts := map[string]int{}
	for _, item := range list {
		counts[item]++
	}
	return counts
}

func TestReadTable(t *testing.T) {
	for text, want := range map[string]string{
		`[{en: "{1} of {2}", zh: "{1} 个"}]`:                      "placeholders",
		`[{en: "it failed", zh: 失败}, {en: "it failed", zh: 失败}]`: "twice",
		`[{en: "it failed today again", zh: "sorry"}]`:           "not translated",
		`[{en: Same, zh: Same}]`:                                 "not translated",
		`[{en: a, de: b}]`:                                       "reading the table",
	} {
		if _, err := translation.ReadTable([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestMissingTexts(t *testing.T) {
	texts, err := translation.ReadTable([]byte(`[{en: "{1} of {2}", zh: "{2} 中的 {1}"}]`))
	if err != nil {
		t.Fatal(err)
	}
	const rules = "# A comment\n    annotations:\n      summary: >-\n        {{ $value }} of\n        {{ $labels.account }}\n      description: Not there.\n"
	if _, err := texts.Rules(rules); err == nil || !strings.Contains(err.Error(), `"A comment"`) || !strings.Contains(err.Error(), `"Not there."`) {
		t.Errorf("%v, want both texts that the table lacks", err)
	}
	if _, err := texts.Board("{\n  \"title\": \"Not there\"\n}\n"); err == nil || !strings.Contains(err.Error(), `"Not there"`) {
		t.Errorf("%v, want the title that the table lacks", err)
	}
	if unused := texts.Unused(); len(unused) > 0 {
		t.Errorf("unused: %q", unused)
	}
}

// TestRuleTests translates texts that templates have rendered: with values in another order, a loop, both branches of a condition,
// and in quotes.
func TestRuleTests(t *testing.T) {
	texts, err := translation.ReadTable([]byte(`
- {en: "{1} of {2} failed.", zh: "{2} 失败 {1}。"}
- {en: "Hours: {1}{2}:00; {3} see the log of {4}.", zh: "时段：{1}{2}:00; {3}见 {4} 的日志。"}
- {en: "Last: {1}{2}{3}none{4}.", zh: "最近：{1}{2}{3}无{4}。"}
`))
	if err != nil {
		t.Fatal(err)
	}
	const rules = `
          summary: >-
            {{ $value }} of {{ $labels.account }}
            failed.
          description: >-
            Hours: {{ range query "x" }}{{ .Labels.hour }}:00; {{ end -}}
            see the log of {{ $labels.account }}.
          summary: "Last: {{ with $value }}{{ . }}{{ else }}none{{ end }}."
`
	for rendered, want := range map[string]string{
		"summary: >-\n  3% of shop\n  failed.":                     "summary: >-\n  shop 失败 3%。",
		"description: 'Hours: 03:00; 04:00; see the log of a: b.'": "description: >-\n  时段：03:00; 04:00; 见 a: b 的日志。",
		"summary: \"Last: 2026-11-28.\"":                           "summary: >-\n  最近：2026-11-28。",
		"summary: >-\n  Last: none.":                               "summary: >-\n  最近：无。",
		"# a comment stays":                                        "# a comment stays",
	} {
		const indent = "    "
		lines := func(text string) string { return indent + strings.ReplaceAll(text, "\n", "\n"+indent) + "\n" }
		got, err := texts.RuleTests(lines(rendered), rules)
		if err != nil || got != lines(want) {
			t.Errorf("%q becomes %q (%v), want %q", rendered, got, err, lines(want))
		}
	}
	if _, err := texts.RuleTests("    summary: Something else.\n", rules); err == nil {
		t.Error("a text that no template renders is translated")
	}
}
