// Package e2e_test tests the binary from outside: its command line, pages, signals and log, with a simulated Weixin
// and, if they are installed, a Prometheus and a browser.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/internal/racetest"
)

// The version of the binary, as shown by --version and on its pages.
const (
	stampedVersion  = "1.2.3-e2e"
	stampedRevision = "0123456789abcdef"
)

// suite is shared by all tests. TestMain sets it before the first test runs; the recorder is safe for concurrent use.
var suite struct {
	binary   string // the program under test
	recorder *recorder
	begun    sync.Map // the names of the tests that have passed withinADay
}

func TestMain(m *testing.M) {
	exportertest.Main()
	scraperMain()
	os.Exit(runSuite(m))
}

// runSuite builds the binary, runs the tests and then searches all recorded output for secrets.
func runSuite(m *testing.M) int {
	folder, err := os.MkdirTemp("", "weixin_exporter-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	suite.binary = filepath.Join(folder, "weixin_exporter")
	suite.recorder = &recorder{}
	if err := build(suite.binary, withRaceDetector()); err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		return 1
	}
	code := m.Run()
	if err := suite.recorder.save(artifacts("e2e")); err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		code = 1
	}
	for _, finding := range suite.recorder.findings() {
		fmt.Fprintln(os.Stderr, "--- FAIL: leak check:", finding)
		code = 1
	}
	return code
}

// wiring are the packages that hardly anything but the whole program runs. Those whose own tests cover them are not counted again:
// that would take a quarter of the processor time of the program.
const wiring = "weixin_exporter,weixin_exporter/internal/command,weixin_exporter/internal/exporter,weixin_exporter/internal/logging," +
	"weixin_exporter/internal/snapshot,weixin_exporter/internal/store,weixin_exporter/internal/store/engine,weixin_exporter/internal/strictyaml"

// build builds the binary, with the coverage of the wiring if GOCOVERDIR is set.
func build(target string, race bool) error {
	const version = "github.com/prometheus/common/version."
	args := []string{"build", "-o", target, "-ldflags",
		"-X " + version + "Version=" + stampedVersion + " -X " + version + "Revision=" + stampedRevision}
	if race {
		args = append(args, "-race")
	}
	if os.Getenv("GOCOVERDIR") != "" {
		args = append(args, "-cover", "-coverpkg="+wiring)
	}
	cmd := exec.Command("go", append(args, "weixin_exporter")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return nil
}

func withRaceDetector() bool { return racetest.Enabled() }

// program returns the path of a program that a test needs: that in the environment variable, or the one in
// PATH. Without it the test is skipped, or fails if E2E_REQUIRED is set.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	wanted := name
	if value := os.Getenv(variable); value != "" {
		wanted = value
	}
	path, err := exec.LookPath(wanted)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	switch {
	case err == nil:
		return path
	case os.Getenv("E2E_REQUIRED") != "":
		t.Fatalf("this test needs %s: install it, or name it with $%s: %v", name, variable, err)
	default:
		t.Skipf("this test needs %s; install it, or name it with $%s: %v", name, variable, err)
	}
	return ""
}

// artifacts returns the folder for files that a test produces, "" if they are not wanted. It is in the folder
// ARTIFACTS, which is relative to the root of the repository.
func artifacts(elements ...string) string {
	folder := os.Getenv("ARTIFACTS")
	if folder == "" {
		return ""
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join("..", folder)
	}
	return filepath.Join(append([]string{folder}, elements...)...)
}

// platform returns the platform as the binary shows it.
func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
