// Package repotest reads files of the repository for tests that compare them with each other and with the program.
// Paths are relative to the top of the repository, whichever package a test is in.
package repotest

import (
	"maps"
	"os"
	"path/filepath"
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

// Path returns the path of a file at the top of the repository, for a test of any package. It is relative, and the
// working directory stays that of the package, because the cache of the go command looks there for the files
// that a test has read.
func Path(t *testing.T, path string) string {
	t.Helper()
	top := "."
	for range maxDepth {
		if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
			return filepath.Join(top, path)
		}
		top = filepath.Join(top, "..")
	}
	t.Fatal("the top of the repository was not found")
	return ""
}

// Text returns the text of a file.
func Text(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(Path(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Exists reports whether there is a file or folder.
func Exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(Path(t, path))
	return err == nil
}

// Glob returns the paths that the pattern matches, of which there must be one.
func Glob(t *testing.T, pattern string) []string {
	t.Helper()
	top := Path(t, ".")
	matches, err := filepath.Glob(filepath.Join(top, pattern))
	if err != nil || len(matches) == 0 {
		t.Fatalf("%s matches %q: %v", pattern, matches, err)
	}
	for i := range matches {
		if matches[i], err = filepath.Rel(top, matches[i]); err != nil {
			t.Fatal(err)
		}
	}
	return matches
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
	return RulesIn(t, RulesFile)
}

// RulesIn returns the rules of another file.
func RulesIn(t *testing.T, path string) map[string]Rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []Rule
		}
	}
	ReadYAML(t, path, &file)
	byName := map[string]Rule{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			name := r.Record + r.Alert
			if _, twice := byName[name]; twice {
				t.Errorf("%s has %s twice", path, name)
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
