package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

// figure reads one number.
func figure(b *testing.B, conn *pgx.Conn, query string) float64 {
	b.Helper()
	var n float64
	if err := conn.QueryRow(b.Context(), query).Scan(&n); err != nil {
		b.Fatalf("%s: %v", query, err)
	}
	return n
}

const (
	bytesOfAll = `SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class WHERE relkind = 'r' AND relnamespace = 'weixin_exporter'::regnamespace`
	// Each leaves a dead row behind.
	updatesOfAll = `SELECT sum(n_tup_upd + n_tup_del)::float8 FROM pg_stat_user_tables WHERE schemaname = 'weixin_exporter'`
	rowsOfAll    = `SELECT ((SELECT count(*) FROM weixin_exporter.day) + (SELECT count(*) FROM weixin_exporter.daily) + (SELECT count(*) FROM weixin_exporter.hourly))::float8`
)

// vacuum does what autovacuum does in time.
func vacuum(b *testing.B, conn *pgx.Conn) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSize stores 30 days of accounts with traffic in each hour as an exporter does: both calls are not ready at
// first, known at the second attempt and asked once more. It reports the size on the disk with all indexes.
func BenchmarkSize(b *testing.B) {
	const accounts, days = 1000, 30
	for b.Loop() {
		database := newDatabase(b)
		s, conn := open(b, database), connect(b, database)
		for day := range datacube.Date(days) {
			storeDay(b, s, accounts, storetest.FirstDay+day)
			vacuum(b, conn)
		}
		size, rows := figure(b, conn, bytesOfAll), figure(b, conn, rowsOfAll)
		b.ReportMetric(size/accounts/days, "bytes/account-day")
		b.ReportMetric(rows/accounts/days, "rows/account-day")
		b.ReportMetric(figure(b, conn, updatesOfAll)/accounts/days, "updates/account-day")
		for _, table := range []string{"account", "day", "daily", "hourly"} {
			b.ReportMetric(figure(b, conn, `SELECT pg_total_relation_size('weixin_exporter.`+table+`')::float8`)/accounts/days, table+"-bytes/account-day")
		}
	}
}

// storeDay saves what an exporter learns of a day.
func storeDay(b *testing.B, s store.Store, accounts int, date datacube.Date) {
	b.Helper()
	const attempts = 3
	for attempt := range attempts {
		hourly := storetest.Round(accounts, date)
		daily := make([]store.Record, accounts)
		for i := range hourly {
			hourly[i].State.Asks = min(attempt+1, 2)
			switch attempt {
			case 0:
				hourly[i].State.Status, hourly[i].State.KnownAt = store.NotReady, time.Time{}
				hourly[i].Hourly = nil
			case 2:
				hourly[i].State.Rechecked, hourly[i].State.Rechecks = true, 1
			}
			daily[i] = store.Record{AppID: hourly[i].AppID, API: datacube.Daily, Date: date, State: hourly[i].State}
			if hourly[i].Hourly != nil {
				daily[i].Daily = &hourly[i].Hourly[0]
			}
		}
		const together = 100 // so many answers arrive while a transaction is under way
		for first := 0; first < accounts; first += together {
			storetest.Save(b, s, append(hourly[first:first+together:first+together], daily[first:first+together]...)...)
		}
	}
}

// BenchmarkPrune deletes the oldest day of 10,000 accounts, of which a month is stored.
func BenchmarkPrune(b *testing.B) {
	const accounts, days = 10_000, 30
	database := newDatabase(b)
	s := open(b, database)
	for day := range datacube.Date(days) {
		hourly := storetest.Round(accounts, storetest.FirstDay+day)
		for i := range hourly {
			daily := hourly[i]
			daily.API, daily.Daily, daily.Hourly = datacube.Daily, &hourly[i].Hourly[0], nil
			hourly = append(hourly, daily)
		}
		storetest.Save(b, s, hourly...)
	}
	conn := connect(b, database)
	if _, err := conn.Exec(context.WithoutCancel(b.Context()), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
	before := storetest.FirstDay + 1
	spent := serverTime()
	for b.Loop() {
		if _, err := s.Prune(b.Context(), before); err != nil {
			b.Fatal(err)
		}
		before++
	}
	b.ReportMetric(float64((serverTime()-spent).Milliseconds())/float64(b.N), "server-ms/op")
	b.ReportMetric(figure(b, conn, `SELECT sum(n_tup_del)::float8 FROM pg_stat_user_tables WHERE schemaname = 'weixin_exporter'`)/float64(b.N), "rows/op")
	b.ReportMetric(figure(b, conn, bytesOfAll), "bytes")
}

// TestFiguresThatAreTheSame: an answer with the stored figures leaves no dead rows of them behind.
func TestFiguresThatAreTheSame(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s, conn := open(t, database), connect(t, database)
	row := func(table string) string {
		t.Helper()
		var place string
		if err := conn.QueryRow(t.Context(), `SELECT ctid::text FROM weixin_exporter.`+table).Scan(&place); err != nil {
			t.Fatal(err)
		}
		return place
	}
	hours := datacube.Hours{{Callbacks: 7}}
	daily, hourly := storetest.Daily(storetest.Shop, storetest.FirstDay, 7), storetest.Hourly(storetest.Shop, storetest.FirstDay, hours)
	storetest.Save(t, s, daily, hourly)
	days, hoursRow, states := row("daily"), row("hourly"), row("day WHERE api = 0")
	daily.State.Rechecked, hourly.State.Rechecked = true, true
	storetest.Save(t, s, daily, hourly)
	if row("daily") != days || row("hourly") != hoursRow || row("day WHERE api = 0") == states {
		t.Error("figures were written again, or the state was not")
	}
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 8), storetest.Hourly(storetest.Shop, storetest.FirstDay, datacube.Hours{{Callbacks: 8}}))
	if row("daily") == days || row("hourly") == hoursRow {
		t.Error("other figures were not written")
	}
}
