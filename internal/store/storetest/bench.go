package storetest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Benchmark measures an engine, with names that are the same for all of them.
func Benchmark(b *testing.B, e Engine) {
	b.Helper()
	b.Run("save", func(b *testing.B) { benchmarkSave(b, e) })
	b.Run("load", func(b *testing.B) {
		benchmarkLoad(b, e, 30, func(b *testing.B, s store.Store, _ int) { b.Helper(); Load(b, s, FirstDay) })
	})
	b.Run("load_latest", func(b *testing.B) { // no states
		benchmarkLoad(b, e, 3, func(b *testing.B, s store.Store, _ int) { b.Helper(); Load(b, s, FirstDay+3) })
	})
	b.Run("load_one", func(b *testing.B) {
		benchmarkLoad(b, e, 10, func(b *testing.B, s store.Store, accounts int) {
			b.Helper()
			Load(b, s, FirstDay, AppID(accounts/2))
		})
	})
	b.Run("follow", func(b *testing.B) { benchmarkFollow(b, e) })
	b.Run("history", func(b *testing.B) { benchmarkHistory(b, e) })
	b.Run("figures", func(b *testing.B) { benchmarkFigures(b, e) })
}

// sizes calls bench with the numbers of accounts.
func sizes(b *testing.B, bench func(b *testing.B, accounts int)) {
	b.Helper()
	for _, accounts := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if testing.Short() && accounts > 1000 {
				b.Skip("takes a minute to fill")
			}
			bench(b, accounts)
		})
	}
}

// benchmarkSave saves a day of accounts, the same day again, and the accounts of a day one by one.
func benchmarkSave(b *testing.B, e Engine) {
	b.Helper()
	b.Run("day", func(b *testing.B) {
		sizes(b, func(b *testing.B, accounts int) {
			b.Helper()
			place := e.New(b)
			s := place.Open(b)
			date := FirstDay
			report := processors(b, place)
			for b.Loop() {
				Save(b, s, Round(accounts, date)...)
				date++
			}
			report()
		})
	})
	b.Run("again", func(b *testing.B) {
		place := e.New(b)
		s := place.Open(b)
		records := Round(1000, FirstDay)
		Save(b, s, records...)
		report := processors(b, place)
		for b.Loop() {
			Save(b, s, records...)
		}
		report()
	})
	b.Run("one_by_one", func(b *testing.B) {
		place := e.New(b)
		s := place.Open(b)
		date := FirstDay
		report := processors(b, place)
		for b.Loop() {
			for _, record := range Round(1000, date) {
				Save(b, s, record)
			}
			date++
		}
		report()
	})
}

func benchmarkLoad(b *testing.B, e Engine, days int, load func(b *testing.B, s store.Store, accounts int)) {
	b.Helper()
	sizes(b, func(b *testing.B, accounts int) {
		b.Helper()
		place := e.New(b)
		s := place.Open(b)
		Fill(b, s, accounts, days)
		report := processors(b, place)
		for b.Loop() {
			load(b, s, accounts)
		}
		report()
	})
}

// benchmarkFollow measures how an exporter with many accounts finds out what other processes have
// written: nothing, or days of a few accounts, which it then loads.
func benchmarkFollow(b *testing.B, e Engine) {
	b.Helper()
	const accounts, days, changed = 10_000, 10, 4
	if testing.Short() {
		b.Skip("takes a minute to fill")
	}
	place := e.New(b)
	here, there := place.Open(b), place.Open(b)
	Fill(b, here, accounts, days)
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			if _, err := here.Version(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("four_accounts", func(b *testing.B) {
		_, mark, err := here.Changed(b.Context(), 0)
		if err != nil {
			b.Fatal(err)
		}
		date := FirstDay + days
		report := processors(b, place) // what saves the days is in it, too
		for b.Loop() {
			b.StopTimer()
			Save(b, there, Round(changed, date)...)
			date++
			b.StartTimer()
			if _, err := here.Version(b.Context()); err != nil {
				b.Fatal(err)
			}
			var appIDs []string
			if appIDs, mark, err = here.Changed(b.Context(), mark); err != nil || len(appIDs) != changed {
				b.Fatalf("changed: %q, %v", appIDs, err)
			}
			Load(b, here, FirstDay, appIDs...)
		}
		report()
	})
	b.Run("day", func(b *testing.B) { benchmarkFollowDay(b, place, here, there) })
}

// benchmarkFollowDay measures how an exporter finds out that another one has stored a day of all accounts, in
// portions that arrive together.
func benchmarkFollowDay(b *testing.B, place Place, here, there store.Store) {
	b.Helper()
	const accounts, portion = 10_000, 500
	_, mark, err := here.Changed(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	date := FirstDay + 1000
	spent, own := time.Duration(0), time.Duration(0)
	if place.Processor == nil {
		place.Processor = func() time.Duration { return 0 }
	}
	for b.Loop() {
		records := Round(accounts, date)
		date++
		for first := 0; first < accounts; first += portion {
			b.StopTimer()
			Save(b, there, records[first:first+portion]...)
			before, ours := place.Processor(), ProcessorTime(os.Getpid())
			b.StartTimer()
			var appIDs []string
			if appIDs, mark, err = here.Changed(b.Context(), mark); err != nil || len(appIDs) != portion {
				b.Fatalf("changed: %d, %v", len(appIDs), err)
			}
			Load(b, here, date-2, appIDs...)
			spent, own = spent+place.Processor()-before, own+ProcessorTime(os.Getpid())-ours
		}
	}
	b.ReportMetric(float64(own.Milliseconds())/float64(b.N), "own-ms/op")
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "server-ms/op")
}

// readRows measures a query with this number of rows.
func readRows(b *testing.B, s store.Store, q store.FigureQuery, want int) {
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

// benchmarkHistory reads all hours of a year of accounts with traffic in every hour.
func benchmarkHistory(b *testing.B, e Engine) {
	b.Helper()
	const accounts, days = 20, 365
	s := e.New(b).Open(b)
	for day := range datacube.Date(days) {
		Save(b, s, Round(accounts, FirstDay+day)...)
	}
	readRows(b, s, AllOf(datacube.Hourly), accounts*days*datacube.HoursPerDay)
}

// benchmarkFigures reads what a chart of 30 days needs: the days of all accounts, or the hours of one.
func benchmarkFigures(b *testing.B, e Engine) {
	b.Helper()
	const days = 30
	sizes(b, func(b *testing.B, accounts int) {
		b.Helper()
		s := e.New(b).Open(b)
		Fill(b, s, accounts, days)
		readRows(b, s, AllOf(datacube.Daily), accounts*days)
	})
	b.Run("hours_of_an_account", func(b *testing.B) {
		s := e.New(b).Open(b)
		for day := range datacube.Date(days) {
			Save(b, s, Round(100, FirstDay+day)...)
		}
		readRows(b, s, AllOf(datacube.Hourly, AppID(50)), days*datacube.HoursPerDay)
	})
}
