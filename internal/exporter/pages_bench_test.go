package exporter

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin/datacube"
)

// BenchmarkPages is the overview of many accounts and the page of one, with a month of each in a file of SQLite.
func BenchmarkPages(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		now := time.Date(2026, 3, 10, 4, 0, 0, 0, time.UTC)
		db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		latest := snapshot.NewLatest()
		latest.Publish(&snapshot.Snapshot{Accounts: fill(b, db, n, datacube.DateOf(now)-1)})
		h, err := web.NewHandler(web.Options{
			Source: latest, Figures: figures{db}, TelemetryPath: "/metrics", Metrics: http.NotFoundHandler(), Discovery: http.NotFoundHandler(),
			Now: func() time.Time { return now },
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, path := range []string{"/", "/?sort=callbacks&page=7", "/accounts/account-00500"} {
			b.Run(fmt.Sprintf("accounts=%d%s", n, path), func(b *testing.B) {
				for b.Loop() {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
					r.Header.Set("Accept-Encoding", "gzip")
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Fatal(w.Code)
					}
					b.ReportMetric(float64(w.Body.Len()), "page-bytes")
				}
			})
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// fill stores a month of n accounts up to a date, and returns them as they are shown.
func fill(b *testing.B, db *sqlite.Store, n int, last datacube.Date) []*snapshot.Account {
	b.Helper()
	var accounts []*snapshot.Account
	for i := range n {
		a := &snapshot.Account{Name: fmt.Sprintf("account-%05d", i), AppID: fmt.Sprintf("wx%016x", i)}
		var records []store.Record
		for date := last - 29; date <= last; date++ {
			var hours datacube.Hours
			for hour := range hours {
				c := int64(100+hour*50+i%997) * int64(1+date%7)
				hours[hour] = datacube.Figures{Callbacks: c, Failures: c / 500, TimeCostMillis: c * 90, MaxTimeCostMillis: 900}
			}
			total := hours.Total()
			known := store.State{Status: store.Known, Asks: 1, AskedAt: date.End(), KnownAt: date.End()}
			records = append(records, store.Record{AppID: a.AppID, API: datacube.Daily, Date: date, State: known, Daily: &total})
			if i == 500 {
				records = append(records, store.Record{AppID: a.AppID, API: datacube.Hourly, Date: date, State: known, Hourly: &hours})
			}
			a.Daily, a.Hourly = &datacube.Day{Date: date, Figures: total}, &datacube.HourlyDay{Date: date, Hours: hours}
		}
		for api := range a.Work {
			a.Work[api].Succeeded, a.Work[api].LastSuccess = true, last.End()
		}
		accounts = append(accounts, a)
		if _, err := db.Save(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	return accounts
}
