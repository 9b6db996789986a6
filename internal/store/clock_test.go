package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/store"
)

// seen returns what RecordedTime does.
func seen(t *testing.T, s *store.Store) time.Time {
	t.Helper()
	at, err := s.RecordedTime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSeen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if at := seen(t, s); !at.IsZero() {
		t.Errorf("an empty store has seen %v", at)
	}
	record := daily(shop, firstDay, 8)
	record.State.AskedAt = firstDay.End().Add(time.Hour)
	save(t, s, record)
	if at := seen(t, s); !at.Equal(record.State.AskedAt) {
		t.Errorf("an answer at %v: seen %v", record.State.AskedAt, at)
	}
	noon := firstDay.Start().Add(12 * time.Hour)
	for _, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour)} {
		if err := s.RecordTime(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	// What was sure counts, not by which clock an answer was noted.
	if at := seen(t, s); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("seen %v, want the latest that was noted", at)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if at := seen(t, open(t, path)); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("after it was opened again: seen %v", at)
	}
}
