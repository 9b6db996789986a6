package engine_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/weixin/secret"
)

func TestStatusOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if s := engine.StatusOf(config.Store{Path: path}); s.Bytes != 0 || !s.LastWrite.IsZero() || s.Engine != "SQLite" || s.Place != path {
		t.Errorf("without a file: %+v", s)
	}
	written := time.Date(2026, 3, 10, 4, 0, 0, 0, time.UTC)
	for name, at := range map[string]time.Time{path: written.Add(-time.Hour), path + "-wal": written} {
		if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if s := engine.StatusOf(config.Store{Path: path}); s.Bytes != 2000 || !s.LastWrite.Equal(written) {
		t.Errorf("%+v", s)
	}
	for address, want := range map[string]string{
		"postgres://user:sim-secret-0@db:5432/x?sslmode=verify-full&password=sim-secret-1": "postgres://db:5432/x",
		"postgres://user@/x?password=sim-secret-1&host=/run/postgresql":                    "postgres:///x?host=/run/postgresql",
		"postgres://user:sim-secret-0@db:port/x":                                           "<secret>",
	} {
		if s := engine.StatusOf(config.Store{URL: secret.NewURL(address)}); s.Engine != "PostgreSQL" || !s.OnServer || s.Place != want {
			t.Errorf("in a database: %+v, want the place %q", s, want)
		}
	}
	if s := engine.StatusOf(config.Store{}); s.OnServer || s.Place != "" || s.Engine != "SQLite" {
		t.Errorf("in memory: %+v", s)
	}
}
