package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/weixin/datacube"
)

// demoAccounts returns the accounts of the demonstration with traffic, and the one without the right to figures.
func demoAccounts() ([]string, string) {
	return []string{"corner-cafe", "news", "shop", "support-bot"}, "not-verified"
}

// demoQuiet is the account of the demonstration without traffic.
const demoQuiet = "festival"

// runDemo starts the demonstration, with optional flags, and waits until it is complete.
func runDemo(t *testing.T, args ...string) *exporter {
	t.Helper()
	withinADay(t)
	x := runExporter(t, append([]string{"demo"}, args...)...)
	known, refused := demoAccounts()
	eventually(t, "the demonstration to be complete", func() error {
		got := x.metrics(t)
		for _, api := range apis() {
			for _, name := range known {
				if days := got[series("weixin_store_known_dates", "account", name, "api", api)]; days < history {
					return fmt.Errorf("%s, %s: %v days", name, api, days)
				}
			}
			if days := got[series("weixin_store_known_dates", "account", demoQuiet, "api", api)]; days < quietDays {
				return fmt.Errorf("%s, %s: %v days", demoQuiet, api, days)
			}
			if got[series("weixin_refresh_failures_total", "account", refused, "api", api, "reason", "permission")] != 1 {
				return fmt.Errorf("%s, %s: no failure for permission", refused, api)
			}
		}
		return nil
	})
	return x
}

func TestDemo(t *testing.T) {
	t.Parallel()
	x := runDemo(t)
	want := fmt.Sprintf(`
A simulated Weixin with 6 accounts and a month of history; nothing leaves this machine.

  Overview   %[1]s/
  Metrics    %[1]s/metrics
  History    %[1]s, as a data source of Grafana, type Prometheus

Stop it with Ctrl-C; it writes no file.

`, x.base)
	x.waitLine(t, x.stdout, 0, "Stop it with Ctrl-C")
	if got := x.stdout.String(); got != want {
		t.Errorf("stdout is\n%s\nwant\n%s", mask(got), want)
	}

	known, refused := demoAccounts()
	got := x.metrics(t)
	all := append(slices.Clone(known), refused, demoQuiet)
	slices.Sort(all)
	if names := accountsIn(got); !slices.Equal(names, all) {
		t.Errorf("accounts %q, want %q", names, all)
	}
	sizes := map[float64]bool{}
	for _, name := range known {
		callbacks := got[series("weixin_interface_daily_callbacks", "account", name)]
		sizes[callbacks] = true
		if callbacks <= 0 {
			t.Errorf("%s has no callbacks", name)
		}
		for hour := range datacube.HoursPerDay {
			if _, ok := got[series("weixin_interface_hourly_callbacks", "account", name, "hour", fmt.Sprintf("%02d", hour))]; !ok {
				t.Errorf("%s: hour %02d is missing", name, hour)
			}
		}
	}
	if len(sizes) != len(known) {
		t.Error("the accounts are not of different size")
	}
	ratio := got[series("weixin_interface_daily_failures", "account", "support-bot")] /
		got[series("weixin_interface_daily_callbacks", "account", "support-bot")]
	slowest := got[series("weixin_interface_daily_max_time_cost_seconds", "account", "support-bot")]
	if ratio < 0.02 || slowest < 4.99 || slowest > 5.1 { // Weixin waits for 5 s, give or take some milliseconds
		t.Errorf("yesterday's incident shows %.2f %% failures and a maximum of %v s; want more than 2 %% and about 5 s", 100*ratio, slowest)
	}
	for key := range got {
		if strings.HasPrefix(key, "weixin_interface_") && strings.Contains(key, refused) {
			t.Errorf("the account that is not authorized has %s", key)
		}
	}
	if got[series("weixin_api_requests_total", "api", "daily", "errcode", "48001")] != 1 {
		t.Error("errcode 48001 is not counted once")
	}

	x.stop(t, syscall.SIGINT)
	checkEmpty(t, x.cmd.Dir)
}

// The demonstration prints its URLs once, for all addresses, and after the log of its start.
func TestDemoPrintsItsURLsLast(t *testing.T) {
	t.Parallel()
	// Both streams are combined, as on a terminal.
	all := newStream()
	cmd := exec.CommandContext(t.Context(), suite.binary, "demo", "--web.route-prefix=weixin",
		"--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.2:0")
	cmd.Dir, cmd.Env = t.TempDir(), environment(t.TempDir())
	cmd.Stdout, cmd.Stderr = all, all
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the URLs", func() error {
		if !strings.Contains(all.String(), "Stop it with Ctrl-C") {
			return errNotYet
		}
		return nil
	})
	log, banner, _ := strings.Cut(all.String(), "A simulated Weixin")
	for part, want := range map[string]int{"Listening on": 2, "figures of yesterday received": 8, "errcode=48001": 1} {
		if n := strings.Count(log, part); n < want {
			t.Errorf("%d lines with %q precede the URLs, want %d:\n%s", n, part, want, mask(log))
		}
	}
	if !regexp.MustCompile(`  Overview   http://127\.0\.0\.1:\d+/weixin/\n  Metrics    http://127\.0\.0\.1:\d+/weixin/metrics\n  History    http://127\.0\.0\.1:\d+/weixin, as a data source of Grafana, type Prometheus\n  Overview   http://127\.0\.0\.2:`).MatchString(banner) {
		t.Errorf("the URLs of both addresses are not printed:\n%s", banner)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(all.String(), "A simulated Weixin"); n != 1 {
		t.Errorf("the URLs are printed %d times", n)
	}
}

// checkEmpty fails unless a folder is empty.
func checkEmpty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s was left behind", entry.Name())
	}
}

// lintFound is the exit code of promtool for a valid exposition with lint problems.
const lintFound = 3

func TestPromtoolFindsNoProblems(t *testing.T) {
	t.Parallel()
	promtool := program(t, "PROMTOOL", "promtool")
	x := runDemo(t)
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(x.get(t, "/metrics").body)
	out, err := cmd.CombinedOutput()
	// The metric counts days, which promtool takes to be a unit.
	remarks := strings.TrimSpace(strings.ReplaceAll(string(out), `weixin_refresh_inconsistent_days use base unit "seconds" instead of "days"`, ""))
	if remarks != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, mask(remarks))
	}
	if code, err := exitCode(err); err != nil || code != 0 && code != lintFound {
		t.Errorf("promtool check metrics ended with code %d: %v", code, err)
	}
}
