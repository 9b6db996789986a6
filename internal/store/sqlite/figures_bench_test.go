package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// benchmarkFigures measures a query with this number of rows.
func benchmarkFigures(b *testing.B, s *sqlite.Store, q store.FigureQuery, want int) {
	b.Helper()
	rows := 0
	for b.Loop() {
		err := s.ReadFigures(b.Context(), func(r *store.FigureReader) error {
			for day, err := range r.Figures(q) {
				if err != nil {
					return err
				}
				rows += len(day.Figures)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if rows != b.N*want {
		b.Fatalf("read %d rows, want %d times %d", rows, b.N, want)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(4*float64(rows)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkHistory reads all hours of a year of accounts with traffic in every hour.
func BenchmarkHistory(b *testing.B) {
	const accounts, days = 20, 365
	s := open(b, filepath.Join(b.TempDir(), "store.db"))
	for day := range datacube.Date(days) {
		save(b, s, round(accounts, firstDay+day)...)
	}
	benchmarkFigures(b, s, allOf(datacube.Hourly), accounts*days*datacube.HoursPerDay)
}

// BenchmarkFigures reads what a chart of 30 days needs: the days of all accounts, or the hours of one.
func BenchmarkFigures(b *testing.B) {
	const days = 30
	for _, accounts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("days_of_accounts=%d", accounts), func(b *testing.B) {
			if testing.Short() && accounts > 1000 {
				b.Skip("takes a minute to fill")
			}
			s := open(b, filepath.Join(b.TempDir(), "store.db"))
			fill(b, s, accounts, days)
			benchmarkFigures(b, s, allOf(datacube.Daily), accounts*days)
		})
	}
	b.Run("hours_of_an_account", func(b *testing.B) {
		s := open(b, filepath.Join(b.TempDir(), "store.db"))
		for day := range datacube.Date(days) {
			save(b, s, round(100, firstDay+day)...)
		}
		benchmarkFigures(b, s, allOf(datacube.Hourly, appID(50)), days*datacube.HoursPerDay)
	})
}
