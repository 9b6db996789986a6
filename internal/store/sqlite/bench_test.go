package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

func appID(n int) string { return fmt.Sprintf("wx%016d", n) }

// round is one day of the hourly call for many accounts, with traffic in each hour.
func round(accounts int, date datacube.Date) []store.Record {
	records := make([]store.Record, accounts)
	for i := range records {
		hours := datacube.Hours{}
		for h := range hours {
			n := int64(i + h + 1)
			hours[h] = datacube.Figures{Callbacks: n * 100, Failures: n, TimeCostMillis: n * 5000, MaxTimeCostMillis: 4999}
		}
		asked := (date + 1).Start().Add(9 * time.Hour)
		records[i] = store.Record{
			AppID: appID(i), API: datacube.Hourly, Date: date, Hourly: &hours,
			State: store.State{Status: store.Known, AskedAt: asked, KnownAt: asked},
		}
	}
	return records
}

// fill stores days of states and figures of the daily call, and the last day's hours.
func fill(tb testing.TB, s *sqlite.Store, accounts, days int) {
	tb.Helper()
	for day := range days {
		date := firstDay + datacube.Date(day)
		hourly := round(accounts, date)
		daily := make([]store.Record, len(hourly))
		for i, r := range hourly {
			f := r.Hourly[0]
			daily[i] = store.Record{AppID: r.AppID, API: datacube.Daily, Date: date, State: r.State, Daily: &f}
			if day < days-1 {
				hourly[i].Hourly = nil
			}
		}
		save(tb, s, hourly...)
		save(tb, s, daily...)
	}
}

func BenchmarkSave(b *testing.B) {
	const accounts = 1000
	for _, together := range []int{accounts, 1} {
		b.Run(fmt.Sprintf("accounts_in_a_transaction=%d", together), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "store.db"))
			date := firstDay
			for b.Loop() {
				records := round(accounts, date)
				for i := 0; i < accounts; i += together {
					save(b, s, records[i:i+together]...)
				}
				date++
			}
		})
	}
	b.Run("recheck", func(b *testing.B) {
		s := open(b, filepath.Join(b.TempDir(), "store.db"))
		records := round(accounts, firstDay)
		save(b, s, records...)
		for b.Loop() {
			save(b, s, records...)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for _, accounts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if testing.Short() && accounts > 1000 {
				b.Skip("takes a minute to fill")
			}
			s := open(b, filepath.Join(b.TempDir(), "store.db"))
			fill(b, s, accounts, 30)
			for b.Loop() {
				load(b, s, firstDay)
			}
		})
	}
}

// BenchmarkLoadLatest reads the latest day of all accounts and no states.
func BenchmarkLoadLatest(b *testing.B) {
	for _, accounts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if testing.Short() && accounts > 1000 {
				b.Skip("takes a quarter of a minute to fill")
			}
			s := open(b, filepath.Join(b.TempDir(), "store.db"))
			fill(b, s, accounts, 3)
			for b.Loop() {
				load(b, s, firstDay+3)
			}
		})
	}
}

func BenchmarkLoadOne(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "store.db"))
	fill(b, s, 1000, 30)
	for b.Loop() {
		load(b, s, firstDay, appID(500))
	}
}
