package store_test

import (
	"path/filepath"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// BenchmarkHistory reads all hours of accounts with traffic in every hour.
func BenchmarkHistory(b *testing.B) {
	const accounts, days = 20, 365
	s := open(b, filepath.Join(b.TempDir(), "store.db"))
	for day := range datacube.Date(days) {
		save(b, s, round(accounts, firstDay+day)...)
	}
	rows := 0
	for b.Loop() {
		err := s.History(b.Context(), func(h *store.History) error {
			for _, appID := range h.Accounts() {
				err := h.Hours(appID, beforeAll, afterAll, func(_ datacube.Date, hours *datacube.Hours) error {
					rows += len(hours)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if rows != b.N*accounts*days*datacube.HoursPerDay {
		b.Fatalf("%d rows", rows)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(4*float64(rows)/b.Elapsed().Seconds(), "samples/s")
}
