package store_test

import (
	"path/filepath"
	"testing"

	"weixin_exporter/store"
	"weixin_exporter/summary"
)

// TestUpgrade opens a file of the first schema: what it holds stays, and counts as stored
// before there were marks.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	save(t, s, daily(shop, firstDay, 8))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := shell(t, path)
	for _, statement := range []string{
		`DROP TRIGGER day_added`,
		`DROP TRIGGER day_changed`,
		`DROP TRIGGER day_removed`,
		`ALTER TABLE account DROP COLUMN daily_days`,
		`ALTER TABLE account DROP COLUMN hourly_days`,
		`DROP TABLE delivery`,
		`DROP TABLE mark`,
		`DROP TABLE clock`,
		`ALTER TABLE account DROP COLUMN changed`,
		`ALTER TABLE day DROP COLUMN changed`,
		`DELETE FROM goose_db_version WHERE version_id > 1`,
	} {
		run(t, db, statement)
	}
	s = open(t, path)
	if got := load(t, s, firstDay)[shop]; got == nil || got.Daily.Figures.Callbacks != 8 || got.Days[summary.Daily] != 1 {
		t.Errorf("of the first schema there is left: %+v", got)
	}
	if got, latest := changed(t, s, -1); len(got) != 1 || latest != 0 {
		t.Errorf("changed %q up to %d", got, latest)
	}
	save(t, s, daily(shop, firstDay+1, 1))
	if got, latest := changed(t, s, 0); len(got) != 1 || latest != store.Mark(1) {
		t.Errorf("then changed %q up to %d", got, latest)
	}
}
