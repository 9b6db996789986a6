package datacube_test

import (
	"testing"

	"weixin_exporter/weixin/datacube"
)

func TestAttention(t *testing.T) {
	for name, c := range map[string]struct {
		figures              datacube.Figures
		manyFailed, timedOut bool
	}{
		"no traffic":                       {datacube.Figures{}, false, false},
		"one failure of a quiet account":   {datacube.Figures{Callbacks: 40, Failures: 1}, false, false},
		"one slow failure":                 {datacube.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 5000}, false, false},
		"all failures of a quiet account":  {datacube.Figures{Callbacks: 20, Failures: 20}, true, false},
		"one below the number":             {datacube.Figures{Callbacks: 19, Failures: 19}, false, false},
		"exactly one percent":              {datacube.Figures{Callbacks: 2000, Failures: 20}, true, false},
		"just below one percent":           {datacube.Figures{Callbacks: 2001, Failures: 20}, false, false},
		"slow and failing":                 {datacube.Figures{Callbacks: 20000, Failures: 20, MaxTimeCostMillis: 4900}, false, true},
		"slow, with hardly any failure":    {datacube.Figures{Callbacks: 20001, Failures: 20, MaxTimeCostMillis: 5000}, false, false},
		"slow, without any failure":        {datacube.Figures{Callbacks: 100, MaxTimeCostMillis: 5005}, false, false},
		"failing, and just below the time": {datacube.Figures{Callbacks: 2000, Failures: 200, MaxTimeCostMillis: 4899}, true, false},
	} {
		if many, slow := c.figures.ManyFailed(), c.figures.TimedOut(); many != c.manyFailed || slow != c.timedOut {
			t.Errorf("%s: many failed %v, timed out %v; want %v, %v", name, many, slow, c.manyFailed, c.timedOut)
		}
	}
}

func TestFailedHours(t *testing.T) {
	even := datacube.Hours{}
	for hour := range even {
		even[hour] = datacube.Figures{Callbacks: 1000, Failures: 60, TimeCostMillis: 10, MaxTimeCostMillis: int64(hour)}
	}
	if failed := even.Failed(); len(failed) != 0 {
		t.Errorf("hours of a day on which all failed alike: %v", failed)
	}
	if total := even.Total(); total != (datacube.Figures{Callbacks: 24_000, Failures: 1440, TimeCostMillis: 240, MaxTimeCostMillis: 23}) {
		t.Errorf("total %+v", total)
	}
	var day datacube.Hours
	for hour := range day {
		day[hour] = datacube.Figures{Callbacks: 1000}
	}
	day[3] = datacube.Figures{Callbacks: 400, Failures: 20}   // exactly five percent and twenty
	day[4] = datacube.Figures{Callbacks: 380, Failures: 19}   // one below the number
	day[5] = datacube.Figures{Callbacks: 1000, Failures: 49}  // below the ratio
	day[21] = datacube.Figures{Callbacks: 100, Failures: 100} // all
	if failed := day.Failed(); len(failed) != 2 || failed[0] != 3 || failed[1] != 21 {
		t.Errorf("failed hours %v, want 3 and 21", failed)
	}
	if failed := (&datacube.Hours{}).Failed(); failed != nil {
		t.Errorf("without traffic: %v", failed)
	}
}
