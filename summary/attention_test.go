package summary_test

import (
	"testing"

	"weixin_exporter/summary"
)

func TestAttention(t *testing.T) {
	for name, c := range map[string]struct {
		figures              summary.Figures
		manyFailed, timedOut bool
	}{
		"no traffic":                       {summary.Figures{}, false, false},
		"one failure of a quiet account":   {summary.Figures{Callbacks: 40, Failures: 1}, false, false},
		"one slow failure":                 {summary.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 5000}, false, false},
		"all failures of a quiet account":  {summary.Figures{Callbacks: 20, Failures: 20}, true, false},
		"one below the number":             {summary.Figures{Callbacks: 19, Failures: 19}, false, false},
		"exactly one percent":              {summary.Figures{Callbacks: 2000, Failures: 20}, true, false},
		"just below one percent":           {summary.Figures{Callbacks: 2001, Failures: 20}, false, false},
		"slow and failing":                 {summary.Figures{Callbacks: 20000, Failures: 20, MaxTimeCostMillis: 4900}, false, true},
		"slow, with hardly any failure":    {summary.Figures{Callbacks: 20001, Failures: 20, MaxTimeCostMillis: 5000}, false, false},
		"slow, without any failure":        {summary.Figures{Callbacks: 100, MaxTimeCostMillis: 5005}, false, false},
		"failing, and just below the time": {summary.Figures{Callbacks: 2000, Failures: 200, MaxTimeCostMillis: 4899}, true, false},
	} {
		if many, slow := c.figures.ManyFailed(), c.figures.TimedOut(); many != c.manyFailed || slow != c.timedOut {
			t.Errorf("%s: many failed %v, timed out %v; want %v, %v", name, many, slow, c.manyFailed, c.timedOut)
		}
	}
}
