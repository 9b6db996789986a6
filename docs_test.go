package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weixin_exporter/config"
	"weixin_exporter/secret"
	"weixin_exporter/snapshot"
	"weixin_exporter/store"
	"weixin_exporter/summary"
	"weixin_exporter/weixin"
)

// What the documents say is compared with what the program does.

// document returns the text of a file at the top of the repository.
func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block returns the first code block in the language whose text has all the marks in it.
func block(t *testing.T, text, language string, marks ...string) string {
	t.Helper()
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(marks, func(mark string) bool { return !strings.Contains(found[1], mark) }) {
			return found[1]
		}
	}
	t.Fatalf("no block in %s with %q", language, marks)
	return ""
}

// found returns the set of what the expression's first group matches.
func found(expression, text string) map[string]bool {
	set := map[string]bool{}
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		set[match[1]] = true
	}
	return set
}

// missing returns what is in the one set and not in the other, sorted.
func missing(from, in map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(from)), func(name string) bool { return in[name] })
}

func TestDocsMetrics(t *testing.T) {
	p := start(t, "demo", "--log.level=debug")
	// The history is asked for once both calls for yesterday are shown.
	p.output.wait(`account=shop .*purpose=history`)
	_, exposition := p.request(http.MethodGet, "/metrics")
	shown := found(`(?m)^# TYPE (weixin_\S+) `, exposition)
	readme := document(t, "README.md")
	if names := missing(shown, found("(?m)^\\| `(weixin_[a-z_]+)` \\|", readme)); len(names) > 0 {
		t.Errorf("the tables of README.md lack %q", names)
	}
	shown["weixin_exporter"] = true // the program
	for _, path := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		if names := missing(found(`\b(weixin_[a-z_]+)\b`, document(t, path)), shown); len(names) > 0 {
			t.Errorf("%s names %q, which the program does not show", path, names)
		}
	}
}

func TestDocsReasons(t *testing.T) {
	reasons := map[string]bool{}
	for reason := range snapshot.Reasons {
		reasons[reason.String()] = true
	}
	delete(reasons, weixin.NotReady.String()) // that is no failure
	_, table, _ := strings.Cut(document(t, "README.md"), "| reason | next attempt |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := map[string]bool{}
	for cell := range found(`(?m)^\| ([^|]*) \|`, table) {
		maps.Copy(documented, found("`([a-z_]+)`", cell))
	}
	if names := missing(reasons, documented); len(names) > 0 {
		t.Errorf("README.md does not say what follows the reasons %q", names)
	}
	if names := missing(documented, reasons); len(names) > 0 {
		t.Errorf("README.md names the reasons %q, which do not exist", names)
	}
}

func TestDocsFlags(t *testing.T) {
	flags := found(`(?m)^ +(?:-h, )?--(?:\[no-\])?([a-z.-]+)`, finish(t, time.Now, "--help").stdout)
	documented := found("(?m)^\\| `--([a-z.-]+)`", document(t, "README.md"))
	delete(flags, "help-long") // the text of --help itself tells of it
	if names := missing(flags, documented); len(flags) == 0 || len(names) > 0 {
		t.Errorf("README.md lacks the flags %q of %d", names, len(flags))
	}
	if names := missing(documented, flags); len(names) > 0 {
		t.Errorf("README.md names the flags %q, which do not exist", names)
	}
}

func TestDocsExampleConfiguration(t *testing.T) {
	text := block(t, document(t, "README.md"), "yaml", "accounts:", "app_secret:")
	if n := strings.Count(text, "\n"); n != 6 {
		t.Errorf("the example has %d lines, want 6", n)
	}
	cfg, err := config.Parse(filepath.Join(t.TempDir(), "config.yml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Accounts) != 1 || cfg.Accounts[0].AppSecret.IsZero() || len(cfg.Warnings()) > 0 {
		t.Errorf("the example is %+v with warnings %v, want one account with its secret and no warning", cfg, cfg.Warnings())
	}
}

// TestDocsErrcodes compares the table under Troubleshooting with the classes that the
// client gives to errcodes.
func TestDocsErrcodes(t *testing.T) {
	documented := map[int]string{}
	row := regexp.MustCompile("(?m)^\\| (-?[0-9]+(?:, -?[0-9]+)*) \\| (?:`([a-z_]+)`|\\(no failure\\)) \\|")
	for _, match := range row.FindAllStringSubmatch(document(t, "README.md"), -1) {
		for code := range strings.SplitSeq(match[1], ", ") {
			number, err := strconv.Atoi(code)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := documented[number]; twice {
				t.Errorf("README.md has two rows for errcode %d", number)
			}
			documented[number] = match[2]
		}
	}
	if len(documented) == 0 {
		t.Fatal("README.md has no errcodes")
	}
	classOf := classes(t)
	// The ranges in which Weixin's errcodes lie.
	for _, codes := range [][2]int{{-1, -1}, {40000, 50100}, {61000, 61600}, {89500, 89600}} {
		for code := codes[0]; code <= codes[1]; code++ {
			want := classOf(code)
			got, ok := documented[code]
			delete(documented, code)
			switch {
			case want == weixin.Unknown && !ok:
			case want == weixin.NotReady && ok && got == "":
			case want.String() != got:
				t.Errorf("README.md gives the reason %q to errcode %d, the client the class %s", got, code, want)
			}
		}
	}
	if len(documented) > 0 {
		t.Errorf("README.md has errcodes outside of Weixin's ranges: %v", documented)
	}
}

// classes returns a function that asks a client for the class of an errcode.
func classes(t *testing.T) func(code int) weixin.Class {
	t.Helper()
	var answer string
	client := weixin.NewClient(weixin.Options{
		BaseURL: "http://weixin.invalid",
		Now:     time.Now,
		HTTPClient: &http.Client{Transport: transport(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(answer))}
		})},
	})
	account := client.Account(token{})
	return func(code int) weixin.Class {
		answer = fmt.Sprintf(`{"errcode":%d,"errmsg":"no"}`, code)
		_, err := account.InterfaceSummaryHour(t.Context(), summary.FirstDate)
		if err == nil {
			t.Fatalf("errcode %d is no error", code)
		}
		return weixin.ClassOf(err)
	}
}

// transport answers requests without a network.
type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// token is a source that has one token for ever.
type token struct{}

func (token) Fetch(context.Context) (weixin.AccessToken, error) {
	return weixin.AccessToken{Text: secret.New("sim-token-documents"), Life: time.Hour}, nil
}

func TestDocsQuery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weixin_exporter.db")
	known, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	var hours summary.Hours
	hours[15] = summary.Figures{Callbacks: 200, Failures: 30, TimeCostMillis: 1000, MaxTimeCostMillis: 9}
	if _, err := known.Save(t.Context(), []store.Record{{
		AppID: "wx0123456789abcdef", API: summary.Hourly, Date: summary.FirstDate, Hourly: &hours,
		State: store.State{Status: store.Known, AskedAt: summary.FirstDate.End(), KnownAt: summary.FirstDate.End()},
	}}); err != nil {
		t.Fatal(err)
	}

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var appID, date string
	var hour, failures, callbacks, average int
	var percent float64
	row := db.QueryRowContext(t.Context(), block(t, document(t, "README.md"), "sql"))
	if err := row.Scan(&appID, &date, &hour, &failures, &callbacks, &percent, &average); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(appID, date, hour, failures, callbacks, percent, average)
	if want := fmt.Sprint("wx0123456789abcdef", "2014-12-01", 15, 30, 200, 15.0, 5); got != want {
		t.Errorf("the query finds %s, want %s", got, want)
	}
}

// TestDocsAlerts lets promtool check the example alerts. It skips without promtool, except
// where the end-to-end tests must not skip either.
func TestDocsAlerts(t *testing.T) {
	promtool, err := exec.LookPath(os.Getenv("PROMTOOL"))
	if err != nil {
		promtool, err = exec.LookPath("promtool")
	}
	switch {
	case err != nil && os.Getenv("E2E_REQUIRED") != "":
		t.Fatalf("this test needs promtool: install it, or name it with $PROMTOOL: %v", err)
	case err != nil:
		t.Skipf("this test needs promtool; install it, or name it with $PROMTOOL: %v", err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte(block(t, document(t, "README.md"), "yaml", "groups:")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", rules).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "SUCCESS: 3 rules found") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDocsPointToWhatExists(t *testing.T) {
	targets := found(`(?m)^([a-z]+):`, document(t, "Makefile"))
	notInAnchor := regexp.MustCompile(`[^a-z0-9 -]`)
	for _, path := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		text := document(t, path)
		if names := missing(found("(?:`|(?m)^)make ([a-z]+)", text), targets); len(names) > 0 {
			t.Errorf("%s names the targets %q, which the Makefile lacks", path, names)
		}
		anchors := map[string]bool{}
		for heading := range found(`(?m)^#+ (.*)$`, text) {
			anchors[strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")] = true
		}
		if names := missing(found(`\]\(#([^)]*)\)`, text), anchors); len(names) > 0 {
			t.Errorf("%s points to the headings %q, which it lacks", path, names)
		}
		for file := range found(`\]\(([^#)][^):]*)\)`, text) {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s points to %s: %v", path, file, err)
			}
		}
	}
}
