//go:build unix

package weixin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// The arguments of the process that crashes, and its points in addition to the steps of a Save.
const (
	crashAt   = "WEIXIN_TEST_CRASH_AT"
	crashDir  = "WEIXIN_TEST_CRASH_DIR"
	crashBase = "WEIXIN_TEST_CRASH_BASE"

	crashBeforeAnswer = "answer"
	crashAfterSave    = "access token"
	crashAfterCall    = "call"
)

// crash kills this process, as a loss of power would, if it should end at point.
func crash(point string) {
	if os.Getenv(crashAt) == point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

// platformSource is the source of a simulated platform's account, with the files in dir.
func platformSource(base, dir string, transport http.RoundTripper, step func(string)) (*weixin.Client, weixin.TokenSource) {
	client := clientOn(transport, func(o *weixin.Options) { o.BaseURL = base })
	file := weixin.NewRefreshTokenFile(filepath.Join(dir, "refresh"))
	file.BeforeStep = step
	return client, authorizerFor(client, onPlatformID, weixin.FileToken(filepath.Join(dir, "component"), weixin.TokenFormat{}), file)
}

// useToken gets an access token and makes a call with it, with a point between the two.
func useToken(t *testing.T, client *weixin.Client, source weixin.TokenSource, point func(string)) {
	t.Helper()
	token, err := source.Fetch(t.Context())
	if err != nil {
		t.Error("no access token:", err)
		return
	}
	point(crashAfterSave)
	day := date(t, "2026-11-19")
	if _, err := client.Account(fixed(token.Text.Reveal())).InterfaceSummary(t.Context(), day, day); err != nil {
		t.Error("the access token is refused:", err)
	}
}

// TestProcessThatCrashes is a part of TestCrashDuringRotation, which runs it in a process of its own.
func TestProcessThatCrashes(t *testing.T) {
	if os.Getenv(crashAt) == "" {
		t.Skip("only within TestCrashDuringRotation")
	}
	answered := roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := http.DefaultTransport.RoundTrip(r)
		crash(crashBeforeAnswer)
		return response, err
	})
	client, source := platformSource(os.Getenv(crashBase), os.Getenv(crashDir), answered, crash)
	useToken(t, client, source, crash)
	crash(crashAfterCall)
}

// TestCrashDuringRotation ends a process between every two steps of getting an access token
// that comes with another refresh token. Each time the file has either token, complete, and the
// next process works with it.
func TestCrashDuringRotation(t *testing.T) {
	t.Parallel()
	points := slices.Concat([]string{crashBeforeAnswer}, saveSteps, []string{crashAfterSave, crashAfterCall})
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := simulate(t)
			s.RotateRefreshTokens(true)
			server := httptest.NewServer(s.Server)
			defer server.Close()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "component"), s.ComponentToken(thePlatform))
			before := s.RefreshToken(onPlatformID)
			path := write(t, filepath.Join(dir, "refresh"), before)

			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessThatCrashes$")
			child.Env = append(os.Environ(), crashAt+"="+point, crashDir+"="+dir, crashBase+"="+server.URL)
			output, err := child.CombinedOutput()
			if !killed(err) {
				t.Fatalf("the process was not killed; it ended with %v after %d bytes of output", err, len(output))
			}

			after := s.RefreshToken(onPlatformID)
			held := strings.TrimSpace(read(t, path))
			renamed := slices.Index(points, point) > slices.Index(points, files.StepRename)
			if after == before || held != before && held != after || (held == after) != renamed {
				t.Errorf("the file has the refresh token from before: %t, from after: %t", held == before, held == after)
			}
			for start := range 2 {
				client, source := platformSource(server.URL, dir, http.DefaultTransport, nil)
				useToken(t, client, source, func(string) {})
				if read(t, path) != s.RefreshToken(onPlatformID)+"\n" {
					t.Errorf("start %d: the file does not have the last refresh token", start)
				}
			}
			if got := names(t, dir); !slices.Equal(got, []string{"component", "refresh"}) {
				t.Errorf("the folder has %q", got)
			}
		})
	}
}

// TestProcessWithoutSpace is a part of TestNoSpaceForTheRefreshToken, which runs it in a process of its own.
func TestProcessWithoutSpace(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" || os.Getenv(crashAt) != "" {
		t.Skip("only within TestNoSpaceForTheRefreshToken")
	}
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 4 // bytes of each file
	file := weixin.NewRefreshTokenFile(filepath.Join(dir, "refresh"))
	file.BeforeStep = func(step string) {
		if step == files.StepFill {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
				t.Error(err)
			}
		}
	}
	err := file.Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh))
	_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) // for what the test binary writes at its end
	if !errors.Is(err, syscall.EFBIG) || !strings.HasSuffix(err.Error(), "refresh: write: file too large") {
		t.Errorf("got %v", err)
	}
}

func TestNoSpaceForTheRefreshToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "refresh"), firstRefresh)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessWithoutSpace$", "-test.v")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	output, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "PASS: TestProcessWithoutSpace") {
		t.Errorf("the process ended with %v:\n%s", err, output)
	}
	if read(t, path) != firstRefresh || len(names(t, dir)) != 1 {
		t.Errorf("the old refresh token is lost, or the folder has %q", names(t, dir))
	}
}

// killed reports whether err is that of a process that SIGKILL has ended.
func killed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
