package postgres_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// newUser creates a user with some rights, whose statements have the verb %s for it, and returns its name.
func newUser(t *testing.T, database, suffix string, rights ...string) string {
	t.Helper()
	user := "user_" + suffix + "_" + database
	run(t, database, "CREATE ROLE "+user+" LOGIN")
	for _, right := range rights {
		run(t, database, fmt.Sprintf(right, user))
	}
	return user
}

// TestTheUserOfTheTests: the other tests say something about the rights that are needed only if theirs are limited.
func TestTheUserOfTheTests(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	const query = `SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls OR rolreplication
			OR pg_catalog.has_database_privilege(rolname, current_database(), 'CREATE')
			OR pg_catalog.has_schema_privilege(rolname, 'public', 'CREATE') AS more,
		(SELECT count(*) FROM pg_catalog.pg_auth_members WHERE member = pg_roles.oid) AS roles
		FROM pg_catalog.pg_roles WHERE rolname = '` + exporter + `'`
	if got, want := table(t, database, query), "false 0\n"; got != want {
		t.Errorf("rights of %s beyond the schema: %s", exporter, got)
	}
}

// TestMissingRights: a user who lacks a right is told the statement that gives it, by Open and by Examine, before anything
// is requested from Weixin. After that statement both succeed.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		prepared bool     // there are tables, of the user of the tests
		rights   []string // of the new user
		mend     string   // what the error tells to run, with the verb %s for the user
	}{
		{"nothing", false, nil, "CREATE SCHEMA weixin_exporter AUTHORIZATION %s"},
		{"a schema of another user", false, []string{"CREATE SCHEMA weixin_exporter /* not of %s */"}, "ALTER SCHEMA weixin_exporter OWNER TO %s"},
		{
			"a schema that may be used", false,
			[]string{"CREATE SCHEMA weixin_exporter /* not of %s */", "GRANT USAGE ON SCHEMA weixin_exporter TO %s"}, "ALTER SCHEMA weixin_exporter OWNER TO %s",
		},
		{"tables of another user", true, nil, "GRANT weixin_exporter TO %s"},
		{
			"tables that may be read", true,
			[]string{"GRANT USAGE ON SCHEMA weixin_exporter TO %s", "GRANT SELECT ON ALL TABLES IN SCHEMA weixin_exporter TO %s"}, "GRANT weixin_exporter TO %s",
		},
		{
			"one table that may only be read", true,
			[]string{
				"GRANT USAGE ON SCHEMA weixin_exporter TO %s", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA weixin_exporter TO %s",
				"REVOKE UPDATE ON weixin_exporter.token FROM %s",
			}, "GRANT weixin_exporter TO %s",
		},
		{"only a new schema", true, []string{"ALTER SCHEMA weixin_exporter OWNER TO %s"}, "GRANT weixin_exporter TO %s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			database := emptyDatabase(t)
			if c.prepared {
				database = newDatabase(t)
			}
			user := newUser(t, database, "lacks", c.rights...)
			url, mend := userOf(server.URL(database), user), fmt.Sprintf(c.mend, user)
			s, err := postgres.Open(t.Context(), url, postgres.Options{})
			if err == nil {
				_ = s.Close()
			}
			if store.KindOf(err) != store.ReadOnly || !strings.Contains(err.Error(), "run "+mend) {
				t.Errorf("open: %v, of the kind %s; want %q", err, store.KindOf(err), mend)
			}
			if err := postgres.Examine(t.Context(), url); err == nil || !strings.Contains(err.Error(), "run "+mend) {
				t.Errorf("examine: %v, want %q", err, mend)
			}
			run(t, database, mend)
			if err := postgres.Examine(t.Context(), url); err != nil {
				t.Errorf("examine after %q: %v", mend, err)
			}
			storetest.Save(t, openAt(t, url, postgres.Options{}), storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
		})
	}
}

// TestTablesOfASuperuser: no user becomes a member of a superuser for tables of that one; the document has a statement that
// hands them over.
func TestTablesOfASuperuser(t *testing.T) {
	t.Parallel()
	database := emptyDatabase(t)
	storetest.Save(t, openAt(t, secret.NewURL(server.URL(database)), postgres.Options{}), storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	url := userOf(server.URL(database), exporter)
	if _, err := postgres.Open(t.Context(), url, postgres.Options{}); err == nil || !strings.Contains(err.Error(), "docs/high-availability.md") || strings.Contains(err.Error(), "GRANT") {
		t.Errorf("open: %v", err)
	}
	run(t, database, documented(t, "DO $$"))
	s := openAt(t, url, postgres.Options{})
	if got := storetest.Load(t, s, storetest.FirstDay); len(got) != 1 {
		t.Errorf("%d accounts were handed over", len(got))
	}
	storetest.Save(t, s, storetest.Daily(storetest.Bot, storetest.FirstDay, 1))
	var others int
	err := connect(t, database).QueryRow(t.Context(), `SELECT count(*) FROM pg_class
		WHERE relnamespace = 'weixin_exporter'::regnamespace AND relowner <> $1::regrole`, exporter).Scan(&others)
	if err != nil || others > 0 {
		t.Errorf("%d tables, views and indexes belong to others: %v", others, err)
	}
}

// documented returns the statements in a block of the document that begins with a text.
func documented(t *testing.T, beginning string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/high-availability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```sql\n"+beginning)
	block, _, ended := strings.Cut(block, "```")
	if !found || !ended {
		t.Fatalf("docs/high-availability.md has no SQL that begins with %q", beginning)
	}
	return beginning + block
}

// TestReader: a user who may only read can open the store for reading, and cannot write.
func TestReader(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	reader := newUser(t, database, "reader", "GRANT USAGE ON SCHEMA weixin_exporter TO %s", "GRANT SELECT ON ALL TABLES IN SCHEMA weixin_exporter TO %s")
	s, err := postgres.OpenReadOnly(t.Context(), userOf(server.URL(database), reader), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Load(t, s, storetest.FirstDay)
	if _, err := s.Save(t.Context(), []store.Record{storetest.Daily(storetest.Shop, storetest.FirstDay, 1)}); store.KindOf(err) != store.ReadOnly {
		t.Errorf("save without the right: %v", err)
	}
}

// TestOwnerOfTheSchema: a user who owns an empty schema and may do nothing else can create the tables, migrate them, and fill
// them with a copy. The other tests show that it can do all else.
func TestOwnerOfTheSchema(t *testing.T) {
	t.Parallel()
	empty := func() secret.URL {
		database := emptyDatabase(t)
		run(t, database, "CREATE SCHEMA weixin_exporter AUTHORIZATION "+exporter)
		return userOf(server.URL(database), exporter)
	}
	url := empty()
	if err := postgres.Examine(t.Context(), url); err != nil {
		t.Errorf("examine: %v", err)
	}
	storetest.Save(t, openAt(t, url, postgres.Options{}), storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	err := postgres.Restore(t.Context(), empty(), func(r store.Restorer) error {
		return r.PutAccounts(t.Context(), []store.AccountImage{{AppID: storetest.Shop}})
	})
	if err != nil {
		t.Errorf("copy: %v", err)
	}
}
