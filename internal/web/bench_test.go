package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
)

// manyAccounts returns accounts of which every tenth is refused and every tenth had an incident.
func manyAccounts(store *storedFigures, n int) []*snapshot.Account {
	var accounts []*snapshot.Account
	for i := range n {
		name := fmt.Sprintf("account-%05d", i)
		switch i % 10 {
		case 0:
			accounts = append(accounts, refused(name, 48001, weixin.Permission, true))
		case 1:
			accounts = append(accounts, store.newAccount(name, withAnIncident(60_000)))
		default:
			accounts = append(accounts, store.newAccount(name, ordinary(int64(1000*i))))
		}
	}
	return accounts
}

// The overview of a thousand accounts has at most 100 KB as it is sent.
func TestOverviewOfManyAccountsIsSmall(t *testing.T) {
	s, store := newPages(t)
	s.publish(manyAccounts(store, 1000)...)
	for _, query := range []string{"", "?sort=callbacks", "?lang=zh&state=ok"} {
		w := s.ask("GET", "/"+query, "Accept-Encoding", "gzip")
		if n := w.Body.Len(); n > 100_000 || n < 2_000 {
			t.Errorf("%q: %d bytes", query, n)
		}
	}
}

// BenchmarkOverview is the page right after a new snapshot, and again.
func BenchmarkOverview(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		for _, fresh := range []bool{true, false} {
			b.Run(fmt.Sprintf("accounts=%d/fresh=%v", n, fresh), func(b *testing.B) {
				store := newStoredFigures()
				accounts := manyAccounts(store, n)
				latest := snapshot.NewLatest()
				latest.Publish(&snapshot.Snapshot{Accounts: accounts})
				h, err := web.NewHandler(web.Options{Source: latest, Figures: store, TelemetryPath: "/metrics", Metrics: http.NotFoundHandler(), Discovery: http.NotFoundHandler(), Now: now})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if fresh {
						latest.Publish(&snapshot.Snapshot{Accounts: accounts})
					}
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/?sort=callbacks", http.NoBody)
					r.Header.Set("Accept-Encoding", "gzip")
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					b.ReportMetric(float64(w.Body.Len()), "page-bytes")
				}
			})
		}
	}
}
