package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// A binary built with "go build" only has a version, in --version and in its User-Agent.
func TestVersionOfAPlainBuild(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "weixin_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "weixin_exporter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in make build, which has compiled all packages
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	x := start(t, binary, "--version")
	<-x.ended
	found := regexp.MustCompile(`^weixin_exporter, version (v\d\S*|[0-9a-f]{12}(?:-dirty)?|devel) `).FindStringSubmatch(x.stdout.String())
	if found == nil {
		t.Fatalf("--version prints %q", x.stdout.String())
	}

	var agent atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent.Store(r.UserAgent())
		http.Error(w, "closed", http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, "accounts: [{name: shop, app_id: wx0123456789abcdef, app_secret: "+secretMarker+"of-the-shop}]\nweixin: {base_url: '"+server.URL+"'}\n")
	cmd := exec.CommandContext(t.Context(), binary, "check", "--online", "--config.file="+file)
	cmd.Dir, cmd.Env = t.TempDir(), environment(t.TempDir())
	if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), "503") {
		t.Fatalf("check --online: %v\n%s", err, mask(string(out)))
	}
	if want := "weixin_exporter/" + found[1]; agent.Load() != want {
		t.Errorf("the User-Agent is %q, want %q", agent.Load(), want)
	}
}
