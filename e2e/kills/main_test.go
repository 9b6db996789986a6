// Package kills_test kills the exporter at random moments, and checks what it leaves behind: a real process with the clock
// of the test, a simulated Weixin, a receiver of remote write, and either engine of the store.
package kills_test

import (
	"os"
	"strconv"
	"testing"

	"weixin_exporter/internal/exportertest"
)

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
		t.Fatalf("$%s: %v", variable, err)
	}
	return n
}
