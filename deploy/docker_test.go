package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDockerfile checks of the image what can be checked without building it.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	final := stages[len(stages)-1]
	if !strings.HasPrefix(final, "${BASE_IMAGE}\n") || !strings.Contains(stages[0], "\nARG BASE_IMAGE=scratch\n") || strings.Contains(final, "\nRUN ") {
		t.Error("the final image is not made of files alone")
	}
	for _, want := range []string{
		"\nUSER 65532:65532\n",
		"\nENTRYPOINT [\"/bin/weixin_exporter\"]\n",
		"CMD [\"/bin/weixin_exporter\", \"healthcheck\"]\n",
		"/etc/ssl/certs/ca-certificates.crt",
	} {
		if !strings.Contains(final, want) {
			t.Errorf("the final image lacks %q", want)
		}
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		sources, found := strings.CutPrefix(line, "COPY ")
		if !found || strings.Contains(line, "--from=") {
			continue
		}
		fields := strings.Fields(sources)
		for _, source := range fields[:len(fields)-1] {
			if _, err := os.Stat(source); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(source) + `$`).Match(ignored) {
				t.Errorf("%s: .dockerignore leaves it out", line)
			}
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "RUN make build") && !strings.Contains(string(makefile), "-o build/weixin_exporter") {
		t.Error("make build does not write what the image copies")
	}
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if !strings.Contains(string(text), "\nARG BUILD_IMAGE=golang:"+string(version[1])) {
		t.Errorf("the image is not built with the Go version of go.mod, %s", version[1])
	}
}
