package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// pooler starts pgbouncer in transaction mode with two connections to each database, so that transactions of one
// client get different ones. It returns the URL of a database through it.
func pooler(t *testing.T) func(database string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		const debian = "/usr/sbin/pgbouncer"
		if _, err = os.Stat(debian); err == nil {
			path = debian
		}
	}
	switch {
	case err != nil && os.Getenv("E2E_REQUIRED") != "":
		t.Fatal("this test needs pgbouncer")
	case err != nil:
		t.Skip("this test needs pgbouncer")
	}
	folder, err := os.MkdirTemp("", "pb") //nolint:usetesting // a short path: that of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	config := filepath.Join(folder, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s user=postgres\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nlisten_port = 5432\nauth_type = any\n"+
		"pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\nlogfile = %s\n", server.Folder(), folder, filepath.Join(folder, "log"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := postgrestest.Unprivileged(exec.CommandContext(context.WithoutCancel(t.Context()), path, config), folder, config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // Wait reports how it ended, which does not matter
		_ = cmd.Wait()
	})
	through := func(database string) string {
		return "postgres://postgres@/" + url.PathEscape(database) + "?host=" + url.QueryEscape(folder)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, through("postgres"))
		if err == nil {
			_ = conn.Close(ctx) // it was only to see whether pgbouncer answers
			return through
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(folder, "log")) // for the message
			t.Fatalf("pgbouncer does not answer: %v\n%s", err, log)
		}
	}
}

// TestStoreThroughAPooler: nothing needs a session of its own.
func TestStoreThroughAPooler(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	address := pooler(t)
	pooled := engine()
	pooled.New = func(tb testing.TB) storetest.Place {
		tb.Helper()
		database := newDatabase(tb)
		place := placeOf(database)
		url := secret.NewURL(address(database))
		place.Address = url.Reveal()
		place.Try = func(ctx context.Context, busy time.Duration) (store.Store, error) {
			return postgres.Open(ctx, url, postgres.Options{BusyTimeout: busy})
		}
		place.Open = func(tb testing.TB) store.Store {
			tb.Helper()
			s, err := place.Try(tb.Context(), 0)
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = s.Close() })
			return s
		}
		return place
	}
	storetest.Run(t, pooled)
}
