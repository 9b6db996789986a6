package e2e_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// controlGroup makes a control group with a limit of memory, and returns its folder. The test is skipped where that is not
// allowed.
func controlGroup(t *testing.T, limit int64) string {
	t.Helper()
	group, err := newControlGroup(t, limit)
	if err != nil {
		t.Skip(err)
	}
	return group
}

// newControlGroup is the same with an error where none can be made.
func newControlGroup(t *testing.T, limit int64) (string, error) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	parent, file := "", ""
	for line := range strings.Lines(string(own)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3) //nolint:mnd // hierarchy, controllers, path
		switch {
		case part[1] == "memory": // version 1
			parent, file = "/sys/fs/cgroup/memory"+part[2], "memory.limit_in_bytes"
		case part[0] == "0" && parent == "":
			parent, file = "/sys/fs/cgroup"+part[2], "memory.max"
		}
	}
	folder, err := os.MkdirTemp(parent, "weixin_exporter_") //nolint:usetesting // a control group, not a folder for files
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(folder, file), []byte(strconv.FormatInt(limit, 10)), 0o600); err != nil {
		return "", err
	}
	return folder, nil
}

// inGroup returns a command that is executed in a control group.
func inGroup(group string, command ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, group}, command...)...)
}

// TestMemoryLimit: Go's runtime gets 80 % of the memory of the control group.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 30
	group := controlGroup(t, limit)
	w := newFixture(t, newAccount("shop", 1, 9000))
	p := startCommand(t, inGroup(group, suite.binary, "--config.file="+w.config, "--web.listen-address=127.0.0.1:0"))
	x := &exporter{process: p, web: newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
	x.waitReady(t)
	const want = limit * 8 / 10
	if got := x.metrics(t)["go_gc_gomemlimit_bytes"]; int64(got) != want {
		t.Errorf("the limit is %v, want %v", got, want)
	}
	x.stop(t, syscall.SIGTERM)
}
