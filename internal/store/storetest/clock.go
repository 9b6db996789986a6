package storetest

import (
	"testing"
	"time"

	"weixin_exporter/internal/store"
)

// recordedTime returns the latest recorded time.
func recordedTime(t *testing.T, s store.Store) time.Time {
	t.Helper()
	at, err := s.RecordedTime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func testRecordedTime(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		if at := recordedTime(t, s); !at.IsZero() {
			t.Errorf("the time of an empty store is %v", at)
		}
		record := Daily(Shop, FirstDay, 8)
		record.State.AskedAt = FirstDay.End().Add(time.Hour)
		Save(t, s, record)
		if at := recordedTime(t, s); !at.Equal(record.State.AskedAt) {
			t.Errorf("a response at %v: the time is %v", record.State.AskedAt, at)
		}
		noon := FirstDay.Start().Add(12 * time.Hour)
		for _, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour)} {
			if err := s.RecordTime(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		// The recorded time counts, not the time of a response.
		if at := recordedTime(t, s); !at.Equal(noon.Add(time.Minute)) {
			t.Errorf("the time is %v, want the latest that was recorded", at)
		}
		s = reopen()
		if at := recordedTime(t, s); !at.Equal(noon.Add(time.Minute)) {
			t.Errorf("after the store was opened again the time is %v", at)
		}
	})
}
