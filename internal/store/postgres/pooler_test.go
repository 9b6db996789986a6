package postgres_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// newPooler starts a pooler of the server for one test.
func newPooler(t *testing.T) *postgrestest.Pooler {
	t.Helper()
	p, err := postgrestest.StartPooler(t.Context(), server)
	if errors.Is(err, postgrestest.ErrNoPooler) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestStoreThroughAPooler: nothing needs a session of its own.
func TestStoreThroughAPooler(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	pooler := newPooler(t)
	pooled := engine()
	pooled.New = func(tb testing.TB) storetest.Place {
		tb.Helper()
		database := newDatabase(tb)
		return placeAt(database, secret.NewURL(pooler.URL(database)))
	}
	storetest.Run(t, pooled)
	storetest.RunCopy(t, pooled, pooled)
}

// TestSuspendedProcessesBehindAPooler: processes that say nothing more, wherever they are in a transaction, occupy all
// connections of the pooler to the server, but not for long.
func TestSuspendedProcessesBehindAPooler(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	pooler := newPooler(t)
	const steps = 4 // of a transaction that loads
	for writes := 1; writes <= steps; writes++ {
		t.Run(strconv.Itoa(writes), func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t)
			open := func(url string) *postgres.Store {
				s, err := postgres.Open(t.Context(), secret.NewURL(url), postgres.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() }) // its connections may be gone
				return s
			}
			other := open(pooler.URL(database))
			for range postgrestest.PoolSize {
				proxy := postgrestest.NewProxy(t, pooler)
				suspended := open(proxy.URL(database))
				proxy.SilenceAfter(writes)
				const enough = 3 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), enough)
				_, err := suspended.Load(ctx, 0)
				cancel()
				if err == nil && writes < steps-1 {
					t.Errorf("a transaction has ended after %d messages", writes)
				}
			}
			if _, err := other.Load(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
}
