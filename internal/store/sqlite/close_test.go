package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// TestCloseRightAfterTheContextEnded: an interrupted read is rolled back before Close returns, so that
// no file is left beside the store.
func TestCloseRightAfterTheContextEnded(t *testing.T) {
	full := filepath.Join(t.TempDir(), "store.db") // filled once, since that takes longer than all reads
	s := open(t, full)
	var days []store.Record
	for day := range datacube.Date(40) {
		days = append(days, daily("wx1", firstDay+day, 5))
	}
	save(t, s, days...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for moment := range 60 {
		path := filepath.Join(t.TempDir(), "store.db")
		copied(t, full, path)
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		loaded := make(chan struct{})
		go func() {
			defer close(loaded)
			_, _ = s.Load(ctx, 0) // interrupted or not
		}()
		for range moment * 20 { // so that it is interrupted at different points
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
