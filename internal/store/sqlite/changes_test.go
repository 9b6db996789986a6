package sqlite_test

import (
	"slices"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
)

// changed returns the accounts that were changed after a mark, in order, and the latest mark.
func changed(t *testing.T, s *sqlite.Store, after store.Mark) ([]string, store.Mark) {
	t.Helper()
	appIDs, latest, err := s.Changed(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(appIDs)
	return appIDs, latest
}

// version returns the store's version.
func version(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionInMemory(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	before := version(t, s)
	save(t, s, daily(shop, firstDay, 1))
	if got := version(t, s); got != before {
		t.Errorf("the version of a store in memory changed from %d to %d", before, got)
	}
}
