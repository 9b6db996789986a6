package sqlite_test

import (
	"path/filepath"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// TestKnownDaysAreCounted: the counts are right whichever process or statement changes the days.
func TestKnownDaysAreCounted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	late := store.Record{AppID: shop, API: datacube.Hourly, Date: firstDay + 2, State: store.State{Status: store.NotReady}}
	save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), daily(shop, firstDay, 2),
		hourly(shop, firstDay, datacube.Hours{}), late, daily(bot, firstDay, 1))
	db := shell(t, path)
	for _, step := range []struct {
		statement   string
		shop, other [datacube.APIs]int64
	}{
		{`SELECT 1`, [...]int64{2, 1}, [...]int64{1, 0}},
		{`UPDATE day SET status = 2 WHERE status = 1`, [...]int64{2, 2}, [...]int64{1, 0}},
		{`UPDATE day SET status = 1 WHERE date = 20758 AND api = 0`, [...]int64{1, 2}, [...]int64{0, 0}},
		{`DELETE FROM day WHERE date = 20758`, [...]int64{1, 1}, [...]int64{0, 0}},
		{`DELETE FROM day`, [...]int64{0, 0}, [...]int64{0, 0}},
	} {
		run(t, db, step.statement)
		got := load(t, s, firstDay)
		if got[shop].Days != step.shop || got[bot].Days != step.other {
			t.Errorf("after %s: %v and %v, want %v and %v", step.statement, got[shop].Days, got[bot].Days, step.shop, step.other)
		}
	}
}
