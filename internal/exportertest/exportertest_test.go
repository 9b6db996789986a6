package exportertest_test

import (
	"fmt"
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

// A process has the clock of the test, by which it logs. It says where it listens, and ends as it is told.
func TestProcess(t *testing.T) {
	t.Parallel()
	start := func() *exportertest.Process {
		return exportertest.Start(t, command(t, time.Date(2050, 5, 6, 12, 0, 0, 0, time.UTC)), t.TempDir())
	}
	killed := start()
	if address := killed.MustAddress(t); !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("it listens on %q", address)
	}
	if text := killed.Output(); !strings.HasPrefix(text, "ts=2050-05-06T12:") {
		t.Errorf("the log begins with %.40q", text)
	}
	if !killed.Kill() {
		t.Error("it had ended by itself")
	}
	if _, ok := killed.Address(nil); !ok {
		t.Error("its address is unknown after its end")
	}
	killed.Close(t)

	stopped := start()
	stopped.MustAddress(t)
	stopped.Stop(t)
	if stopped.Kill() {
		t.Error("a process that has ended was killed")
	}
	if _, ok := stopped.Await(regexp.MustCompile("(what it never writes)"), nil); ok {
		t.Error("what was not written was found")
	}
	stopped.Close(t)
}

// failures is a test that fails without an effect on the one that it is used in.
type failures struct {
	testing.TB

	found []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

func (f *failures) Failed() bool { return len(f.found) > 0 }

func (*failures) Logf(string, ...any) {}

// A process that fails, or writes what must not be written, is a failure of the test.
func TestProcessesAreExamined(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script, want string
	}{
		{"exit 0", ""},
		{"exit 3", "ended with code 3"},
		{"echo sim-''secret-1", `has written "sim-secret-"`},
		{"echo sim-''token-1", `has written "sim-token-"`},
		{"echo panic: oops", `has written "panic:"`},
		{"echo WARNING: DATA RACE", `has written "WARNING: DATA RACE"`},
	} {
		p := exportertest.Start(t, exec.Command("sh", "-c", c.script), t.TempDir())
		p.Finish(t)
		f := &failures{TB: t}
		p.Close(f)
		if found := strings.Join(f.found, "; "); (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q, want %q", c.script, found, c.want)
		}
	}
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
