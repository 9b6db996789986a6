package export_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"weixin_exporter/internal/export"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// The accounts and days of the benchmarks. All days are known and have traffic in most hours.
const (
	benchAccounts = 20
	benchDays     = 365
	benchHours    = benchAccounts * benchDays * datacube.HoursPerDay
	benchSamples  = 4 * (benchHours + benchAccounts*benchDays)
)

// benchmarked is a job on a Source in memory.
func benchmarked() export.Job {
	source := known{}
	job := export.Job{Source: source, Since: export.FirstDate, Until: export.LastDate}
	for i := range benchAccounts {
		appID := "wx" + string(rune('a'+i))
		k := source[appID]
		for date := firstDay; date < firstDay+benchDays; date++ {
			day := datacube.HourlyDay{Date: date}
			for hour := range day.Hours {
				n := int64(date)*7919*int64(hour*hour+i)%60_000 + 1
				day.Hours[hour] = datacube.Figures{Callbacks: n, Failures: n / 100, TimeCostMillis: n * 213, MaxTimeCostMillis: n % 5000}
			}
			k.hourly = append(k.hourly, day)
			k.daily = append(k.daily, datacube.Day{Date: date, Figures: day.Hours[12]})
		}
		source[appID] = k
		job.Accounts = append(job.Accounts, export.Account{Name: "account-" + appID, AppID: appID})
	}
	return job
}

func perSecond(b *testing.B, n int, unit string) {
	b.Helper()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), unit)
}

// BenchmarkFormats formats figures from memory; OpenMetrics spools three of four samples.
func BenchmarkFormats(b *testing.B) {
	job := benchmarked()
	for name, write := range formats() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := write(io.Discard, job); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, benchSamples, "samples/s")
		})
	}
}

// BenchmarkExport exports a database to a file.
func BenchmarkExport(b *testing.B) {
	job := benchmarked()
	folder := b.TempDir()
	s, err := sqlite.Open(b.Context(), filepath.Join(folder, "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for appID, k := range job.Source.(known) {
		var records []store.Record
		state := store.State{Status: store.Known}
		for i := range k.daily {
			records = append(records,
				store.Record{AppID: appID, API: datacube.Daily, Date: k.daily[i].Date, State: state, Daily: &k.daily[i].Figures},
				store.Record{AppID: appID, API: datacube.Hourly, Date: k.hourly[i].Date, State: state, Hourly: &k.hourly[i].Hours})
		}
		if _, err := s.Save(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	job.Spool.Folder = folder
	for name, write := range formats() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				file, err := os.Create(filepath.Join(folder, name))
				if err != nil {
					b.Fatal(err)
				}
				err = s.ReadFigures(b.Context(), func(r *store.FigureReader) error {
					job.Source = r
					return write(file, job)
				})
				if err != nil {
					b.Fatal(err)
				}
				if err := file.Close(); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, benchSamples, "samples/s")
		})
	}
}
