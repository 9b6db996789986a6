package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsReadmeIsShort holds README.md to what is read in ten minutes, with a way to every other document.
func TestDocsReadmeIsShort(t *testing.T) {
	readme := document(t, "README.md")
	if size := len(readme); size > 12<<10 {
		t.Errorf("README.md has %d bytes, want 12 KiB at most: the rest belongs into docs/", size)
	}
	linked := found(`\]\(([^)#:]+\.md)[^)]*\)`, readme)
	linked["README.md"] = true
	linked["docs/remote-write-compliance.md"] = strings.Contains(document(t, "docs/remote-write.md"), "(remote-write-compliance.md)")
	for _, path := range documents(t) {
		if !linked[path] {
			t.Errorf("README.md has no link to %s", path)
		}
	}
}

func TestDocsPointToWhatExists(t *testing.T) {
	targets := found(`(?m)^([a-z]+):`, document(t, "Makefile"))
	for _, path := range documents(t) {
		text := document(t, path)
		if names := missing(found("(?:`|(?m)^)make ([a-z]+)", text), targets); len(names) > 0 {
			t.Errorf("%s names the targets %q, which the Makefile lacks", path, names)
		}
		if names := missing(found(`\]\(#([^)]*)\)`, text), headings(text)); len(names) > 0 {
			t.Errorf("%s points to the headings %q, which it lacks", path, names)
		}
		for target := range found(`\]\(([^#)][^):]*)\)`, text) {
			file, anchor, _ := strings.Cut(target, "#")
			file = filepath.Join(filepath.Dir(path), file)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s points to %s: %v", path, target, err)
			} else if anchor != "" && !headings(document(t, file))[anchor] {
				t.Errorf("%s points to %s, which lacks that heading", path, target)
			}
		}
	}
}

// headings returns the anchors of a document.
func headings(text string) map[string]bool {
	notInAnchor := regexp.MustCompile(`[^a-z0-9 -]`)
	anchors := map[string]bool{}
	for heading := range found(`(?m)^#+ (.*)$`, text) {
		anchors[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")] = true
	}
	return anchors
}
