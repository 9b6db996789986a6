package docs_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/repotest"
)

// TestDocsReadmeIsShort holds README.md to what is read in ten minutes, with a way to every other document.
func TestDocsReadmeIsShort(t *testing.T) {
	readme := repotest.Text(t, "README.md")
	if size := len(readme); size > 12<<10 {
		t.Errorf("README.md has %d bytes, want 12 KiB at most: the rest belongs into docs/", size)
	}
	linked := repotest.Found(`\]\(([^)#:]+\.md)[^)]*\)`, readme)
	linked["README.md"] = true
	linked["docs/remote-write-compliance.md"] = strings.Contains(repotest.Text(t, "docs/remote-write.md"), "(remote-write-compliance.md)")
	chinese := repotest.Found(`\]\(([^)#:]+\.md)[^)]*\)`, repotest.Text(t, "README.zh-CN.md"))
	for _, path := range documents(t) {
		links := linked
		if strings.HasPrefix(path, "docs/zh/") {
			links = chinese
		}
		if !links[path] {
			t.Errorf("README has no link to %s", path)
		}
	}
	if !chinese["README.md"] {
		t.Error("README.zh-CN.md has no link to README.md")
	}
}

func TestDocsPointToWhatExists(t *testing.T) {
	targets := repotest.Found(`(?m)^([a-z-]+):`, repotest.Text(t, "Makefile"))
	for _, path := range documents(t) {
		text := repotest.Text(t, path)
		if names := repotest.Missing(repotest.Found("(?:`|(?m)^)make ([a-z-]+)", text), targets); len(names) > 0 {
			t.Errorf("%s names the targets %q, which the Makefile lacks", path, names)
		}
		if names := repotest.Missing(repotest.Found(`\]\(#([^)]*)\)`, text), headings(text)); len(names) > 0 {
			t.Errorf("%s points to the headings %q, which it lacks", path, names)
		}
		for target := range repotest.Found(`\]\(([^#)][^):]*)\)`, text) {
			file, anchor, _ := strings.Cut(target, "#")
			file = filepath.Join(filepath.Dir(path), file)
			if !repotest.Exists(t, file) {
				t.Errorf("%s points to %s, which does not exist", path, target)
			} else if anchor != "" && !headings(repotest.Text(t, file))[anchor] {
				t.Errorf("%s points to %s, which lacks that heading", path, target)
			}
		}
	}
}

// headings returns the anchors of a document.
func headings(text string) map[string]bool {
	notInAnchor := regexp.MustCompile(`[^\pL\pN _-]`)
	anchors := map[string]bool{}
	for heading := range repotest.Found(`(?m)^#+ (.*)$`, text) {
		anchors[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")] = true
	}
	return anchors
}

// TestDocsDependencies demands a reason for each module that the program or its tests import.
func TestDocsDependencies(t *testing.T) {
	_, table, _ := strings.Cut(repotest.Text(t, "CONTRIBUTING.md"), "| module | for |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, "|")
		for name := range repotest.Found("`([^`]+)`", cells[1]) {
			named = append(named, name)
		}
	}
	direct := repotest.Found(`(?m)^\t(\S+) v\S+$`, repotest.Text(t, "go.mod"))
	if len(direct) == 0 || len(named) < len(direct) {
		t.Errorf("CONTRIBUTING.md names %d modules, go.mod has %d", len(named), len(direct))
	}
	for module := range direct {
		if !slices.ContainsFunc(named, func(name string) bool { return strings.HasSuffix(module, "/"+name) || module == name }) {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", module)
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(direct)), func(module string) bool { return strings.HasSuffix(module, "/"+name) || module == name }) {
			t.Errorf("CONTRIBUTING.md names %s, which go.mod does not have", name)
		}
	}
}
