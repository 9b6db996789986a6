// Package tests_test runs the unit tests of the alerts. They take a while, so they are in a package that depends on
// no other code of the program: their results stay in the cache until an alert or a test of one changes.
package tests_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/repotest"
	"weixin_exporter/internal/translation"
)

// alertTests returns the files of promtool's unit tests.
func alertTests(t *testing.T) []string {
	t.Helper()
	return repotest.Glob(t, "alerts/tests/*.yml")
}

// tool returns the path of a program that a test needs. Without it the test is skipped, or fails
// where the end-to-end tests must not skip either.
func tool(t *testing.T, variable, name string) string {
	t.Helper()
	path, err := exec.LookPath(os.Getenv(variable))
	if err != nil {
		path, err = exec.LookPath(name)
	}
	switch {
	case err != nil && os.Getenv("E2E_REQUIRED") != "":
		t.Fatalf("this test needs %s: install it, or name it with $%s: %v", name, variable, err)
	case err != nil:
		t.Skipf("this test needs %s; install it, or name it with $%s: %v", name, variable, err)
	}
	return path
}

func TestAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	rules := repotest.Text(t, repotest.RulesFile)
	checkRules(t, repotest.RulesFile)
	for _, file := range alertTests(t) {
		runSuite(t, filepath.Base(file), repotest.Text(t, file), rules)
	}
}

// The Chinese alerts pass the same tests, in which the texts are translated as theirs are.
func TestChineseAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	const chinese = "alerts/zh/weixin.rules.yml"
	checkRules(t, chinese)
	table, err := translation.ReadTable([]byte(repotest.Text(t, "internal/translation/texts.zh.yml")))
	if err != nil {
		t.Fatal(err)
	}
	rules := repotest.Text(t, repotest.RulesFile)
	for _, file := range alertTests(t) {
		text, err := table.RuleTests(repotest.Text(t, file), rules)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if filepath.Base(file) == "rests.yml" {
			continue // slow, and without a text that the others lack
		}
		runSuite(t, filepath.Base(file), text, repotest.Text(t, chinese))
	}
}

// checkRules has promtool check a file of rules.
func checkRules(t *testing.T, file string) {
	t.Helper()
	out, err := promtool(t, "check", "rules", repotest.Path(t, file)).CombinedOutput()
	if want := fmt.Sprintf("SUCCESS: %d rules found", len(repotest.Rules(t))); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %s:\n%s", err, want, out)
	}
}

// promtool returns a command of promtool. What it stores is not in memory, where TMPDIR may be: it allocates files of 128 MB
// and writes little of them, which takes as long there as if all were written.
func promtool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "PROMTOOL", "promtool"), args...)
	cmd.Env = append(os.Environ(), "TMPDIR=/var/tmp", "GOGC=400")
	return cmd
}

// runSuite runs the tests of a file, each with the recording rules and the alerts that it names: an evaluation of all alerts takes
// several times as long, and no alert depends on another one.
func runSuite(t *testing.T, name, text, rules string) {
	t.Helper()
	var suite map[string]any
	if err := yaml.Unmarshal([]byte(text), &suite); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	tests, _ := suite["tests"].([]any)
	if files := fmt.Sprint(suite["rule_files"]); files != "[../weixin.rules.yml]" || len(tests) == 0 {
		t.Fatalf("%s has %d tests, of the rules %s", name, len(tests), files)
	}
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		args := []string{"test", "rules"}
		for i, test := range tests {
			alone := maps.Clone(suite)
			alone["rule_files"], alone["tests"] = []string{fmt.Sprintf("%d.rules.yml", i)}, []any{test}
			content := encoded(t, alone)
			write(t, filepath.Join(folder, fmt.Sprintf("%d.rules.yml", i)), rulesNamedBy(t, rules, content))
			path := filepath.Join(folder, fmt.Sprintf("%d.yml", i))
			write(t, path, content)
			args = append(args, path)
		}
		out, err := promtool(t, args...).CombinedOutput()
		if err != nil || strings.Count(string(out), "SUCCESS") != len(tests) {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rulesNamedBy returns the recording rules and the alerts that a test names.
func rulesNamedBy(t *testing.T, rules, test string) string {
	t.Helper()
	var all struct {
		Groups []struct {
			Name  string           `yaml:"name"`
			Rules []map[string]any `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(rules), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Groups {
		all.Groups[i].Rules = slices.DeleteFunc(all.Groups[i].Rules, func(rule map[string]any) bool {
			alert, is := rule["alert"].(string)
			return is && !strings.Contains(test, alert)
		})
	}
	return encoded(t, all)
}

// Each alert has a unit test in which it fires, and one in which it does not.
func TestAlertsHaveUnitTests(t *testing.T) {
	firing, silent := map[string]bool{}, map[string]bool{}
	for _, file := range alertTests(t) {
		var suite struct {
			Tests []struct {
				Alerts []struct {
					Name string `yaml:"alertname"`
					Want []any  `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(repotest.Text(t, file)), &suite); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range suite.Tests {
			for _, alert := range test.Alerts {
				if len(alert.Want) > 0 {
					firing[alert.Name] = true
				} else {
					silent[alert.Name] = true
				}
			}
		}
	}
	for name := range repotest.Alerts(t) {
		if !firing[name] || !silent[name] {
			t.Errorf("%s is tested firing: %v, not firing: %v", name, firing[name], silent[name])
		}
	}
}
