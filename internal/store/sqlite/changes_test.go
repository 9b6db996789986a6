package sqlite_test

import (
	"path/filepath"
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

func TestChanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		if got, latest := changed(t, s, 0); len(got) > 0 || latest != 0 {
			t.Fatalf("%q up to %d in an empty store", got, latest)
		}
		save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), daily(bot, firstDay, 1))
		got, first := changed(t, s, 0)
		if want := []string{shop, bot}; !slices.Equal(got, want) {
			t.Errorf("changed at first: %q, want %q", got, want)
		}
		late := store.Record{AppID: bot, API: 1, Date: firstDay, State: store.State{Status: store.NotReady, AskedAt: asked}}
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

// version returns the store's version.
func version(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionOfOtherProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	here, there := open(t, path), open(t, path)
	before := version(t, here)
	save(t, here, daily(shop, firstDay, 1))
	if _, err := here.Prune(t.Context(), firstDay); err != nil {
		t.Fatal(err)
	}
	load(t, here, firstDay)
	load(t, there, firstDay)
	if got := version(t, here); got != before {
		t.Errorf("saves of this process and reads of others changed the version from %d to %d", before, got)
	}
	save(t, there, daily(bot, firstDay, 1))
	if got := version(t, here); got == before {
		t.Errorf("another process saved, but the version is still %d", got)
	}
	before = version(t, here)
	if got := version(t, here); got != before {
		t.Errorf("nothing happened, but the version changed from %d to %d", before, got)
	}
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

// BenchmarkFollow shows what it costs an exporter with many accounts to find out what others
// BenchmarkFollow measures how an exporter with many accounts finds out what other processes have
// written: nothing, or days of a few accounts, which it then loads.
func BenchmarkFollow(b *testing.B) {
	const accounts, days, changed = 10_000, 10, 4
	path := filepath.Join(b.TempDir(), "store.db")
	here, there := open(b, path), open(b, path)
	fill(b, here, accounts, days)
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			if _, err := here.Version(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("four_accounts", func(b *testing.B) {
		_, mark, err := here.Changed(b.Context(), 0)
		if err != nil {
			b.Fatal(err)
		}
		date := firstDay + days
		for b.Loop() {
			b.StopTimer()
			save(b, there, round(changed, date)...)
			date++
			b.StartTimer()
			if _, err := here.Version(b.Context()); err != nil {
				b.Fatal(err)
			}
			var appIDs []string
			if appIDs, mark, err = here.Changed(b.Context(), mark); err != nil || len(appIDs) != changed {
				b.Fatalf("changed: %q, %v", appIDs, err)
			}
			load(b, here, firstDay, appIDs...)
		}
	})
}
