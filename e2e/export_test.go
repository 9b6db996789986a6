package e2e_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// export runs the export command and returns its standard output.
func (w *fixture) export(t *testing.T, args ...string) string {
	t.Helper()
	x := start(t, suite.binary, append([]string{"export", "--config.file=" + w.config}, args...)...)
	<-x.ended
	if code := x.cmd.ProcessState.ExitCode(); code != 0 || x.stderr.String() != "" {
		t.Fatalf("exit code %d: %s", code, mask(x.stderr.String()))
	}
	return x.stdout.String()
}

// knownDays returns the days of both calls in the store, by account. It fails unless their figures are those of the
// simulated Weixin.
func (w *fixture) knownDays(t *testing.T) map[string][datacube.APIs][]datacube.Date {
	t.Helper()
	known, err := sqlite.OpenReadOnly(t.Context(), filepath.Join(w.folder, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = known.Close() }() // it was only read
	days := map[string][datacube.APIs][]datacube.Date{}
	err = known.ReadFigures(t.Context(), func(figures *store.FigureReader) error {
		for _, a := range w.accounts {
			var of [datacube.APIs][]datacube.Date
			for api := range datacube.APIs {
				for day, err := range figures.Figures(store.FigureQuery{API: api, Accounts: []string{a.AppID}, To: datacube.DateOf(clock())}) {
					if err != nil {
						return err
					}
					of[api] = append(of[api], day.Date)
					want := []datacube.Figures{w.sim.Day(a.AppID, day.Date)}
					if api == datacube.Hourly {
						hours := w.sim.Hours(a.AppID, day.Date)
						want = hours[:]
					}
					if !slices.Equal(day.Figures, want) {
						t.Errorf("%s, %v: the store has %v, want %v", a.name, day.Date, day.Figures, want)
					}
				}
			}
			days[a.name] = of
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return days
}

// promtool creates blocks of an export, a Prometheus serves them, and they have the figures in the store. The exporter
// is running all the time.
func TestExportToBlocks(t *testing.T) {
	t.Parallel()
	promtool := program(t, "PROMTOOL", "promtool")
	program(t, "PROMETHEUS", "prometheus") // before anything is started
	w := newFixture(t, someAccounts()...)
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)

	output := filepath.Join(t.TempDir(), "history.om")
	if text := w.export(t, "--format=openmetrics", "--output="+output); text != "" {
		t.Errorf("it also wrote %q to stdout", text)
	}
	data := dataFolder(t)
	blocks := exec.CommandContext(t.Context(), promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h", output, data)
	if out, err := blocks.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	p := servePrometheus(t, data)
	days := w.knownDays(t)
	for _, a := range w.accounts {
		if a.CallbacksPerDay > 0 && len(days[a.name][datacube.Daily]) < history || len(days[a.name][datacube.Hourly]) < quietDays {
			t.Errorf("%s: %d and %d days are known", a.name, len(days[a.name][datacube.Daily]), len(days[a.name][datacube.Hourly]))
		}
	}
	w.checkDays(t, p, days)
	w.checkHours(t, p, days)
	x.stop(t, syscall.SIGTERM)
}

// servePrometheus starts a Prometheus that scrapes nothing and serves a folder of blocks.
func servePrometheus(t *testing.T, data string) prometheus {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	writeFile(t, file, "scrape_configs: []\n")
	server := start(t, program(t, "PROMETHEUS", "prometheus"), "--config.file="+file, "--storage.tsdb.path="+data,
		"--storage.tsdb.retention.time=10y", "--web.listen-address=127.0.0.1:0")
	p := prometheus{newWeb(t, &url.URL{Scheme: "http", Host: server.listensOn(t)})}
	p.waitReady(t)
	return p
}

// byAccount returns the values of an expression by account.
func (p prometheus) byAccount(t *testing.T, expression string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, s := range p.query(t, expression) {
		values[s.labels["account"]] = s.value
	}
	return values
}

// dayWindows returns the ranges that select the 24 samples of a day at its end. Up to Prometheus 2 a range includes
// its start, so that [1d] also selects the sample of the midnight before; a range that is a minute shorter works
// everywhere.
func (p prometheus) dayWindows(t *testing.T) []string {
	t.Helper()
	if both := p.query(t, "count_over_time(vector(1)[1m:1m] @ 60)"); len(both) != 1 || both[0].value != 1 {
		return []string{"23h59m"}
	}
	return []string{"23h59m", "1d"}
}

// checkDays compares the daily series, and the sums of the hourly ones at the end of the day, with the simulated
// Weixin. Unknown days must have neither.
func (w *fixture) checkDays(t *testing.T, p prometheus, days map[string][datacube.APIs][]datacube.Date) {
	t.Helper()
	today := datacube.DateOf(clock())
	want := map[datacube.Date]map[string]map[string]float64{} // by day, expression and account
	expressions := map[string]struct {
		api  datacube.API
		read func(datacube.Figures) float64
	}{}
	for name, read := range map[string]func(datacube.Figures) float64{
		"callbacks":             func(f datacube.Figures) float64 { return float64(f.Callbacks) },
		"failures":              func(f datacube.Figures) float64 { return float64(f.Failures) },
		"time_cost_seconds":     datacube.Figures.TimeCostSeconds,
		"max_time_cost_seconds": datacube.Figures.MaxTimeCostSeconds,
	} {
		over := map[bool]string{true: "max_over_time", false: "sum_over_time"}[name == "max_time_cost_seconds"]
		for _, window := range p.dayWindows(t) {
			expressions[fmt.Sprintf("%s(weixin_history_hourly_%s[%s] @ %%d)", over, name, window)] = struct {
				api  datacube.API
				read func(datacube.Figures) float64
			}{datacube.Hourly, read}
		}
		expressions[fmt.Sprintf("weixin_history_daily_%s @ %%d", name)] = struct {
			api  datacube.API
			read func(datacube.Figures) float64
		}{datacube.Daily, read}
	}
	for date := today - history - 2; date < today; date++ {
		want[date] = map[string]map[string]float64{}
		for expression := range expressions {
			want[date][expression] = map[string]float64{}
		}
	}
	for _, a := range w.accounts {
		for expression, e := range expressions {
			for _, date := range days[a.name][e.api] {
				want[date][expression][a.name] = e.read(w.sim.Day(a.AppID, date))
			}
		}
	}
	for date, byExpression := range want {
		for expression, values := range byExpression {
			expression = fmt.Sprintf(expression, date.End().Unix())
			if diff := cmp.Diff(values, p.byAccount(t, expression), cmp.Comparer(near)); diff != "" {
				t.Errorf("%v, %s (-want +got):\n%s", date, expression, diff)
			}
		}
	}
}

// checkHours compares the hours of the latest day, and their number on each day, with the simulated Weixin.
func (w *fixture) checkHours(t *testing.T, p prometheus, days map[string][datacube.APIs][]datacube.Date) {
	t.Helper()
	for _, a := range w.accounts {
		known := days[a.name][datacube.Hourly]
		for _, date := range known {
			got := p.byAccount(t, fmt.Sprintf("count_over_time(weixin_history_hourly_callbacks{account=%q}[23h59m] @ %d)", a.name, date.End().Unix()))
			if got[a.name] != datacube.HoursPerDay {
				t.Errorf("%s, %v: %v samples, want 24", a.name, date, got)
			}
		}
		latest := known[len(known)-1]
		for hour, f := range w.sim.Hours(a.AppID, latest) {
			end := latest.Start().Unix() + int64(hour+1)*3600
			got := p.byAccount(t, fmt.Sprintf("weixin_history_hourly_callbacks{account=%q} @ %d", a.name, end))
			before := p.byAccount(t, fmt.Sprintf("last_over_time(weixin_history_hourly_callbacks{account=%q}[59m] @ %d)", a.name, end-1))
			if diff := cmp.Diff(map[string]float64{a.name: float64(f.Callbacks)}, got); diff != "" || len(before) > 0 {
				t.Errorf("%s, %v, hour %d, between two hours %v (-want +got):\n%s", a.name, latest, hour, before, diff)
			}
		}
	}
}

// rowKey identifies a row: account, app id, period, day, hour and the end in Unix seconds.
func rowKey(account, appID, period, date, hour, end any) string {
	return fmt.Sprintln(account, appID, period, date, hour, end)
}

// CSV and NDJSON have the figures of the simulated Weixin, while an exporter is running.
func TestExportRows(t *testing.T) {
	t.Parallel()
	w := newFixture(t, someAccounts()...)
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	days := w.knownDays(t)
	chosen := w.accounts[:3]
	since := days[chosen[0].name][datacube.Hourly][5]
	args := []string{"--since=" + since.String(), "--until=" + (since + 2).String()}
	for _, a := range chosen {
		args = append(args, "--account="+a.name)
	}
	want := map[string]datacube.Figures{}
	for _, a := range chosen {
		for date := since; date <= since+2; date++ {
			want[rowKey(a.name, a.AppID, "daily", date, "", date.End().Unix())] = w.sim.Day(a.AppID, date)
			for hour, f := range w.sim.Hours(a.AppID, date) {
				want[rowKey(a.name, a.AppID, "hourly", date, hour, date.Start().Unix()+int64(hour+1)*3600)] = f
			}
		}
	}

	records, err := csv.NewReader(strings.NewReader(w.export(t, append(args, "--format=csv")...))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	header := "account app_id period ref_date hour timestamp callbacks failures time_cost_ms max_time_cost_ms"
	if got := strings.Join(records[0], " "); got != header {
		t.Errorf("the header is %s, want %s", got, header)
	}
	rows := map[string]datacube.Figures{}
	for _, r := range records[1:] {
		var numbers [4]int64
		for i := range numbers {
			if numbers[i], err = strconv.ParseInt(r[6+i], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		rows[rowKey(r[0], r[1], r[2], r[3], r[4], r[5])] = datacube.Figures{
			Callbacks: numbers[0], Failures: numbers[1], TimeCostMillis: numbers[2], MaxTimeCostMillis: numbers[3],
		}
	}
	if diff := cmp.Diff(want, rows); diff != "" || len(rows) != len(records)-1 {
		t.Errorf("%d rows of CSV (-want +got):\n%s", len(records)-1, diff)
	}

	objects := map[string]datacube.Figures{}
	lines := strings.Split(strings.TrimSuffix(w.export(t, append(args, "--format=ndjson")...), "\n"), "\n")
	for _, line := range lines {
		var o map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&o); err != nil || len(o) != len(records[0]) {
			t.Fatalf("%s: %v", line, err)
		}
		number := func(name string) int64 {
			n, err := o[name].(json.Number).Int64()
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return n
		}
		hour := o["hour"]
		if hour == nil {
			hour = ""
		}
		objects[rowKey(o["account"], o["app_id"], o["period"], o["ref_date"], hour, o["timestamp"])] = datacube.Figures{
			Callbacks: number("callbacks"), Failures: number("failures"),
			TimeCostMillis: number("time_cost_ms"), MaxTimeCostMillis: number("max_time_cost_ms"),
		}
	}
	if diff := cmp.Diff(want, objects); diff != "" || len(objects) != len(lines) {
		t.Errorf("%d lines of JSON (-want +got):\n%s", len(lines), diff)
	}
}

// newBigFixture returns a fixture with a store whose export does not fit into a pipe and must be spooled.
func newBigFixture(t *testing.T) *fixture {
	t.Helper()
	w := newFixture(t, newAccount("shop", 1, 1000))
	known, err := sqlite.Open(t.Context(), filepath.Join(w.folder, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var records []store.Record
	for date := range datacube.Date(1000) {
		records = append(records, store.Record{
			AppID: w.accounts[0].AppID, API: datacube.Hourly, Date: datacube.FirstDate + date, Hourly: &datacube.Hours{},
			State: store.State{Status: store.Known, AskedAt: clock(), KnownAt: clock()},
		})
	}
	if _, err := known.Save(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := known.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// bigExport starts an export that does not fit into a pipe, with its standard output in one.
func bigExport(t *testing.T) (*process, *os.File) {
	t.Helper()
	w := newBigFixture(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() }) // it may be closed already
	defer func() { _ = writer.Close() }()    // the process has a copy
	return startTo(t, writer, suite.binary, "export", "--format=openmetrics", "--config.file="+w.config), reader
}

// The container image has no temporary folder.
func TestExportWithoutTemporaryFolder(t *testing.T) {
	t.Parallel()
	w := newBigFixture(t)
	cmd := exec.CommandContext(t.Context(), suite.binary, "export", "--format=openmetrics", "--config.file="+w.config)
	cmd.Dir = t.TempDir()
	cmd.Env = append(environment(t.TempDir()), "TMPDIR=/nowhere/at/all")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 || !strings.HasSuffix(stdout.String(), "\n# EOF\n") || stdout.Len() < 1<<20 {
		t.Errorf("%v with %q after %d bytes", err, mask(stderr.String()), stdout.Len())
	}
	if spools, err := filepath.Glob(filepath.Join(w.folder, ".*")); err != nil || len(spools) > 0 {
		t.Errorf("%v was left behind (%v)", spools, err)
	}
}

// The reader of a pipe may stop reading.
func TestExportToAClosedPipe(t *testing.T) {
	t.Parallel()
	x, reader := bigExport(t)
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "# HELP weixin_history_hourly_callbacks ") {
		t.Errorf("the first line is %q (%v)", line, err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	<-x.ended
	if code := x.cmd.ProcessState.ExitCode(); code != 0 || x.stderr.String() != "" {
		t.Errorf("exit code %d and %q", code, mask(x.stderr.String()))
	}
}

// A signal stops an export whose output is not read.
func TestExportStopped(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		x, reader := bigExport(t)
		if _, err := reader.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		x.stop(t, s)
		if want := "weixin_exporter: stopped before the export was complete\n"; x.stderr.String() != want {
			t.Errorf("after %v: %q, want %q", s, mask(x.stderr.String()), want)
		}
	}
}
