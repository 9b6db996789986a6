package store_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// TestCloseRightAfterTheContextEnded: what was broken off is rolled back before Close returns,
// so that nothing is left beside the file.
func TestCloseRightAfterTheContextEnded(t *testing.T) {
	var days []store.Record
	for day := range datacube.Date(40) {
		days = append(days, daily("wx1", firstDay+day, 5))
	}
	for moment := range 60 {
		path := filepath.Join(t.TempDir(), "store.db")
		s, err := store.Open(t.Context(), path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		save(t, s, days...)
		ctx, cancel := context.WithCancel(t.Context())
		loaded := make(chan struct{})
		go func() {
			defer close(loaded)
			_, _ = s.Load(ctx, 0) // broken off or not
		}()
		for range moment * 20 { // so that it is broken off at one point or another
			runtime.Gosched()
		}
		cancel()
		<-loaded
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, rest := range []string{"-wal", "-shm"} {
			if _, err := os.Stat(path + rest); err == nil {
				t.Fatalf("%s was left behind", rest)
			}
		}
	}
}
