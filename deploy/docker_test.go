package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/internal/repotest"
)

// TestDockerfile checks of the image what can be checked without building it.
func TestDockerfile(t *testing.T) {
	text := repotest.Text(t, "Dockerfile")
	ignored := repotest.Text(t, ".dockerignore")
	stages := strings.Split(text, "\nFROM ")
	final := stages[len(stages)-1]
	if !strings.HasPrefix(final, "${BASE_IMAGE}\n") || !strings.Contains(stages[0], "\nARG BASE_IMAGE=scratch\n") || strings.Contains(final, "\nRUN ") {
		t.Error("the final image is not made of files alone")
	}
	for _, want := range []string{
		"\nUSER 65532:65532\n",
		"\nENTRYPOINT [\"/bin/weixin_exporter\"]\n",
		"CMD [\"/bin/weixin_exporter\", \"healthcheck\"]\n",
		"/etc/ssl/certs/ca-certificates.crt",
		"\nCOPY --from=build /empty /var/lib\nCOPY --from=build --chown=65532:65532 /empty /var/lib/weixin_exporter\n",
	} {
		if !strings.Contains(final, want) {
			t.Errorf("the final image lacks %q", want)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		sources, found := strings.CutPrefix(line, "COPY ")
		if !found || strings.Contains(line, "--from=") {
			continue
		}
		fields := strings.Fields(sources)
		for _, source := range fields[:len(fields)-1] {
			if !repotest.Exists(t, source) {
				t.Errorf("%s: there is no %s", line, source)
			}
			if regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(source) + `$`).MatchString(ignored) {
				t.Errorf("%s: .dockerignore leaves it out", line)
			}
		}
	}
	makefile := repotest.Text(t, "Makefile")
	if strings.Contains(text, "RUN make build") && !strings.Contains(makefile, "-o build/weixin_exporter") {
		t.Error("make build does not write what the image copies")
	}
	module := repotest.Text(t, "go.mod")
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(module)
	if !strings.Contains(text, "\nARG BUILD_IMAGE=golang:"+version[1]) {
		t.Errorf("the image is not built with the Go version of go.mod, %s", version[1])
	}
}
