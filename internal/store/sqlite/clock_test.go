package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/internal/store/sqlite"
)

// recordedTime returns the latest recorded time.
func recordedTime(t *testing.T, s *sqlite.Store) time.Time {
	t.Helper()
	at, err := s.RecordedTime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestRecordedTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if at := recordedTime(t, s); !at.IsZero() {
		t.Errorf("the time of an empty store is %v", at)
	}
	record := daily(shop, firstDay, 8)
	record.State.AskedAt = firstDay.End().Add(time.Hour)
	save(t, s, record)
	if at := recordedTime(t, s); !at.Equal(record.State.AskedAt) {
		t.Errorf("a response at %v: the time is %v", record.State.AskedAt, at)
	}
	noon := firstDay.Start().Add(12 * time.Hour)
	for _, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour)} {
		if err := s.RecordTime(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	// The recorded time counts, not the time of a response.
	if at := recordedTime(t, s); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("the time is %v, want the latest that was recorded", at)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if at := recordedTime(t, open(t, path)); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("after the store was opened again the time is %v", at)
	}
}
