package sqlite_test

import (
	"path/filepath"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// TestUpgrade opens a file of the first schema: what it holds stays, and counts as stored
// TestUpgrade opens a file of the first schema: its content is kept, and counts as stored before there
// were marks.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	morning := datacube.Figures{Callbacks: 1 << 40, TimeCostMillis: 1 << 62, MaxTimeCostMillis: 7}
	evening := datacube.Figures{Callbacks: 3, Failures: 1, TimeCostMillis: 9_000_000_000, MaxTimeCostMillis: 5}
	save(t, s, daily(shop, firstDay, 8), hourly(shop, firstDay, datacube.Hours{9: morning, 23: evening}), hourly(bot, firstDay, datacube.Hours{}))
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
		`DROP TABLE hold`,
		`DROP TABLE clock`,
		`DROP TABLE resend`,
		`ALTER TABLE account DROP COLUMN changed`,
		`ALTER TABLE day DROP COLUMN changed`,
		`ALTER TABLE day DROP COLUMN damaged`,
		`ALTER TABLE day DROP COLUMN rechecks`,
		`ALTER TABLE day DROP COLUMN checksum`,
		`ALTER TABLE day DROP COLUMN digest`,
		`DELETE FROM goose_db_version WHERE version_id > 1`,
	} {
		run(t, db, statement)
	}
	s = open(t, path)
	if got := load(t, s, firstDay)[shop]; got == nil || got.Daily.Figures.Callbacks != 8 || got.Days[datacube.Daily] != 1 {
		t.Errorf("after the upgrade of the first schema: %+v", got)
	}
	known := load(t, s, firstDay)
	for _, c := range []struct {
		appID string
		api   datacube.API
		want  uint32
	}{
		{shop, datacube.Daily, store.Checksum(*daily(shop, firstDay, 8).Daily)},
		{shop, datacube.Hourly, store.Checksum(morning, evening)},
		{bot, datacube.Hourly, store.Checksum(datacube.Figures{})},
		{bot, datacube.Daily, 0},
	} {
		if got := known[c.appID].States[c.api].At(firstDay).Checksum; got != c.want {
			t.Errorf("%s, %v: the checksum is %d, want %d", c.appID, c.api, got, c.want)
		}
	}
	if got, latest := changed(t, s, -1); len(got) != 2 || latest != 0 {
		t.Errorf("changed %q up to %d", got, latest)
	}
	save(t, s, daily(shop, firstDay+1, 1))
	if got, latest := changed(t, s, 0); len(got) != 1 || latest != store.Mark(1) {
		t.Errorf("then changed %q up to %d", got, latest)
	}
}
