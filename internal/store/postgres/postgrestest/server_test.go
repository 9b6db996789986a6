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
