package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// server is the server of all tests; nil if PostgreSQL is not installed.
var server *postgrestest.Server

// template is a database with the schema.
const template = "template_store"

// exporter is the user of the tests. It owns the schema and may do nothing else, as docs/high-availability.md promises.
const exporter = "weixin_exporter"

// userOf returns the URL of a database for another user.
func userOf(url, user string) secret.URL {
	return secret.NewURL(strings.Replace(url, "postgres@", user+"@", 1))
}

func TestMain(m *testing.M) {
	storetest.Main(func(ctx context.Context, url string) (store.Store, error) {
		return postgres.Open(ctx, secret.NewURL(url), postgres.Options{})
	})
	storetest.MainOfRestore(func(ctx context.Context, place string, fill func(store.Restorer) error) error {
		if strings.HasPrefix(place, "postgres://") {
			return postgres.Restore(ctx, secret.NewURL(place), fill)
		}
		return sqlite.Restore(ctx, place, storetest.Asked(), fill)
	})
	os.Exit(postgrestest.Main(m, func(s *postgrestest.Server) error {
		server = s
		if s == nil {
			return nil
		}
		ctx := context.Background()
		err := errors.Join(
			s.Execute(ctx, "postgres", "CREATE ROLE "+exporter+" LOGIN", "CREATE DATABASE "+template),
			s.Execute(ctx, template, "CREATE SCHEMA weixin_exporter AUTHORIZATION "+exporter),
		)
		if err != nil {
			return err
		}
		known, err := postgres.Open(ctx, userOf(s.URL(template), exporter), postgres.Options{})
		if err != nil {
			return err
		}
		return known.Close()
	}))
}

// newDatabase returns the name of a new database with the schema.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	if server == nil {
		tb.Skip(postgrestest.ErrNotInstalled)
	}
	return server.Create(tb, template)
}

// open opens the store in a database.
func open(tb testing.TB, database string) *postgres.Store {
	tb.Helper()
	return openAt(tb, userOf(server.URL(database), exporter), postgres.Options{})
}

// openAt opens the store at a URL.
func openAt(tb testing.TB, url secret.URL, o postgres.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), url, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// expire makes the lease of a process end.
func expire(tb testing.TB, database, name string) {
	tb.Helper()
	_, err := connect(tb, database).Exec(tb.Context(), `WITH ended AS (
			UPDATE weixin_exporter.member SET until = to_timestamp(0) WHERE name = $1 RETURNING id)
		UPDATE weixin_exporter.slot SET until = to_timestamp(0) FROM ended WHERE owner = id`, name)
	if err != nil {
		tb.Fatal(err)
	}
}

// run runs statements in a database.
func run(tb testing.TB, database string, statements ...string) {
	tb.Helper()
	if err := server.Execute(tb.Context(), database, statements...); err != nil {
		tb.Fatal(err)
	}
}

func engine() storetest.Engine {
	return storetest.Engine{Divided: true, New: func(tb testing.TB) storetest.Place { tb.Helper(); return placeOf(newDatabase(tb)) }}
}

// placeOf returns a database as a place for tests.
func placeOf(database string) storetest.Place {
	return placeAt(database, userOf(server.URL(database), exporter))
}

// placeAt returns a database that is reached by a URL as a place for tests.
func placeAt(database string, url secret.URL) storetest.Place {
	return storetest.Place{
		Name:    database,
		Address: url.Reveal(),
		Open:    func(tb testing.TB) store.Store { tb.Helper(); return openAt(tb, url, postgres.Options{}) },
		Restore: func(ctx context.Context, fill func(store.Restorer) error) error {
			return postgres.Restore(ctx, url, fill)
		},
		Try: func(ctx context.Context, busy time.Duration) (store.Store, error) {
			return postgres.Open(ctx, url, postgres.Options{BusyTimeout: busy})
		},
		Join: func(tb testing.TB, m storetest.Member) store.Store {
			tb.Helper()
			return openAt(tb, url, postgres.Options{Duty: m.Duty, Name: m.Name, Now: m.Now, Lease: m.Lease})
		},
		Expire: func(tb testing.TB, name string) { tb.Helper(); expire(tb, database, name) },
		Block:  func(tb testing.TB) func() { tb.Helper(); return block(tb, database) },
		MakeNewer: func(tb testing.TB) {
			tb.Helper()
			run(tb, database, `INSERT INTO weixin_exporter.goose_db_version (version_id, is_applied) VALUES (999, true)`)
		},
		RemoveTable: func(tb testing.TB) { tb.Helper(); run(tb, database, `DROP TABLE weixin_exporter.hourly CASCADE`) },
		Processor:   serverTime,
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	storetest.Run(t, engine())
}

func TestCopy(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	for name, engines := range map[string][2]storetest.Engine{
		"InDatabases": {engine(), engine()}, "FromAFile": {inFile(), engine()}, "ToAFile": {engine(), inFile()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.RunCopy(t, engines[0], engines[1])
		})
	}
}

// inFile is the other engine, as far as copies need it.
func inFile() storetest.Engine {
	return storetest.Engine{New: func(tb testing.TB) storetest.Place {
		tb.Helper()
		path := filepath.Join(tb.TempDir(), "store.db")
		return storetest.Place{
			Name: path, Address: path,
			Open: func(tb testing.TB) store.Store {
				tb.Helper()
				s, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
				if err != nil {
					tb.Fatal(err)
				}
				tb.Cleanup(func() { _ = s.Close() })
				return s
			},
			Restore: func(ctx context.Context, fill func(store.Restorer) error) error {
				return sqlite.Restore(ctx, path, storetest.Asked(), fill)
			},
		}
	}}
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, engine()) }

// serverTime returns the processor time that all processes of the server have taken.
func serverTime() time.Duration {
	var sum time.Duration
	for _, pid := range server.Processes() {
		sum += storetest.ProcessorTime(pid)
	}
	return sum
}
