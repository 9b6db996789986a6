package sqlite_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

const (
	firstDay  = storetest.FirstDay
	shop      = storetest.Shop
	bot       = storetest.Bot
	beforeAll = storetest.BeforeAll
	afterAll  = storetest.AfterAll
)

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func save(tb testing.TB, s *sqlite.Store, records ...store.Record) []store.Revision {
	tb.Helper()
	return storetest.Save(tb, s, records...)
}

func load(tb testing.TB, s *sqlite.Store, since datacube.Date, appIDs ...string) map[string]*store.Account {
	tb.Helper()
	return storetest.Load(tb, s, since, appIDs...)
}

func daily(appID string, date datacube.Date, callbacks int64) store.Record {
	return storetest.Daily(appID, date, callbacks)
}

func hourly(appID string, date datacube.Date, hours datacube.Hours) store.Record {
	return storetest.Hourly(appID, date, hours)
}

// shell opens a file for SQL, as the sqlite3 shell does.
func shell(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func run(tb testing.TB, db *sql.DB, query string) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), query); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

// table returns the result of a query as lines of columns separated by spaces.
func table(tb testing.TB, db *sql.DB, query string) string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			tb.Fatal(err)
		}
		for i, v := range values {
			if i > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprint(&b, *v.(*any))
		}
		b.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}
