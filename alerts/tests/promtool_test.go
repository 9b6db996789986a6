// Package tests_test runs the unit tests of the alerts. They take a while, so they are in a package that depends on
// no other code of the program: their results stay in the cache until an alert or a test of one changes.
package tests_test

import (
	"fmt"
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
	promtool := tool(t, "PROMTOOL", "promtool")
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", repotest.Path(t, repotest.RulesFile)).CombinedOutput()
	if want := fmt.Sprintf("SUCCESS: %d rules found", len(repotest.Rules(t))); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %s:\n%s", err, want, out)
	}
	for _, file := range alertTests(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", repotest.Path(t, file)).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "SUCCESS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// The Chinese alerts pass the same tests, in which the texts are translated as theirs are. Each test has those of their rules that
// it needs for what it names: that no other alert fires does not depend on the language.
func TestChineseAlertsPassPromtool(t *testing.T) {
	t.Parallel()
	const chinese = "alerts/zh/weixin.rules.yml"
	promtool := tool(t, "PROMTOOL", "promtool")
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", repotest.Path(t, chinese)).CombinedOutput()
	if want := fmt.Sprintf("SUCCESS: %d rules found", len(repotest.Rules(t))); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %s:\n%s", err, want, out)
	}
	folder := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
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
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		write(name+"/weixin.rules.yml", rulesNamedBy(t, repotest.Text(t, chinese), text))
		path := write(name+"/tests/"+filepath.Base(file), text)
		if filepath.Base(file) == "rests.yml" {
			continue // slow, and without a text that the others lack
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", path).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "SUCCESS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
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
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
