package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"weixin_exporter/weixin/datacube"
)

const endpoint = "http://receiver.test/write"

// Days stored before there were marks are pending too, and days that are too old are counted once over
// all portions.
func TestPendingWithoutMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for date := firstDay - 20; date < firstDay+10; date++ {
		save(t, s, daily(shop, date, int64(date)), hourly(shop, date, datacube.Hours{}))
		save(t, s, daily(bot, date, int64(date)))
	}
	db := shell(t, path)
	run(t, db, `UPDATE day SET changed = 0`)
	run(t, db, `UPDATE account SET changed = 0`)
	var days, tooOld [datacube.APIs]int64
	for range 100 {
		appIDs, err := s.Undelivered(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if len(appIDs) == 0 {
			break
		}
		dues, err := s.ReadPending(t.Context(), endpoint, firstDay, 302, appIDs...)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dues {
			for api := range tooOld {
				tooOld[api] += d.TooOld[api]
			}
			days[datacube.Daily] += int64(len(d.Daily))
			days[datacube.Hourly] += int64(len(d.Hourly))
		}
		if err := s.MarkDelivered(t.Context(), endpoint, time.Time{}, dues...); err != nil {
			t.Fatal(err)
		}
	}
	if days != [datacube.APIs]int64{20, 10} || tooOld != [datacube.APIs]int64{40, 20} {
		t.Errorf("%v days were pending and %v too old", days, tooOld)
	}
}
