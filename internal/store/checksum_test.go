package store_test

import (
	"math"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func TestChecksumOfADayAndItsHours(t *testing.T) {
	t.Parallel()
	hours := datacube.Hours{
		3:  {Callbacks: 12, Failures: 2, TimeCostMillis: 1 << 40, MaxTimeCostMillis: 5000},
		22: {Callbacks: math.MaxInt64 / 2, Failures: 5, TimeCostMillis: 7, MaxTimeCostMillis: 6},
	}
	day := datacube.Figures{Callbacks: 12 + math.MaxInt64/2, Failures: 7, TimeCostMillis: 1<<40 + 7, MaxTimeCostMillis: 5000}
	sum := store.Checksum(hours[:]...)
	if got := store.Checksum(day); got != sum {
		t.Errorf("the checksum of the day is %d, that of its hours %d", got, sum)
	}
	empty := store.Checksum()
	if hours := (datacube.Hours{}); store.Checksum(hours[:]...) != empty || store.Checksum(datacube.Figures{}) != empty || empty == 0 {
		t.Error("days without traffic differ, or have none")
	}
	for name, other := range map[string]datacube.Figures{
		"a callback more":    {Callbacks: day.Callbacks + 1, Failures: 7, TimeCostMillis: day.TimeCostMillis},
		"a failure less":     {Callbacks: day.Callbacks, Failures: 6, TimeCostMillis: day.TimeCostMillis},
		"a millisecond more": {Callbacks: day.Callbacks, Failures: 7, TimeCostMillis: day.TimeCostMillis + 1},
		"no traffic":         {},
	} {
		if store.Checksum(other) == sum {
			t.Errorf("%s does not change the checksum", name)
		}
	}
}
