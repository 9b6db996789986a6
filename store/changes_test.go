package store_test

import (
	"path/filepath"
	"slices"
	"testing"

	"weixin_exporter/store"
)

// changed returns the accounts that were changed after a mark, in order, and the latest mark.
func changed(t *testing.T, s *store.Store, after store.Mark) ([]string, store.Mark) {
	t.Helper()
	appIDs, latest, err := s.Changed(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(appIDs)
	return appIDs, latest
}

func TestChanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *store.Store, reopen func() *store.Store) {
		t.Helper()
		if got, latest := changed(t, s, 0); len(got) > 0 || latest != 0 {
			t.Fatalf("%q up to %d in an empty store", got, latest)
		}
		save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), daily(bot, firstDay, 1))
		got, first := changed(t, s, 0)
		if want := []string{shop, bot}; !slices.Equal(got, want) {
			t.Errorf("changed at first: %q, want %q", got, want)
		}
		late := store.Record{AppID: bot, API: 1, Date: firstDay, State: store.State{Status: store.NotThere, AskedAt: asked}}
		save(t, s, late)
		s = reopen()
		got, second := changed(t, s, first)
		if want := []string{bot}; !slices.Equal(got, want) {
			t.Errorf("changed after %d: %q, want %q", first, got, want)
		}
		if got, latest := changed(t, s, second); len(got) > 0 || latest != second || second <= first {
			t.Errorf("after %d and %d: %q up to %d", first, second, got, latest)
		}
	})
}

func TestChangedByAnotherProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	here, there := open(t, path), open(t, path)
	save(t, here, daily(shop, firstDay, 1))
	_, before := changed(t, here, 0)
	save(t, there, daily(bot, firstDay, 1))
	if got, _ := changed(t, here, before); !slices.Equal(got, []string{bot}) {
		t.Errorf("changed: %q, want %q", got, bot)
	}
}
