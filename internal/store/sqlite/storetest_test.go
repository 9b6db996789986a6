package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
)

// inFile is the engine with its stores in files.
func inFile() storetest.Engine {
	return storetest.Engine{New: func(tb testing.TB) storetest.Place {
		tb.Helper()
		path := filepath.Join(tb.TempDir(), "store.db")
		return storetest.Place{
			Open: func(tb testing.TB) store.Store { tb.Helper(); return open(tb, path) },
			Try: func(ctx context.Context, busy time.Duration) (store.Store, error) {
				return sqlite.Open(ctx, path, sqlite.Options{BusyTimeout: busy})
			},
			Restore: func(ctx context.Context, fill func(store.Restorer) error) error {
				return sqlite.Restore(ctx, path, storetest.Asked(), fill)
			},
			Name:    path,
			Address: path,
			Block: func(tb testing.TB) func() {
				tb.Helper()
				db := shell(tb, path)
				run(tb, db, `BEGIN IMMEDIATE`)
				return func() { run(tb, db, `COMMIT`) }
			},
			MakeNewer: func(tb testing.TB) {
				tb.Helper()
				run(tb, shell(tb, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`)
			},
			RemoveTable: func(tb testing.TB) {
				tb.Helper()
				db := shell(tb, path)
				run(tb, db, `DROP VIEW interface_hourly`)
				run(tb, db, `DROP TABLE hourly`)
			},
		}
	}}
}

// inMemory is the engine with its stores in memory.
func inMemory() storetest.Engine {
	return storetest.Engine{Alone: true, New: func(tb testing.TB) storetest.Place {
		tb.Helper()
		s := open(tb, "")
		return storetest.Place{
			Name: "store in memory",
			Open: func(testing.TB) store.Store { return s },
		}
	}}
}

func TestStoreInAFile(t *testing.T) {
	t.Parallel()
	storetest.Run(t, inFile())
}

func TestStoreInMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, inMemory())
}

func TestCopy(t *testing.T) {
	t.Parallel()
	storetest.RunCopy(t, inFile(), inFile())
}

func TestCopyFromMemory(t *testing.T) {
	t.Parallel()
	storetest.RunCopy(t, inMemory(), inFile())
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, inFile()) }
