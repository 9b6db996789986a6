package cli_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// exportable makes a store with a day of each account, named by app id, and a configuration in the same folder
// that names the given ones. It returns the latter's path.
func exportable(t *testing.T, accounts string, appIDs ...string) string {
	t.Helper()
	file := clitest.WriteConfig(t, "accounts:\n"+accounts)
	known, err := sqlite.Open(t.Context(), filepath.Join(filepath.Dir(file), "weixin_exporter.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	state := store.State{Status: store.Known, AskedAt: datacube.FirstDate.End(), KnownAt: datacube.FirstDate.End()}
	for _, appID := range appIDs {
		_, err := known.Save(t.Context(), []store.Record{
			{AppID: appID, API: datacube.Daily, Date: datacube.FirstDate, State: state, Daily: &datacube.Figures{Callbacks: 7}},
			{AppID: appID, API: datacube.Hourly, Date: datacube.FirstDate, State: state, Hourly: &datacube.Hours{9: {Callbacks: 7}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return file
}

const (
	exportedShop = "- {name: shop, app_id: wx0123456789abcdef, app_secret: sim-secret-export}\n"
	shopID       = "wx0123456789abcdef"
	formerID     = "wxfedcba9876543210"
)

// exportedNames returns the names of the accounts in a CSV text, in their order.
func exportedNames(text string) []string {
	var names []string
	for line := range strings.SplitSeq(text, "\n") {
		if name, rest, _ := strings.Cut(line, ","); strings.Contains(rest, ",daily,") {
			names = append(names, name)
		}
	}
	return names
}

func TestExportAccounts(t *testing.T) {
	for name, c := range map[string]struct {
		accounts string
		stored   []string
		args     []string
		want     []string
		stderr   string
	}{
		"all": {exportedShop, []string{shopID}, nil, []string{"shop"}, ""},
		"one that only the store knows": {
			exportedShop, []string{formerID, shopID}, nil, []string{"shop", formerID},
			"weixin_exporter: note: not in the configuration, so the app id is the name: wxfedcba9876543210\n",
		},
		"many that only the store knows": {
			exportedShop, []string{"wx5", "wx4", "wx3", "wx2", "wx1"}, nil, []string{"wx1", "wx2", "wx3", "wx4", "wx5"},
			"weixin_exporter: note: not in the configuration, so the app id is the name: wx1, wx2, wx3 and 2 more\n",
		},
		"chosen":                {exportedShop, []string{formerID, shopID}, []string{"--account=shop", "--account=shop"}, []string{"shop"}, ""},
		"chosen by its app id":  {exportedShop, []string{formerID, shopID}, []string{"--account=" + formerID}, []string{formerID}, ""},
		"without any known day": {exportedShop, nil, nil, nil, ""},
	} {
		file := exportable(t, c.accounts, c.stored...)
		got := clitest.Finish(t, time.Now, append([]string{"export", "--format=csv", "--config.file=" + file}, c.args...)...)
		if names := exportedNames(got.Stdout); got.Code != cli.Done || got.Stderr != c.stderr || fmt.Sprint(names) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q and %+v, want %q and %q", name, names, got, c.want, c.stderr)
		}
	}
}

func TestExportFaults(t *testing.T) {
	file := exportable(t, exportedShop, shopID)
	namesake := exportable(t, "- {name: "+formerID+", app_id: wx0123456789abcdef, app_secret: sim-secret-export}\n", formerID)
	absent := clitest.WriteConfig(t, "accounts:\n"+exportedShop)
	memory := clitest.WriteConfig(t, "accounts:\n"+exportedShop+"store: {path: ''}\n")
	bad := clitest.WriteConfig(t, "accounts: none\n")
	folder := t.TempDir()
	special := filepath.Join(t.TempDir(), "socket")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", special)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const export = "export --format=openmetrics --config.file="
	for _, c := range []struct {
		command string
		code    int
		stderr  string
	}{
		{"export", cli.Usage, "required flag(s) '--format' not provided; see --help"},
		{"export --format=xlsx", cli.Usage, "--format: must be openmetrics, csv or ndjson, not \"xlsx\"; see --help"},
		{"export --format=csv --since=yesterday", cli.Usage, `--since: "yesterday" is not a date of the form YYYY-MM-DD; see --help`},
		{"export --format=csv --until=2024-02-30", cli.Usage, `--until: "2024-02-30" is not a date of the form YYYY-MM-DD; see --help`},
		{export + file + " --since=2024-03-01 --until=2024-02-29", cli.Usage, "--since=2024-03-01: wrong usage: it is after --until=2024-02-29"},
		{export + bad, cli.Fault, bad + ":1:1: accounts"},
		{export + file + " --account=shoe", cli.Usage, "--account=shoe: wrong usage: no account of " + file + " has that name, and none in the store has it as its app id"},
		{
			export + namesake, cli.Fault,
			namesake + `: account wx0123456789abcdef is called "wxfedcba9876543210", which is the app id of another account in the store: give it another name`,
		},
		{export + memory, cli.Fault, memory + `: store.path is "": the exporter keeps everything in memory, so there is nothing to export`},
		{
			export + absent, cli.Fault,
			fmt.Sprintf("store %q: open for reading: the file does not exist; run weixin_exporter first, which creates it, or change store.path",
				filepath.Join(filepath.Dir(absent), "weixin_exporter.db")),
		},
		{export + file + " --output=" + folder, cli.Fault, "exporting to " + folder + ": this is a folder; name a file in it"},
		{export + file + " --output=" + folder + "/no/file", cli.Fault, "exporting to " + folder + "/no/file: no such file or directory"},
		{
			export + file + " --output=" + special, cli.Fault,
			"exporting to " + special + ": this is not a regular file, so it cannot be replaced; write to standard output and redirect it",
		},
	} {
		got := clitest.Finish(t, time.Now, strings.Fields(c.command)...)
		if got.Code != c.code || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 ||
			!strings.HasPrefix(got.Stderr, "weixin_exporter: error: "+c.stderr) {
			t.Errorf("%s: %+v, want %d and %q", c.command, got, c.code, c.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(absent), "weixin_exporter.db")); err == nil {
		t.Error("a store was made")
	}
}

// exported runs the export into a file, which must be complete.
func exported(t *testing.T, config, output string) {
	t.Helper()
	if got := clitest.Finish(t, time.Now, "export", "--format=ndjson", "--config.file="+config, "--output="+output); got.Code != cli.Done || got.Stdout+got.Stderr != "" {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(output)
	if err != nil || strings.Count(string(text), "\n") != 1+24 {
		t.Errorf("%s has %q (%v)", output, text, err)
	}
}

// names returns those of all that is in a folder.
func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return strings.Join(found, " ")
}

func TestExportToAFile(t *testing.T) {
	config := exportable(t, exportedShop, shopID)
	folder := t.TempDir()
	output, link := filepath.Join(folder, "history"), filepath.Join(folder, "link")
	modeOf := func(path string) os.FileMode {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	exported(t, config, output)
	if mode := modeOf(output); mode != 0o600 {
		t.Errorf("a new file has the mode %v", mode)
	}
	if err := os.WriteFile(output, []byte("former"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(output, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("history", link); err != nil {
		t.Fatal(err)
	}
	exported(t, config, link)
	if mode := modeOf(output); mode != 0o644 {
		t.Errorf("a replaced file has the mode %v, the former one had 0644", mode)
	}
	if mode := modeOf(link); mode.Type() != os.ModeSymlink {
		t.Errorf("the link has become a %v", mode)
	}
	if got := names(t, folder); got != "history link" {
		t.Errorf("the folder holds %s", got)
	}
	t.Chdir(folder)
	exported(t, config, "history")
}

// TestExportLeavesTheFormerFile where it does not come to its end.
func TestExportLeavesTheFormerFile(t *testing.T) {
	config := exportable(t, exportedShop, shopID, formerID)
	folder := t.TempDir()
	output := filepath.Join(folder, "history")
	if err := os.WriteFile(output, []byte("former"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := func(format string) []string {
		return []string{"export", "--format=" + format, "--config.file=" + config, "--output=" + output}
	}
	check := func(what string) {
		t.Helper()
		if text, err := os.ReadFile(output); string(text) != "former" {
			t.Errorf("%s: it holds %q (%v)", what, text, err)
		}
		if got := strings.TrimSuffix(names(t, folder), " history.incomplete"); got != "history" {
			t.Errorf("%s: the folder holds %s", what, got)
		}
	}
	for _, format := range []string{"openmetrics", "csv", "ndjson"} {
		// The note on the former account comes just before the first day is read.
		ctx, cancel := context.WithCancel(t.Context())
		var stderr strings.Builder
		code := cli.Run(ctx, args(format), cli.Options{
			Stdout: io.Discard, Stderr: writerFunc(func(p []byte) (int, error) { cancel(); return stderr.Write(p) }), Now: time.Now,
		})
		if code != cli.Done || !strings.HasSuffix(stderr.String(), "\nweixin_exporter: stopped before the export was complete\n") {
			t.Errorf("%s, stopped: %d and %q", format, code, &stderr)
		}
		check(format + ", stopped")
	}
	spoil(t, filepath.Join(filepath.Dir(config), "weixin_exporter.db"))
	for _, format := range []string{"openmetrics", "csv", "ndjson"} {
		got := clitest.Finish(t, time.Now, args(format)...)
		if got.Code != cli.Fault || !strings.Contains(got.Stderr, "weixin_exporter: error: exporting to "+output+": what could be read is in "+output+".incomplete: store ") || !strings.Contains(got.Stderr, "hour 24") {
			t.Errorf("%s of a damaged store: %+v", format, got)
		}
		check(format + " of a damaged store")
		if text, err := os.ReadFile(output + ".incomplete"); !strings.Contains(string(text), "shop") {
			t.Errorf("%s of a damaged store: what could be read is %q (%v)", format, text, err)
		}
	}
}

// spoil makes the second account's hours such that they cannot be read.
func spoil(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`PRAGMA ignore_check_constraints = ON`,
		`UPDATE hourly SET hour = 24 WHERE account = (SELECT max(id) FROM account)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestExportToAReaderThatSleeps can be stopped all the same.
func TestExportToAReaderThatSleeps(t *testing.T) {
	config := exportable(t, exportedShop, shopID)
	ctx, cancel := context.WithCancel(t.Context())
	asleep, wake := make(chan struct{}), make(chan struct{})
	defer close(wake)
	go func() {
		<-asleep
		cancel()
	}()
	var stderr strings.Builder
	reader := writerFunc(func([]byte) (int, error) {
		close(asleep)
		<-wake
		return 0, io.ErrClosedPipe
	})
	code := cli.Run(ctx, []string{"export", "--format=csv", "--config.file=" + config}, cli.Options{Stdout: reader, Stderr: &stderr, Now: time.Now})
	if want := "weixin_exporter: stopped before the export was complete\n"; code != cli.Done || stderr.String() != want {
		t.Errorf("%d and %q, want %q", code, &stderr, want)
	}
}

func TestExportToStandardOutputThatFails(t *testing.T) {
	config := exportable(t, exportedShop, shopID)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	args := []string{"export", "--format=csv", "--config.file=" + config}
	if code := cli.Run(t.Context(), args, cli.Options{Stdout: writer, Stderr: &stderr, Now: time.Now}); code != cli.Done || stderr.Len() > 0 {
		t.Errorf("without a reader: %d and %q", code, &stderr)
	}
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space left") })
	want := "weixin_exporter: error: exporting to standard output: no space left\n"
	if code := cli.Run(t.Context(), args, cli.Options{Stdout: full, Stderr: &stderr, Now: time.Now}); code != cli.Fault || stderr.String() != want {
		t.Errorf("no space: %d and %q, want %q", code, &stderr, want)
	}
}
