package e2e_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/datacube"
)

// TestCanaries: no secret of any field of the configuration is in a log at debug, a page, a metric, an answer of the API, a
// file of the store or the output of a command, while the calls fail in every way and the servers show the requests in their
// answers.
func TestCanaries(t *testing.T) {
	t.Parallel()
	w := newCanaryFixture(t)
	wanted := w.leak(t, inAFile)
	recordStore(t, w.folder)
	wanted.check(t)
}

// leak does all that could show a secret, with a store, and returns the secrets.
func (w *fixture) leak(t *testing.T, store string) *canaries {
	t.Helper()
	w.write(t, canaryConfig(t, w, newMirror(t, w), store))
	c, err := config.Load(w.config)
	if err != nil {
		t.Fatal(mask(err.Error()))
	}
	wanted := newCanaries(secretsIn(t, c))
	wanted.add("web.config.file", webPassword)
	wanted.add("web.config.file", webHash)
	w.put(t, "web.yml", "basic_auth_users:\n  "+webUser+": "+webHash+"\n")
	process := runExporter(t, "--config.file="+w.config, "--log.level=debug", "--web.enable-lifecycle", "--web.config.file="+w.path("web.yml"))
	x := canaryClient{t, process}
	for _, a := range w.accounts[1:] {
		process.logged(t, "account="+a.name+" ", "refresh failed")
	}
	for _, receiver := range c.RemoteWrite {
		process.logged(t, "endpoint=", receiver.Label(), "remote write")
	}
	eventually(t, "figures", func() error {
		if !strings.Contains(x.ask("GET", "/metrics").body, `weixin_interface_daily_callbacks{account="good"}`) {
			return errNotYet
		}
		return nil
	})
	for _, accept := range []string{asText, asOpenMetrics, asProtobuf} {
		x.ask("GET", "/metrics", "Accept", accept)
	}
	for _, a := range w.accounts {
		for _, debug := range []string{"", "&debug=true"} {
			x.ask("GET", "/probe?account="+url.QueryEscape(a.name)+debug)
		}
	}
	for _, path := range []string{
		"/config", "/sd", "/probe", "/probe?account=unknown", "/api/v1/query?query=" + url.QueryEscape("weixin_interface_daily_callbacks{"),
		"/api/v1/query?query=" + url.QueryEscape(`{__name__=~".+"}`), "/api/v1/query_range?query=up&start=1&end=0&step=1", "/api/v1/labels",
		"/api/v1/label/endpoint/values", "/api/v1/series?match[]=" + url.QueryEscape(`{account=~".+"}`), "/api/v1/status/config", "/api/v1/targets",
		"/api/v1/metadata", "/-/healthy", "/-/ready", "/no/such/page",
	} {
		x.ask("GET", path)
	}
	x.ask("POST", "/api/v1/read")
	x.ask("POST", "/-/reload")
	for _, language := range []string{"en", "zh"} {
		x.crawl("/?lang=" + language)
	}
	w.write(t, strings.ReplaceAll(readFile(t, w.config), "history: 2d", "history: two"))
	x.ask("POST", "/-/reload")
	finish(t, nil, "--config.file="+w.config, "check")
	w.write(t, strings.ReplaceAll(readFile(t, w.config), "history: two", "history: 2d"))
	recordProcess(t, process.cmd.Process.Pid)
	w.commands(t)

	// The stacks of all goroutines. Go shows the words of arguments, not what they point to.
	process.killed = true
	process.signal(t, syscall.SIGQUIT)
	<-process.ended
	if dump := process.stderr.String(); !strings.Contains(dump, "goroutine ") {
		t.Error("SIGQUIT shows no stacks")
	}
	return wanted
}

// commands runs the commands that read the configuration.
func (w *fixture) commands(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"check"}, {"--lang=zh", "check"}, {"check", "--online"}, {"--lang=zh", "check", "--online"}, {"check", "--online", "--output=json"},
		{"check", "--rid=6543b4a1-0a1b2c3d-4e5f6a7b", "--account=good"}, {"check", "--rid=6543b4a1-0a1b2c3d-4e5f6a7b", "--account=errcode"},
		{"export", "--format=openmetrics"}, {"export", "--format=csv"}, {"export", "--format=ndjson"},
		{"backfill", "--since=" + daysAgo(5), "--account=good", "--account=errcode"}, {"remote-write", "resend", "--since=" + daysAgo(5)},
		{"store", "backup", w.path("backup.db")}, {"store", "copy", "--while-running", "--to=" + w.path("copy.db")},
		{"store", "copy", "--to=" + storeURL("of-the-command-line")},
	} {
		got := finish(t, nil, append([]string{"--log.level=debug", "--config.file=" + w.config}, args...)...)
		if got.code == 2 || got.stdout+got.stderr == "" && args[0] != "store" {
			t.Errorf("%q exited with code %d: %s", args, got.code, mask(got.stderr))
		}
	}
}

// canaryClient asks an exporter that has a password, and fails for none of its answers.
type canaryClient struct {
	t *testing.T
	x *exporter
}

func (c canaryClient) ask(method, path string, headers ...string) response {
	c.t.Helper()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(webUser, webPassword)
	return c.x.ask(c.t, method, path, append(headers, "Authorization", r.Header.Get("Authorization"))...)
}

// crawl asks for a page and for all that its links lead to.
func (c canaryClient) crawl(path string) {
	c.t.Helper()
	link := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	seen := map[string]bool{}
	for left := []string{path}; len(left) > 0 && len(seen) < 60; left = left[1:] {
		from, err := url.Parse(left[0])
		if err != nil {
			c.t.Fatal(err)
		}
		if from.Fragment = ""; seen[from.String()] {
			continue
		}
		seen[from.String()] = true
		for _, found := range link.FindAllStringSubmatch(c.ask("GET", from.String()).body, -1) {
			to, err := from.Parse(strings.ReplaceAll(found[1], "&amp;", "&"))
			if err == nil && to.Host == "" {
				left = append(left, to.String())
			}
		}
	}
	if len(seen) < 20 {
		c.t.Errorf("%s leads to %d pages", path, len(seen))
	}
}

// recordProcess records what other users may read of a process.
func recordProcess(t *testing.T, pid int) {
	t.Helper()
	for _, name := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not on Linux
		}
		if err != nil {
			t.Fatal(err)
		}
		suite.recorder.record(t.Name(), name, string(text))
	}
}

// recordStore records the files of a store, and what commands have written next to it.
func recordStore(t *testing.T, folder string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if !strings.Contains(path, ".db") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			suite.recorder.record(t.Name(), filepath.Base(path), string(text))
			files++
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files of the store: %v", files, err)
	}
}

// daysAgo returns a day in the past.
func daysAgo(n datacube.Date) string { return (datacube.DateOf(clock()) - n).String() }
