package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// firstDay is 2026-11-01.
const firstDay datacube.Date = 20758

const (
	shop = "wx0123456789abcdef"
	bot  = "wxfedcba9876543210"
)

// asked is nine o'clock on the day after firstDay, when its figures are available.
var asked = time.Date(2026, 11, 2, 9, 0, 0, 0, datacube.China)

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
	revisions, err := s.Save(tb.Context(), records)
	if err != nil {
		tb.Fatal(err)
	}
	return revisions
}

func load(tb testing.TB, s *sqlite.Store, since datacube.Date, appIDs ...string) map[string]*store.Account {
	tb.Helper()
	accounts, err := s.Load(tb.Context(), since, appIDs...)
	if err != nil {
		tb.Fatal(err)
	}
	return accounts
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

// days are states in the form of a map.
type days map[datacube.Date]store.State

func statesOf(d days) store.States {
	var s store.States
	for date, state := range d {
		s.Set(date, state)
	}
	return s
}

func known() store.State { return store.State{Status: store.Known, AskedAt: asked, KnownAt: asked} }

func daily(appID string, date datacube.Date, callbacks int64) store.Record {
	return store.Record{
		AppID: appID, API: datacube.Daily, Date: date, State: known(),
		Daily: &datacube.Figures{Callbacks: callbacks, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
	}
}

func hourly(appID string, date datacube.Date, hours datacube.Hours) store.Record {
	return store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: known(), Hourly: &hours}
}

// each runs a test for a store in memory and for one in a file, which is closed and opened
// each runs a test for a store in memory and for one in a file, which is closed and opened again
func each(t *testing.T, test func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		s := open(t, "")
		test(t, s, func() *sqlite.Store { return s })
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "store.db")
		s := open(t, path)
		test(t, s, func() *sqlite.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, path)
		})
	})
}
