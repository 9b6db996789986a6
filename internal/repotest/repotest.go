// Package repotest reads files of the repository for tests that compare them with each other and with the program.
// Paths are relative to the top of the repository; AtTop makes it the working directory.
package repotest

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// RulesFile has the recording rules and alerts.
const RulesFile = "alerts/weixin.rules.yml"

// maxDepth is the largest depth of a folder with tests.
const maxDepth = 4

// AtTop runs the tests of a package with the top of the repository as working directory and returns their exit
// code. It is for TestMain.
func AtTop(m *testing.M) int {
	for range maxDepth {
		if _, err := os.Stat("go.mod"); err == nil {
			break
		}
		if err := os.Chdir(".."); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// Text returns the text of a file at the top of the repository.
func Text(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Found returns the set of what the expression's first group matches.
func Found(expression, text string) map[string]bool {
	set := map[string]bool{}
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		set[match[1]] = true
	}
	return set
}

// Missing returns what is in the one set and not in the other, sorted.
func Missing(from, in map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(from)), func(name string) bool { return in[name] })
}

// Rule is a recording rule or an alert.
type Rule struct {
	Record        string
	Alert         string
	Expr          string
	For           string
	KeepFiringFor string `yaml:"keep_firing_for"`
	Labels        map[string]string
	Annotations   map[string]string
}

// ReadYAML reads a file strictly: a key that the type lacks is an error.
func ReadYAML(t *testing.T, path string, into any) {
	t.Helper()
	loader, err := yaml.NewLoader(strings.NewReader(Text(t, path)), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Rules returns the rules, by the name of the recorded series or of the alert.
func Rules(t *testing.T) map[string]Rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []Rule
		}
	}
	ReadYAML(t, RulesFile, &file)
	byName := map[string]Rule{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			name := r.Record + r.Alert
			if _, twice := byName[name]; twice {
				t.Errorf("%s has %s twice", RulesFile, name)
			}
			byName[name] = r
		}
	}
	return byName
}

// Alerts returns those of the rules that are alerts.
func Alerts(t *testing.T) map[string]Rule {
	t.Helper()
	found := Rules(t)
	maps.DeleteFunc(found, func(_ string, r Rule) bool { return r.Alert == "" })
	if len(found) == 0 {
		t.Fatalf("%s has no alerts", RulesFile)
	}
	return found
}
