package docs_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/collector"
	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/history"
	"weixin_exporter/internal/repotest"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// What the documents say is compared with what the program does.

// documents returns the paths of all documents for people.
func documents(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/zh/*.md", "deploy/*/README.md"} {
		paths = append(paths, repotest.Glob(t, pattern)...)
	}
	return paths
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

func TestDocsMetrics(t *testing.T) {
	// The metrics of a receiver are there whether it is or not.
	p := clitest.Start(t, "demo", "--log.level=debug", "--remote-write.url=http://127.0.0.1:9/api/v1/write")
	// The history is asked for once both calls for yesterday are shown.
	p.Output.Wait(`account=shop .*purpose=history`)
	_, exposition := p.Request(http.MethodGet, "/metrics")
	shown := repotest.Found(`(?m)^# TYPE (weixin_\S+) `, exposition)
	// What only some configurations show is described all the same.
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		collector.New(&snapshot.Latest{}).Describe(described)
		collector.NewSharing(nil).Describe(described)
	}()
	optional := 0
	for desc := range described {
		name := regexp.MustCompile(`fqName: "(weixin_[a-z_]+)"`).FindStringSubmatch(desc.String())
		if name == nil {
			t.Fatalf("no name in %v", desc)
		}
		if !shown[name[1]] {
			optional++
		}
		shown[name[1]] = true
	}
	if optional == 0 {
		t.Error("no optional metric is described, the quotas not among them")
	}
	tables := repotest.Text(t, "docs/metrics.md")
	if names := repotest.Missing(shown, repotest.Found("(?m)^\\| `(weixin_[a-z_]+)` \\|", tables)); len(names) > 0 {
		t.Errorf("the tables of docs/metrics.md lack %q", names)
	}
	shown["weixin_exporter"] = true // the program
	for _, family := range history.Families() {
		shown[family.Name] = true
	}
	shown["weixin_history_"] = true // what their names begin with
	shown["weixin_refresh_"], shown["weixin_api_"], shown["weixin_store_"], shown["weixin_exporter_"] = true, true, true, true
	for _, path := range documents(t) {
		if names := repotest.Missing(repotest.Found(`\b(weixin_[a-z_]+)\b`, repotest.Text(t, path)), shown); len(names) > 0 {
			t.Errorf("%s names %q, which the program does not show", path, names)
		}
	}
}

func TestDocsReasons(t *testing.T) {
	reasons := map[string]bool{}
	for reason := range snapshot.Reasons {
		reasons[reason.String()] = true
	}
	delete(reasons, weixin.NotReady.String()) // that is not a failure
	_, table, _ := strings.Cut(repotest.Text(t, "docs/troubleshooting.md"), "| reason | next attempt |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := map[string]bool{}
	for cell := range repotest.Found(`(?m)^\| ([^|]*) \|`, table) {
		maps.Copy(documented, repotest.Found("`([a-z_]+)`", cell))
	}
	if names := repotest.Missing(reasons, documented); len(names) > 0 {
		t.Errorf("docs/troubleshooting.md does not say what follows the reasons %q", names)
	}
	if names := repotest.Missing(documented, reasons); len(names) > 0 {
		t.Errorf("docs/troubleshooting.md names the reasons %q, which do not exist", names)
	}
}

func TestDocsFlags(t *testing.T) {
	reference := repotest.Text(t, "docs/command-line.md")
	help := []string{clitest.Finish(t, time.Now, "--help").Stdout}
	_, list, _ := strings.Cut(help[0], "\nCommands:\n")
	commands := repotest.Found(`(?m)^([a-z-]+(?: [a-z]+)?)`, list)
	delete(commands, "help")
	if names := repotest.Missing(commands, repotest.Found("(?m)^\\|.* `weixin_exporter ([a-z-]+(?: [a-z]+)?)[^`]*` \\|", reference)); len(commands) == 0 || len(names) > 0 {
		t.Errorf("docs/command-line.md lacks the commands %q of %d", names, len(commands))
	}
	for command := range commands {
		help = append(help, clitest.Finish(t, time.Now, append(strings.Fields(command), "--help")...).Stdout)
	}
	flags := repotest.Found(`(?m)^ +(?:-h, )?--(?:\[no-\])?([a-z.-]+)`, strings.Join(help, "\n"))
	documented := repotest.Found("(?m)^\\| `--([a-z.-]+)`", reference)
	delete(flags, "help-long") // only the text of --help mentions it
	if names := repotest.Missing(flags, documented); len(flags) == 0 || len(names) > 0 {
		t.Errorf("docs/command-line.md lacks the flags %q of %d", names, len(flags))
	}
	if names := repotest.Missing(documented, flags); len(names) > 0 {
		t.Errorf("docs/command-line.md names the flags %q, which do not exist", names)
	}
	variables := repotest.Found(`\(\$(WEIXIN_EXPORTER_[A-Z_]+)\)`, regexp.MustCompile(`\s+`).ReplaceAllString(strings.Join(help, "\n"), " "))
	documented = repotest.Found("(?m)^\\| `--.*\\| `(WEIXIN_EXPORTER_[A-Z_]+)` \\|", reference)
	if names := repotest.Missing(variables, documented); len(variables) == 0 || len(names) > 0 {
		t.Errorf("docs/command-line.md lacks the variables %q of %d", names, len(variables))
	}
	if names := repotest.Missing(documented, variables); len(names) > 0 {
		t.Errorf("docs/command-line.md names the variables %q, which do not exist", names)
	}
}

func TestDocsExampleConfiguration(t *testing.T) {
	text := block(t, repotest.Text(t, "README.md"), "yaml", "accounts:", "app_secret:")
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

// TestDocsErrcodes compares the table of error codes with the reasons that the
// client gives to errcodes.
func TestDocsErrcodes(t *testing.T) {
	documented := map[int]string{}
	row := regexp.MustCompile("(?m)^\\| (-?[0-9]+(?:, -?[0-9]+)*) \\| (?:`([a-z_]+)`|\\(no failure\\)) \\|")
	for _, match := range row.FindAllStringSubmatch(repotest.Text(t, "docs/troubleshooting.md"), -1) {
		for code := range strings.SplitSeq(match[1], ", ") {
			number, err := strconv.Atoi(code)
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := documented[number]; twice {
				t.Errorf("docs/troubleshooting.md has two rows for errcode %d", number)
			}
			documented[number] = match[2]
		}
	}
	if len(documented) == 0 {
		t.Fatal("docs/troubleshooting.md has no errcodes")
	}
	reasonOf := reasons(t)
	// The ranges in which Weixin's errcodes lie.
	for _, codes := range [][2]int{{-1, -1}, {40000, 50100}, {61000, 61600}, {76000, 76100}, {89500, 89600}} {
		for code := codes[0]; code <= codes[1]; code++ {
			want := reasonOf(code)
			got, ok := documented[code]
			delete(documented, code)
			switch {
			case want == weixin.Unknown && !ok:
			case want == weixin.NotReady && ok && got == "":
			case want.String() != got:
				t.Errorf("docs/troubleshooting.md gives the reason %q to errcode %d, the client the reason %s", got, code, want)
			}
		}
	}
	if len(documented) > 0 {
		t.Errorf("docs/troubleshooting.md has errcodes outside of Weixin's ranges: %v", documented)
	}
}

// reasons returns a function that asks a client for the reason of an errcode.
func reasons(t *testing.T) func(code int) weixin.Reason {
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
	return func(code int) weixin.Reason {
		answer = fmt.Sprintf(`{"errcode":%d,"errmsg":"no"}`, code)
		_, err := account.InterfaceSummaryHour(t.Context(), datacube.FirstDate)
		if err == nil {
			t.Fatalf("errcode %d is not an error", code)
		}
		return weixin.ReasonOf(err)
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
	known, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	var hours datacube.Hours
	hours[15] = datacube.Figures{Callbacks: 200, Failures: 30, TimeCostMillis: 1000, MaxTimeCostMillis: 9}
	if _, err := known.Save(t.Context(), []store.Record{{
		AppID: "wx0123456789abcdef", API: datacube.Hourly, Date: datacube.FirstDate, Hourly: &hours,
		State: store.State{Status: store.Known, AskedAt: datacube.FirstDate.End(), KnownAt: datacube.FirstDate.End()},
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
	row := db.QueryRowContext(t.Context(), block(t, repotest.Text(t, "docs/store.md"), "sql"))
	if err := row.Scan(&appID, &date, &hour, &failures, &callbacks, &percent, &average); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(appID, date, hour, failures, callbacks, percent, average)
	if want := fmt.Sprint("wx0123456789abcdef", "2014-12-01", 15, 30, 200, 15.0, 5); got != want {
		t.Errorf("the query finds %s, want %s", got, want)
	}
}

// TestDocsAlerts compares the alerts that README.md names with those that there are.
func TestDocsAlerts(t *testing.T) {
	there := map[string]bool{}
	for name := range repotest.Alerts(t) {
		there[name] = true
	}
	documented := repotest.Found("(?m)^\\| `(Weixin[A-Za-z]+)` \\|", repotest.Text(t, "README.md"))
	if lacking, strange := repotest.Missing(there, documented), repotest.Missing(documented, there); len(lacking)+len(strange) > 0 {
		t.Errorf("README.md lacks the alerts %q and has %q, which do not exist", lacking, strange)
	}
	recorded := map[string]bool{}
	for name, r := range repotest.Rules(t) {
		recorded[name] = r.Record != ""
	}
	for _, path := range []string{"README.md", "docs/alerts.md"} {
		names := repotest.Found(`\b(weixin:[a-z_]+:[a-z_]+)\b`, repotest.Text(t, path))
		if strange := repotest.Missing(names, recorded); len(names) == 0 || len(strange) > 0 {
			t.Errorf("%s names the recorded series %q of %d, which do not exist", path, strange, len(names))
		}
	}
}

// TestDocsTokens tries the configurations that the documents show for token types and account
// files, and the forms of a token.
func TestDocsTokens(t *testing.T) {
	guide := repotest.Text(t, "docs/tokens.md")
	types := map[string]bool{}
	for _, known := range []config.TokenType{
		config.StableToken, config.LegacyToken, config.FileToken, config.URLToken, config.AuthorizerToken,
	} {
		types[string(known)] = true
	}
	_, table, _ := strings.Cut(guide, "| `token.type` |")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := repotest.Found("(?m)^\\| `([a-z_]+)`", table)
	if lacking, strange := repotest.Missing(types, documented), repotest.Missing(documented, types); len(lacking)+len(strange) > 0 {
		t.Errorf("docs/tokens.md lacks the token types %q and has %q, which do not exist", lacking, strange)
	}

	folder := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configuration := repotest.Text(t, "docs/configuration.md")
	many := block(t, configuration, "yaml", "# accounts.d/")
	for file := range repotest.Found(`refresh_token_file: (\S+)`, many) {
		put("accounts.d/"+file, "sim-token-refresh\n")
	}
	put("accounts.d/north.yml", many)
	few := block(t, guide, "yaml", "type: file", "type: url", "http_config:")
	for file := range repotest.Found(`password_file: ([^\s}]+)`, few) {
		put(file, "sim-secret-token-server\n")
	}
	for _, text := range []string{block(t, configuration, "yaml", "account_files:"), few} {
		cfg, err := config.Parse(filepath.Join(folder, "config.yml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Accounts) != 2 || len(cfg.Warnings()) > 0 {
			t.Errorf("%d accounts with warnings %v, want two without:\n%s", len(cfg.Accounts), cfg.Warnings(), text)
		}
	}

	_, table, _ = strings.Cut(guide, "| form | example |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	forms := repotest.Found("(?m)^\\| [^|`]+ \\| `([^`]+)`", table)
	for form := range forms {
		token, err := weixin.ParseToken([]byte(strings.ReplaceAll(form, "…", "sim")), weixin.TokenFormat{})
		if err != nil || token.Text.IsZero() {
			t.Errorf("the form %s is not a token: %v", form, err)
		}
	}
	if len(forms) != 3 {
		t.Errorf("docs/tokens.md has %d forms of a token, want 3", len(forms))
	}
}

// examined is what the example of check --online is about.
type examined struct{ file, folder, tokenServer string }

// newExamined writes the configuration, and starts the servers that it names.
func newExamined(t *testing.T, now func() time.Time) examined {
	t.Helper()
	const (
		platform = "wx0f1e2d3c4b5a6978"
		bot      = "wxfedcba9876543210"
		guest    = "wx8899aabbccddeeff"
	)
	simulated := weixintest.New(weixintest.Options{
		Seed: 1, Now: now, Platforms: []weixintest.Platform{{AppID: platform}},
		Accounts: []weixintest.Account{
			{AppID: "wx0123456789abcdef", AppSecret: "sim-secret-shop", CallbacksPerDay: 50_000, Quota: 2000},
			{AppID: bot, AppSecret: "sim-secret-bot", CallbacksPerDay: 5000, Quota: 2000},
			{AppID: "wx0011223344556677", AppSecret: "sim-secret-club", AllowList: []string{"198.51.100.1"}},
			{AppID: guest, Platform: platform, Quota: 2000},
		},
	})
	weixinServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "203.0.113.7:1024"
		simulated.ServeHTTP(w, r)
	}))
	t.Cleanup(weixinServer.Close)
	tokenServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = map[string]string{"/bot": "/raw/" + bot, "/component": "/object/component/" + platform}[r.URL.Path]
		simulated.TokenServer().ServeHTTP(w, r)
	}))
	t.Cleanup(tokenServer.Close)

	file := clitest.WriteConfig(t, fmt.Sprintf(`accounts:
- {name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-shop}
- {name: bot, app_id: %[1]s, token: {type: url, url: "%[2]s/bot"}}
- {name: club, app_id: wx0011223344556677, app_secret: sim-secret-club}
- name: guest
  app_id: %[3]s
  token: {type: authorizer, component_app_id: %[4]s, component_access_token: {type: url, url: "%[2]s/component"}, refresh_token_file: guest}
- {name: kiosk, app_id: wx0000000000000103, token: {type: file, path: tokens/kiosk}}
weixin: {base_url: "%[5]s", requests_per_second: 1000}
`, bot, tokenServer.URL, guest, platform, weixinServer.URL))
	folder := filepath.Dir(file) + string(filepath.Separator)
	if err := os.Mkdir(folder+"tokens", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"guest": simulated.RefreshToken(guest), "tokens/kiosk": "sim-token-of-yesterday"} {
		if err := os.WriteFile(folder+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return examined{file, folder, tokenServer.URL}
}

// TestDocsExamination compares the example of check --online with what it writes in the language of the document, but for
// the width of columns and what differs from run to run.
func TestDocsExamination(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC) }
	for _, shown := range []struct{ language, document, mark, rid, end string }{
		{"en", "docs/troubleshooting.md", "TOKEN FROM", ` \(rid [0-9a-f-]+\)`, "accounts with faults: 2 of 5\n"},
		{"zh", "docs/zh/troubleshooting.md", "TOKEN 来源", `（rid [0-9a-f-]+）`, "5 个账号中有 2 个存在问题\n"},
	} {
		station := newExamined(t, now)
		got := clitest.Finish(t, now, "check", "--online", "--lang="+shown.language, "--config.file="+station.file)
		if got.Code != cli.Fault || !strings.HasSuffix(got.Stderr, shown.end) {
			t.Errorf("exit code %d and %q, want %d and two faults", got.Code, got.Stderr, cli.Fault)
		}
		same := func(text string) string {
			text = strings.NewReplacer(station.folder, "", station.tokenServer, "https://tokens.example").Replace(text)
			text = regexp.MustCompile(shown.rid).ReplaceAllString(text, "")
			return regexp.MustCompile(`(?m) +$`).ReplaceAllString(regexp.MustCompile(` +`).ReplaceAllString(text, " "), "")
		}
		if want := same(block(t, repotest.Text(t, shown.document), "text", shown.mark)); same(got.Stdout) != want {
			t.Errorf("%s shows\n%s\nof check --online, which writes\n%s", shown.document, want, same(got.Stdout))
		}
	}
	keys := repotest.Found(`"([a-z_]+)":`, clitest.Finish(t, now, "check", "--online", "--output=json", "--config.file="+newExamined(t, now).file).Stdout)
	_, section, _ := strings.Cut(repotest.Text(t, "docs/troubleshooting.md"), "`--output=json` writes")
	section, _, _ = strings.Cut(section, "```")
	if names := repotest.Missing(keys, repotest.Found("`([a-z_]+)`", section)); len(keys) == 0 || len(names) > 0 {
		t.Errorf("docs/troubleshooting.md does not describe the JSON keys %q of %d", names, len(keys))
	}
}
