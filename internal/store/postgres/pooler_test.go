package postgres_test

import (
	"errors"
	"os"
	"testing"

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
