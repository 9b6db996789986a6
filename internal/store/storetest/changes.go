package storetest

import (
	"slices"
	"testing"

	"weixin_exporter/internal/store"
)

// changed returns the accounts that were changed after a mark, in order, and the latest mark.
func changed(t *testing.T, s store.Store, after store.Mark) ([]string, store.Mark) {
	t.Helper()
	appIDs, latest, err := s.Changed(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(appIDs)
	return appIDs, latest
}

func testChanged(t *testing.T, e Engine) {
	each(t, e, func(t *testing.T, s store.Store, reopen func() store.Store) {
		if got, latest := changed(t, s, 0); len(got) > 0 || latest != 0 {
			t.Fatalf("%q up to %d in an empty store", got, latest)
		}
		Save(t, s, Daily(Shop, FirstDay, 1), Daily(Shop, FirstDay+1, 1), Daily(Bot, FirstDay, 1))
		got, first := changed(t, s, 0)
		if want := []string{Shop, Bot}; !slices.Equal(got, want) {
			t.Errorf("changed at first: %q, want %q", got, want)
		}
		late := store.Record{AppID: Bot, API: 1, Date: FirstDay, State: store.State{Status: store.NotReady, AskedAt: Asked()}}
		Save(t, s, late)
		s = reopen()
		got, second := changed(t, s, first)
		if want := []string{Bot}; !slices.Equal(got, want) {
			t.Errorf("changed after %d: %q, want %q", first, got, want)
		}
		if got, latest := changed(t, s, second); len(got) > 0 || latest != second || second <= first {
			t.Errorf("after %d and %d: %q up to %d", first, second, got, latest)
		}
	})
}

func testChangedByAnotherProcess(t *testing.T, e Engine) {
	place := e.New(t)
	here, there := place.Open(t), place.Open(t)
	Save(t, here, Daily(Shop, FirstDay, 1))
	_, before := changed(t, here, 0)
	Save(t, there, Daily(Bot, FirstDay, 1))
	if got, _ := changed(t, here, before); !slices.Equal(got, []string{Bot}) {
		t.Errorf("changed: %q, want %q", got, Bot)
	}
}

// version returns the store's version.
func version(t *testing.T, s store.Store) int64 {
	t.Helper()
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testVersionOfOtherProcesses(t *testing.T, e Engine) {
	place := e.New(t)
	here, there := place.Open(t), place.Open(t)
	before := version(t, here)
	Save(t, here, Daily(Shop, FirstDay, 1))
	if _, err := here.Prune(t.Context(), FirstDay); err != nil {
		t.Fatal(err)
	}
	Load(t, here, FirstDay)
	Load(t, there, FirstDay)
	if got := version(t, here); got != before {
		t.Errorf("saves of this process and reads of others changed the version from %d to %d", before, got)
	}
	Save(t, there, Daily(Bot, FirstDay, 1))
	if got := version(t, here); got == before {
		t.Errorf("another process saved, but the version is still %d", got)
	}
	before = version(t, here)
	if got := version(t, here); got != before {
		t.Errorf("nothing happened, but the version changed from %d to %d", before, got)
	}
}
