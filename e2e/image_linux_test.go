package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// imageUser is the user as whom the image runs, and its group.
const imageUser = 65532

// image is a container image with folders of the host for its configuration and its volume.
type image struct {
	run                 []string // a command that runs a program in it
	configuration, data string
	settings            imageSettings
}

// imageSettings are what an image says of how it is run.
type imageSettings struct {
	User        string
	Entrypoint  []string
	Cmd         []string
	WorkingDir  string
	Volumes     map[string]struct{}
	Healthcheck struct{ Test []string }
	Labels      map[string]string
}

// newImage returns the image that scripts/image.sh has built. It skips the test if there is none.
func newImage(t *testing.T) *image {
	t.Helper()
	run, settings := os.Getenv("IMAGE_RUN"), os.Getenv("IMAGE_SETTINGS")
	if run == "" || settings == "" {
		t.Skip("make image-test builds the image that this test runs")
	}
	i := &image{run: strings.Fields(run), configuration: t.TempDir(), data: t.TempDir()}
	if err := json.Unmarshal([]byte(readFile(t, settings)), &i.settings); err != nil {
		t.Fatal(err)
	}
	i.own(t, i.data)
	return i
}

// own gives a file to the image's user alone.
func (i *image) own(t *testing.T, path string) {
	t.Helper()
	if err := os.Chown(path, imageUser, imageUser); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// put writes a file into the folder of the configuration.
func (i *image) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(i.configuration, name)
	writeFile(t, path, text)
	i.own(t, path)
}

// start runs a command in the image.
func (i *image) start(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	all := append(append(append([]string{}, i.run...), i.configuration, i.data), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Env = variables
	return startCommand(t, cmd)
}

// serve runs a command of the exporter in the image and waits until it listens.
func (i *image) serve(t *testing.T, args ...string) *exporter {
	t.Helper()
	p := i.start(t, nil, append(append([]string{}, i.settings.Entrypoint...), args...)...)
	return &exporter{process: p, web: newWeb(t, &url.URL{Scheme: "http", Host: p.listensOn(t)})}
}

// finish runs a command of the exporter in the image to its end.
func (i *image) finish(t *testing.T, args ...string) finished {
	t.Helper()
	return ended(i.start(t, nil, append(append([]string{}, i.settings.Entrypoint...), args...)...))
}

// health runs the image's health check for an exporter that listens on an address.
func (i *image) health(t *testing.T, address string) finished {
	t.Helper()
	return ended(i.start(t, []string{"WEIXIN_EXPORTER_WEB_LISTEN_ADDRESS=" + address}, i.settings.Healthcheck.Test[1:]...))
}

// stop sends SIGTERM to the exporter, as a runtime does: buildah does not pass it on. It fails unless the exporter ends in time
// and with code 0, which buildah returns.
func (i *image) stop(t *testing.T, x *exporter) {
	t.Helper()
	if err := syscall.Kill(descendant(t, x.cmd.Process.Pid, "weixin_exporter"), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), exitTime)
	defer cancel()
	select {
	case <-x.ended:
	case <-ctx.Done():
		t.Fatalf("still running %v after SIGTERM:\n%s", exitTime, mask(x.stderr.String()))
	}
	if code := x.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM:\n%s", code, mask(x.stderr.String()))
	}
}

// ended waits for the end of a process whose exit code is the caller's to judge.
func ended(p *process) finished {
	<-p.ended
	p.killed = true
	return finished{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// TestImage runs the image as its settings say, with a root file system that cannot be written and without capabilities.
func TestImage(t *testing.T) {
	i := newImage(t)
	const program, folder = "/bin/weixin_exporter", "/var/lib/weixin_exporter"
	want := imageSettings{
		User: "65532:65532", Entrypoint: []string{program}, Cmd: []string{"--config.file=/etc/weixin_exporter/config.yml"},
		WorkingDir: folder, Volumes: map[string]struct{}{folder: {}}, Labels: i.settings.Labels,
	}
	want.Healthcheck.Test = []string{"CMD", program, "healthcheck"}
	if diff := cmp.Diff(want, i.settings); diff != "" {
		t.Fatal(diff)
	}
	version := i.settings.Labels["org.opencontainers.image.version"]
	if got := i.finish(t, "--version"); got.code != 0 || version == "" || !strings.Contains(got.stdout+got.stderr, "version "+version+" ") {
		t.Errorf("the version %q: %+v", version, got)
	}
	t.Run("serve", func(t *testing.T) { checkImageServes(t, i, folder) })
	t.Run("demo", func(t *testing.T) { checkImageDemo(t, i) })
}

// checkImageServes runs all that an operator runs in the image, with a simulated Weixin.
func checkImageServes(t *testing.T, i *image, folder string) {
	t.Helper()
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("quiet", 2, 0))
	shop := w.accounts[0]
	i.put(t, "shop", shop.AppSecret+"\n")
	text := strings.Replace(w.yaml(w.accounts...), "app_secret: "+shop.AppSecret, "app_secret_file: shop", 1)
	i.put(t, "config.yml", strings.Replace(text, "path: store.db", "path: "+folder+"/weixin_exporter.db", 1))
	command := func(args ...string) finished { return i.finish(t, append(args, i.settings.Cmd...)...) }

	if got := command("check"); got.code != 0 {
		t.Fatalf("check: %+v", got)
	}
	x := i.serve(t, i.settings.Cmd...)
	w.waitComplete(t, x.web, w.accounts...)
	w.checkFigures(t, x.metrics(t), w.accounts...)
	checkConfined(t, x.cmd.Process.Pid, folder)
	if got := i.health(t, x.base.Host); got.code != 0 {
		t.Errorf("the health check: %+v", got)
	}

	const days = 60
	if got := command("backfill", "--since="+daysAgo(days)); got.code != 0 || !strings.Contains(got.stdout, "2 accounts:") {
		t.Errorf("backfill: %+v", got)
	}
	got := command("export", "--format=csv", "--period=daily", "--account=shop")
	if lines := strings.Count(got.stdout, "\n"); got.code != 0 || lines != days+1 && lines != days+2 {
		t.Errorf("export: %d lines for %d days, code %d: %s", lines, days, got.code, mask(got.stderr))
	}
	if got := command("export", "--format=csv", "--output="+folder+"/export.csv"); got.code != 0 {
		t.Errorf("export into the volume: %+v", got)
	}
	for _, path := range []string{"/export.csv", "/tmp/export.csv", "/etc/weixin_exporter/export.csv"} {
		got := command("export", "--format=csv", "--output="+path)
		if got.code != 1 || !strings.Contains(got.stderr, "read-only file system") && !strings.Contains(got.stderr, "no such file or directory") {
			t.Errorf("export to %s: %+v", path, got)
		}
	}
	i.stop(t, x)
	if got := i.health(t, x.base.Host); got.code != 1 {
		t.Errorf("the health check after the end: %+v", got)
	}
}

// checkImageDemo runs the demonstration, which needs neither configuration nor volume.
func checkImageDemo(t *testing.T, i *image) {
	t.Helper()
	x := i.serve(t, "demo")
	x.waitReady(t)
	if got := i.health(t, x.base.Host); got.code != 0 {
		t.Errorf("the health check: %+v", got)
	}
	if page := x.get(t, "/").body; !strings.Contains(page, "corner-cafe") {
		t.Error("the page does not show the demonstration")
	}
	i.stop(t, x)
}

// checkConfined fails unless the exporter that a process has started has no rights, and one folder to write to.
func checkConfined(t *testing.T, runner int, folder string) {
	t.Helper()
	pid := descendant(t, runner, "weixin_exporter")
	status := map[string]string{}
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/status", pid))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		status[key] = strings.TrimSpace(value)
	}
	ids := strings.Repeat(strconv.Itoa(imageUser)+"\t", 3) + strconv.Itoa(imageUser)
	for key, want := range map[string]string{
		"Uid": ids, "Gid": ids, "CapInh": noCapability, "CapPrm": noCapability, "CapEff": noCapability, "CapAmb": noCapability,
	} {
		if status[key] != want {
			t.Errorf("%s is %q, want %q", key, status[key], want)
		}
	}
	if groups := status["Groups"]; groups != "" && groups != strconv.Itoa(imageUser) {
		t.Errorf("the groups are %q", groups)
	}
	root := false
	for line := range strings.Lines(readFile(t, fmt.Sprintf("/proc/%d/mountinfo", pid))) {
		fields := strings.Fields(line) // proc(5): the fifth is the mount point, the sixth its options
		at, options := fields[4], ","+fields[5]+","
		root = root || at == "/"
		if at != folder && !ofTheRuntime(at) && !strings.Contains(options, ",ro,") {
			t.Errorf("%s can be written: %s", at, options)
		}
	}
	if !root {
		t.Error("there is no root file system among the mounts")
	}
}

// ofTheRuntime reports whether a mount is one that each container has from its runtime, and that belongs to root.
func ofTheRuntime(at string) bool {
	for _, own := range []string{"/proc", "/sys", "/dev", "/run"} {
		if at == own || strings.HasPrefix(at, own+"/") {
			return true
		}
	}
	return at == "/etc/hosts" || at == "/etc/hostname" || at == "/etc/resolv.conf"
}

// noCapability is an empty set of capabilities. The bounding set of buildah has that to change the user.
const noCapability = "0000000000000000"

// descendant returns the process ID of a program that a process, or one of those that it has started, has started.
func descendant(t *testing.T, pid int, name string) int {
	t.Helper()
	for left := []int{pid}; len(left) > 0; left = left[1:] {
		if strings.TrimSpace(readFile(t, fmt.Sprintf("/proc/%d/comm", left[0]))) == name {
			return left[0]
		}
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", left[0]))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			for child := range strings.FieldsSeq(readFile(t, task)) {
				id, err := strconv.Atoi(child)
				if err != nil {
					t.Fatal(err)
				}
				left = append(left, id)
			}
		}
	}
	t.Fatalf("%s has not been started", name)
	return 0
}
