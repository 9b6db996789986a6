package export_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/export"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite the golden files")

// firstDay is 2024-02-28.
const firstDay datacube.Date = 19781

// known is a Source in memory: the known days of each account, in order.
type known map[string]struct {
	daily  []datacube.Day
	hourly []datacube.HourlyDay
}

func (k known) Figures(q store.FigureQuery) iter.Seq2[store.DayFigures, error] {
	return func(yield func(store.DayFigures, error) bool) {
		for _, appID := range q.Accounts {
			for day := range k.days(q.API, appID) {
				if day.Date >= q.From && day.Date <= q.To && !yield(day, nil) {
					return
				}
			}
		}
	}
}

// days yields all days of an account.
func (k known) days(api datacube.API, appID string) iter.Seq[store.DayFigures] {
	return func(yield func(store.DayFigures) bool) {
		if api == datacube.Daily {
			var figures [1]datacube.Figures
			for _, day := range k[appID].daily {
				if figures[0] = day.Figures; !yield(store.DayFigures{AppID: appID, Date: day.Date, Figures: figures[:]}) {
					return
				}
			}
			return
		}
		for i := range k[appID].hourly {
			day := &k[appID].hourly[i]
			if !yield(store.DayFigures{AppID: appID, Date: day.Date, Figures: day.Hours[:]}) {
				return
			}
		}
	}
}

// some is a job with names that need escaping, a day without traffic and gaps.
func some() export.Job {
	f := func(n int64) datacube.Figures {
		return datacube.Figures{Callbacks: n, Failures: n / 10, TimeCostMillis: n * 101, MaxTimeCostMillis: n}
	}
	source := known{
		"wx01": {
			daily: []datacube.Day{{Date: firstDay, Figures: f(1230)}, {Date: firstDay + 1}, {Date: firstDay + 3, Figures: f(5000)}},
			hourly: []datacube.HourlyDay{
				{Date: firstDay, Hours: datacube.Hours{0: f(1000), 9: f(230)}},
				{Date: firstDay + 2},
			},
		},
		"wx02": {hourly: []datacube.HourlyDay{{Date: firstDay + 1, Hours: datacube.Hours{23: f(7)}}}},
		"wx03": {},
	}
	return export.Job{
		Source: source,
		Accounts: []export.Account{
			{Name: "小店", AppID: "wx02"}, {Name: `the "bot" \ <№2>, &c`, AppID: "wx01"}, {Name: "quiet", AppID: "wx03"},
		},
		Since: export.FirstDate, Until: export.LastDate,
	}
}

type format func(io.Writer, export.Job) error

func formats() map[string]format {
	return map[string]format{"openmetrics.txt": export.OpenMetrics, "rows.csv": export.CSV, "rows.ndjson": export.NDJSON}
}

func written(t *testing.T, write format, job export.Job) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, job); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for name, write := range formats() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := written(t, write, some())
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	job := some()
	job.Since, job.Until = firstDay+1, firstDay+2
	for name, want := range map[string]int{
		"openmetrics.txt": 8*2 + 4 + 1 + 4*(24+24) + 4*1, // HELP and TYPE, UNIT, EOF, hours, days
		"rows.csv":        1 + 24 + 24 + 1,
		"rows.ndjson":     24 + 24 + 1,
	} {
		if got := strings.Count(written(t, formats()[name], job), "\n"); got != want {
			t.Errorf("%s has %d lines, want %d", name, got, want)
		}
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"openmetrics.txt": "\n# EOF\n",
		"rows.csv":        "account,app_id,period,ref_date,hour,timestamp,callbacks,failures,time_cost_ms,max_time_cost_ms\n",
		"rows.ndjson":     "",
	} {
		if got := written(t, formats()[name], export.Job{Source: known{}}); !strings.HasSuffix(got, want) ||
			strings.Contains(got, "{") || name != "openmetrics.txt" && got != want {
			t.Errorf("%s of nothing: %q", name, got)
		}
	}
}

// broken is a writer that fails after a number of bytes, and a Source without hours that can be read.
type broken struct {
	known
	err  error
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, b.err
	}
	return len(p), nil
}

func (b *broken) Figures(q store.FigureQuery) iter.Seq2[store.DayFigures, error] {
	if q.API == datacube.Hourly {
		return func(yield func(store.DayFigures, error) bool) { yield(store.DayFigures{}, b.err) }
	}
	return b.known.Figures(q)
}

func TestErrorsAreReturnedUnchanged(t *testing.T) {
	t.Parallel()
	for name, write := range formats() {
		fault := errors.New("no space left")
		for _, room := range []int{0, 100_000, 500_000} {
			if err := write(&broken{err: fault, left: room}, many(2, 600)); !errors.Is(err, fault) {
				t.Errorf("%s with room for %d bytes: %v", name, room, err)
			}
		}
		job := some()
		job.Source = &broken{known: job.Source.(known), err: fault}
		if err := write(io.Discard, job); !errors.Is(err, fault) {
			t.Errorf("%s of a failing source: %v", name, err)
		}
	}
}
