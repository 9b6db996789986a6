package query_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"weixin_exporter/internal/query"
)

// year is a store with a year of 100 accounts.
func year(b *testing.B) *world {
	b.Helper()
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("account-%03d", i))
	}
	w := newWorld(b, names...)
	w.fill(b, firstDay-365, 365)
	return w
}

// BenchmarkYear asks for the days of a year of 100 accounts, from their hours.
func BenchmarkYear(b *testing.B) {
	w := year(b)
	parameters := url.Values{
		"query": {"sum by (account) (sum_over_time(weixin_history_hourly_callbacks[1d]))"}, "step": {"1d"},
		"start": {seconds((firstDay - 364).Start())}, "end": {seconds(firstDay.Start())},
	}
	ask := func(b *testing.B, w *world) {
		b.Helper()
		recorder := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, query.Path+"query_range?"+parameters.Encode(), nil)
		w.api(b).api.ServeHTTP(recorder, r)
		if recorder.Code != http.StatusOK || recorder.Body.Len() < 500_000 {
			b.Fatalf("%d, %d bytes: %.300s", recorder.Code, recorder.Body.Len(), recorder.Body)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh := *w
			fresh.storage = query.NewStorage(query.StorageOptions{Source: w.store, Accounts: func() []query.Account { return w.accounts }, Now: fresh.clock})
			ask(b, &fresh)
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask(b, w)
		}
	})
}

// BenchmarkLabels asks for the names of 2000 accounts that have samples.
func BenchmarkLabels(b *testing.B) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("account-%04d", i))
	}
	w := newWorld(b, names...)
	w.fill(b, firstDay, 2)
	api := w.api(b)
	b.ReportAllocs()
	for b.Loop() {
		if got := api.get(b, "label/account/values"); got.Code != http.StatusOK || len(got.Data) < 2000*len(names[0]) {
			b.Fatalf("%d, %d bytes", got.Code, len(got.Data))
		}
	}
}
