package exportertest_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
)

func TestMain(m *testing.M) {
	exportertest.Main()
	os.Exit(m.Run())
}

func TestClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2050, 3, 1, 12, 0, 0, 0, time.UTC)
	c := exportertest.NewClock(t, start)
	within := func(want time.Time) {
		t.Helper()
		if got := c.Now().Sub(want); got < 0 || got > time.Hour {
			t.Errorf("the clock is %v after %v", got, want)
		}
	}
	within(start)
	c.Pass(t, 24*time.Hour)
	within(start.Add(24 * time.Hour))
	c.Set(t, -72*time.Hour)
	within(start.Add(-48 * time.Hour))
}

// command returns an exporter with an account whose Weixin does not answer.
func command(t *testing.T, start time.Time) *exec.Cmd {
	t.Helper()
	const text = `
accounts: [{name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-0123456789abcdef0123456}]
weixin: {base_url: "http://127.0.0.1:1"}
store: {path: ""}
`
	config := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, err := exportertest.Command(exportertest.NewClock(t, start), "--config.file="+config, "--web.listen-address=127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A process has the clock of the test, by which it logs.
func TestCommand(t *testing.T) {
	t.Parallel()
	cmd := command(t, time.Date(2050, 5, 6, 12, 0, 0, 0, time.UTC))
	logged, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(logged); !lines.Scan() || !strings.HasPrefix(lines.Text(), "ts=2050-05-06T12:") {
		t.Errorf("the log begins with %q", lines.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}

// A process ends when its input has ended, as it does when the process of the test was killed.
func TestCommandEndsWithItsParent(t *testing.T) {
	t.Parallel()
	cmd := command(t, time.Date(2050, 3, 1, 12, 0, 0, 0, time.UTC))
	cmd.Stdin = strings.NewReader("")
	output, err := cmd.CombinedOutput()
	if err == nil || !regexp.MustCompile(`the process of the test has ended\n`).Match(output) {
		t.Errorf("%v: %s", err, output)
	}
}
