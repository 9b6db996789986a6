package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// emptyDatabase returns the name of a new database without a schema.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	return server.Create(t, "template0")
}

// mayCreate lets the user of the tests create schemas in a database, and returns its URL.
func mayCreate(t *testing.T, database string) secret.URL {
	t.Helper()
	run(t, database, "GRANT CREATE ON DATABASE "+database+" TO "+exporter)
	return userOf(server.URL(database), exporter)
}

// objects returns the number of schemas and tables of a database.
func objects(t *testing.T, database string) int {
	t.Helper()
	var n int
	err := connect(t, database).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_namespace)`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyOpenANewDatabase: one of several processes creates the schema, and the others wait for it.
func TestManyOpenANewDatabase(t *testing.T) {
	t.Parallel()
	database := emptyDatabase(t)
	url := mayCreate(t, database)
	const processes = 4
	var opening sync.WaitGroup
	for n := range processes {
		opening.Go(func() {
			s, err := postgres.Open(t.Context(), url, postgres.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Save(t.Context(), []store.Record{storetest.Daily(storetest.AppID(n), storetest.FirstDay, 1)}); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	if got := storetest.Load(t, open(t, database), storetest.FirstDay); len(got) != processes {
		t.Errorf("%d accounts are stored, want %d", len(got), processes)
	}
}

// TestWithoutASchema: only Open creates the schema.
func TestWithoutASchema(t *testing.T) {
	t.Parallel()
	database := emptyDatabase(t)
	url := mayCreate(t, database)
	before := objects(t, database)
	if err := postgres.Examine(t.Context(), url); err != nil {
		t.Errorf("examine: %v", err)
	}
	if _, err := postgres.OpenReadOnly(t.Context(), url, postgres.Options{}); err == nil || !strings.Contains(err.Error(), "run weixin_exporter first") {
		t.Errorf("open for reading: %v", err)
	}
	if after := objects(t, database); after != before {
		t.Errorf("there were %d objects, and there are %d", before, after)
	}
	storetest.Save(t, open(t, database), storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	s, err := postgres.OpenReadOnly(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := storetest.Load(t, s, storetest.FirstDay); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if err := postgres.Examine(t.Context(), url); err != nil {
		t.Errorf("examine a database with a schema: %v", err)
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	s := open(t, database)
	zero := datacube.Figures{}
	full := datacube.Figures{Callbacks: 4, Failures: 3, TimeCostMillis: 20, MaxTimeCostMillis: 10}
	day := func(date datacube.Date, figures *datacube.Figures) store.Record {
		return store.Record{AppID: storetest.Shop, API: datacube.Daily, Date: date, State: storetest.Known(), Daily: figures}
	}
	storetest.Save(t, s, day(storetest.FirstDay, &full), day(storetest.FirstDay+1, &zero),
		store.Record{AppID: storetest.Shop, API: datacube.Daily, Date: storetest.FirstDay + 2, State: store.State{Status: store.NotReady}},
		storetest.Hourly(storetest.Bot, datacube.FirstDate, datacube.Hours{23: full}))
	for query, want := range map[string]string{
		`SELECT app_id, ref_date, callback_count, fail_count, total_time_cost_ms, max_time_cost_ms, begins AT TIME ZONE 'UTC'
			FROM weixin_exporter.interface_daily ORDER BY ref_date`: storetest.Shop + " 2026-11-01 4 3 20 10 2026-10-31T16:00:00\n" +
			storetest.Shop + " 2026-11-02 0 0 0 0 2026-11-01T16:00:00\n",
		`SELECT app_id, ref_date, ref_hour, callback_count, fail_count, total_time_cost_ms, max_time_cost_ms, begins AT TIME ZONE 'UTC'
			FROM weixin_exporter.interface_hourly WHERE ref_hour >= 22 ORDER BY ref_hour`: storetest.Bot + " 2014-12-01 22 0 0 0 0 2014-12-01T14:00:00\n" +
			storetest.Bot + " 2014-12-01 23 4 3 20 10 2014-12-01T15:00:00\n",
		`SELECT count(*), count(DISTINCT ref_hour), sum(callback_count)::bigint FROM weixin_exporter.interface_hourly`: "24 24 4\n",
	} {
		if got := table(t, database, query); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", query, got, want)
		}
	}
}

// table returns the result of a query as lines of columns separated by spaces.
func table(t *testing.T, database, query string) string {
	t.Helper()
	var b strings.Builder
	rows, err := connect(t, database).Query(t.Context(), `SELECT to_json(t) FROM (`+query+`) AS t`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		for i, column := range strings.Split(strings.Trim(line, "{}"), ",") {
			if i > 0 {
				b.WriteByte(' ')
			}
			_, value, _ := strings.Cut(column, ":")
			b.WriteString(strings.Trim(value, `"`))
		}
		b.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
