package postgrestest_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store/postgres/postgrestest"
)

// TestServer: what is stored survives a stop and a crash, and databases are copies of their template.
func TestServer(t *testing.T) {
	t.Parallel()
	s, err := postgrestest.Start(t.Context())
	if errors.Is(err, postgrestest.ErrNotInstalled) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Execute(t.Context(), "postgres", `CREATE DATABASE pattern`); err != nil {
		t.Fatal(err)
	}
	if err := s.Execute(t.Context(), "pattern", `CREATE TABLE kept (n integer)`, `INSERT INTO kept VALUES (7)`); err != nil {
		t.Fatal(err)
	}
	name := s.Create(t, "pattern")
	for _, end := range []func() error{s.Stop, s.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.Execute(t.Context(), name, `SELECT 1`); err == nil {
			t.Error("a server that was ended answers")
		}
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		conn, err := pgx.Connect(t.Context(), s.URL(name))
		if err == nil {
			err = errors.Join(conn.QueryRow(t.Context(), `SELECT n FROM kept`).Scan(&n), conn.Close(t.Context()))
		}
		if err != nil || n != 7 {
			t.Errorf("the copy contains %d: %v", n, err)
		}
	}
	if err := s.Execute(t.Context(), name, `SELECT nothing`); err == nil || !strings.Contains(err.Error(), "SELECT nothing: ") {
		t.Errorf("a wrong statement: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Folder()); err == nil {
		t.Error("its folder is still there")
	}
}

// TestPooler: the database can be reached through the pooler, also after a restart and through a proxy before it.
func TestPooler(t *testing.T) {
	t.Parallel()
	s, err := postgrestest.Start(t.Context())
	if errors.Is(err, postgrestest.ErrNotInstalled) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Remove() })
	p, err := postgrestest.StartPooler(t.Context(), s)
	if errors.Is(err, postgrestest.ErrNoPooler) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(t.Context(), p.URL("postgres")); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a pooler that was killed answers")
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), postgrestest.NewProxy(t, p).URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := errors.Join(conn.QueryRow(t.Context(), "SELECT 7").Scan(&n), conn.Close(t.Context())); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if err := p.Remove(); err != nil {
		t.Error(err)
	}
}
