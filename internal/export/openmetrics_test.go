package export_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"weixin_exporter/internal/export"
	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// many is a job with random figures and gaps. The accounts are not sorted.
func many(accounts, days int) export.Job {
	random := rand.New(rand.NewPCG(1, uint64(accounts*days)))
	source := known{}
	job := export.Job{Source: source, Since: export.FirstDate, Until: export.LastDate}
	f := func() datacube.Figures {
		return datacube.Figures{
			Callbacks: random.Int64N(1 << random.IntN(40)), Failures: random.Int64N(3),
			TimeCostMillis: random.Int64N(1 << random.IntN(52)), MaxTimeCostMillis: random.Int64N(5000),
		}
	}
	for i := accounts - 1; i >= 0; i-- {
		appID := string([]rune{'w', 'x', rune('A' + i)})
		k := source[appID]
		for date := firstDay; date < firstDay+datacube.Date(days); date++ {
			if random.IntN(10) > 0 {
				k.daily = append(k.daily, datacube.Day{Date: date, Figures: f()})
			}
			if random.IntN(10) > 0 {
				day := datacube.HourlyDay{Date: date}
				for hour := range day.Hours {
					if random.IntN(3) > 0 {
						day.Hours[hour] = f()
					}
				}
				k.hourly = append(k.hourly, day)
			}
		}
		source[appID] = k
		job.Accounts = append(job.Accounts, export.Account{Name: "account " + appID, AppID: appID})
	}
	return job
}

// sample is a sample as a parser returns it.
type sample struct {
	Family, Account string
	Value           float64
	Timestamp       int64
}

// expected returns the samples that a job must write, in order.
func expected(job export.Job) []sample {
	accounts := slices.Clone(job.Accounts)
	slices.SortFunc(accounts, func(a, b export.Account) int { return strings.Compare(a.Name, b.Name) })
	var samples []sample
	for _, family := range history.Families() {
		for _, account := range accounts {
			k := job.Source.(known)[account.AppID]
			if family.API == datacube.Daily {
				for _, day := range k.daily {
					samples = append(samples, sample{family.Name, account.Name, family.Value(day.Figures), history.DayTime(day.Date).Unix()})
				}
				continue
			}
			for _, day := range k.hourly {
				for hour, f := range day.Hours {
					samples = append(samples, sample{family.Name, account.Name, family.Value(f), history.HourTime(day.Date, hour).Unix()})
				}
			}
		}
	}
	return samples
}

// parse reads the text with the parser of prometheus/common, which is for the older text format: there the
// timestamp would be in milliseconds; the rest is the same.
func parse(t *testing.T, text string) []sample {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for _, f := range history.Families() {
		family := families[f.Name]
		if family == nil { // the parser leaves out families without a sample
			continue
		}
		if family.GetType() != dto.MetricType_GAUGE || family.GetHelp() != f.Help {
			t.Errorf("%s is a %v with HELP %q", f.Name, family.GetType(), family.GetHelp())
		}
		for _, m := range family.GetMetric() {
			if len(m.GetLabel()) != 1 || m.GetLabel()[0].GetName() != history.AccountLabel {
				t.Fatalf("the labels of %s: %v", f.Name, m.GetLabel())
			}
			samples = append(samples, sample{f.Name, m.GetLabel()[0].GetValue(), m.GetGauge().GetValue(), m.GetTimestampMs()})
		}
		delete(families, f.Name)
	}
	if len(families) > 0 {
		t.Errorf("unexpected families: %v", families)
	}
	return samples
}

// TestOpenMetricsHasEverySample covers spools in memory and in files.
func TestOpenMetricsHasEverySample(t *testing.T) {
	t.Parallel()
	for _, days := range []int{1, 30, 400} {
		job := many(3, days)
		job.Spool.Folder = t.TempDir()
		text := written(t, export.OpenMetrics, job)
		if want, got := expected(job), parse(t, text); !slices.Equal(want, got) {
			t.Errorf("%d days (-want +got):\n%.3000s", days, cmp.Diff(want, got))
		}
		if left, err := os.ReadDir(job.Spool.Folder); err != nil || len(left) > 0 {
			t.Errorf("%d days left files behind: %v (%v)", days, left, err)
		}
		checkOrder(t, text)
	}
}

// checkOrder checks what the parser does not: that each family is contiguous and follows its metadata, and
// that the text ends with # EOF.
func checkOrder(t *testing.T, text string) {
	t.Helper()
	text, ended := strings.CutSuffix(text, "\n# EOF\n")
	if !ended {
		t.Errorf("the text ends with %q", text[max(0, len(text)-50):])
	}
	var pieces []string
	for line := range strings.SplitSeq(text, "\n") {
		piece, _, _ := strings.Cut(line, "{")
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			piece = "# HELP " + strings.Fields(name)[0]
		}
		if len(pieces) == 0 || pieces[len(pieces)-1] != piece {
			pieces = append(pieces, piece)
		}
	}
	var want []string
	for _, f := range history.Families() {
		want = append(want, "# HELP "+f.Name, "# TYPE "+f.Name+" gauge")
		if strings.HasSuffix(f.Name, "_seconds") {
			want = append(want, "# UNIT "+f.Name+" seconds")
		}
		want = append(want, f.Name)
	}
	if diff := cmp.Diff(want, pieces); diff != "" {
		t.Errorf("the order of the text (-want +got):\n%s", diff)
	}
}

func TestSpoolFolder(t *testing.T) {
	t.Parallel()
	job := many(2, 600)
	job.Spool.Folder = filepath.Join(t.TempDir(), "nowhere")
	if err := export.OpenMetrics(io.Discard, job); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "spooling: ") {
		t.Errorf("with a folder that does not exist: %v", err)
	}
	if err := export.CSV(io.Discard, job); err != nil {
		t.Errorf("CSV needs no folder: %v", err)
	}
}

// TestMemory: the number of allocations does not depend on the number of days.
func TestMemory(t *testing.T) {
	few, plenty := many(2, 300), many(2, 900)
	few.Spool.Folder, plenty.Spool.Folder = t.TempDir(), t.TempDir()
	allocations := func(job export.Job) float64 {
		return testing.AllocsPerRun(1, func() {
			if err := export.OpenMetrics(io.Discard, job); err != nil {
				t.Fatal(err)
			}
		})
	}
	// A few more or less are those of the test and of the runtime.
	if a, b := allocations(few), allocations(plenty); b > a+50 {
		t.Errorf("%v allocations for 300 days, %v for 900", a, b)
	}
}

// FuzzOpenMetricsName writes an account with any name and parses it.
func FuzzOpenMetricsName(f *testing.F) {
	for _, name := range []string{"shop", "小店", `"`, `\`, `\"`, "\n", `\n`, "a\x00b", "{}, # EOF", "\xff\xfe", "\u2028", ""} {
		f.Add(name, int64(1234567))
	}
	f.Fuzz(func(t *testing.T, name string, millis int64) {
		millis &= 1<<52 - 1 // what a float64 holds exactly
		job := export.Job{
			Source:   known{"wx": {daily: []datacube.Day{{Date: firstDay, Figures: datacube.Figures{TimeCostMillis: millis, Callbacks: millis}}}}},
			Accounts: []export.Account{{Name: name, AppID: "wx"}}, Since: firstDay, Until: firstDay,
		}
		text := written(t, export.OpenMetrics, job)
		job.Accounts[0].Name = strings.ToValidUTF8(name, "\uFFFD")
		if diff := cmp.Diff(expected(job), parse(t, text)); diff != "" {
			t.Errorf("%q, %d (-want +got):\n%s", name, millis, diff)
		}
		if lines := bytes.Count([]byte(text), []byte{'\n'}); lines != 8*2+4+4+1 {
			t.Errorf("%q makes %d lines", name, lines)
		}
	})
}

func TestExtremes(t *testing.T) {
	t.Parallel()
	day := func(millis int64) string {
		job := export.Job{
			Source:   known{"wx": {daily: []datacube.Day{{Date: firstDay, Figures: datacube.Figures{TimeCostMillis: millis}}}}},
			Accounts: []export.Account{{Name: "x", AppID: "wx"}}, Since: firstDay, Until: firstDay,
		}
		_, text, _ := strings.Cut(written(t, export.OpenMetrics, job), "weixin_history_daily_time_cost_seconds{account=\"x\"} ")
		text, _, _ = strings.Cut(text, " ")
		return text
	}
	for millis, want := range map[int64]string{
		0: "0", 1: "0.001", 10: "0.01", 100: "0.1", 1000: "1", 1001: "1.001", 120_050: "120.05",
		9_223_372_036_854_775_807: "9223372036854775.807", -1: "-0.001", -9_223_372_036_854_775_808: "-9223372036854775.808",
	} {
		if got := day(millis); got != want {
			t.Errorf("%d ms are %s s, want %s", millis, got, want)
		}
	}
}
