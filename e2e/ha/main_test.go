// Package ha_test tests several exporters that share a database: real processes, a real PostgreSQL, with pgbouncer
// before it or without, and a simulated Weixin. What fails, and when, is random and follows from a seed.
package ha_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
)

// patience limits each wait. Nothing takes nearly as long, not even on a machine with ten times more work than
// processors.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	exportertest.Main()
	os.Exit(m.Run())
}

// setting returns a number from the environment.
func setting(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// eventually calls try until it returns no error, and fails the test if that takes too long.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := exportertest.Poll(ctx, try); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// pause lets a fault last for some time.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
