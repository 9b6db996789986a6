package datacube

// Thresholds above which figures need attention. The page, the dashboards and the alerts apply the same rules; tests
// compare the numbers in the latter two with these. A ratio alone means little: one failure in 40 callbacks is 2.5 %.
const (
	// ManyFailures is the least number of failed callbacks, in a day or an hour, for which failure ratios matter.
	ManyFailures = 20
	// HighFailureRatio is the least failure ratio of a day that is high.
	HighFailureRatio = 0.01
	// HighHourFailureRatio is the least failure ratio of an hour that is high.
	HighHourFailureRatio = 0.05
	// HourTimesDay is how many times as high as that of its day the failure ratio of an hour that stands out is.
	HourTimesDay = 3
	// TimeoutSeconds is the least time of the longest callback that counts as a timeout: Weixin waits 5 seconds.
	TimeoutSeconds = 4.9
	// TimeoutFailureRatio is the least failure ratio for which timeouts matter: of many callbacks a few are always slow.
	TimeoutFailureRatio = 0.001
)

// FailureRatio returns the share of callbacks that failed, 0 to 1, and false if there was no callback.
func (f Figures) FailureRatio() (float64, bool) {
	if f.Callbacks == 0 {
		return 0, false
	}
	return float64(f.Failures) / float64(f.Callbacks), true
}

// ManyFailed reports whether the failures of a day need attention.
func (f Figures) ManyFailed() bool {
	return f.failed(HighFailureRatio)
}

// TimedOut reports whether failures of a day are due to timeouts.
func (f Figures) TimedOut() bool {
	return f.MaxTimeCostSeconds() >= TimeoutSeconds && f.failed(TimeoutFailureRatio)
}

func (f Figures) failed(minRatio float64) bool {
	ratio, ok := f.FailureRatio()
	return ok && ratio >= minRatio && f.Failures >= ManyFailures
}

// ManyFailedInHour reports whether the failures of an hour are many, apart from those of its day.
func (f Figures) ManyFailedInHour() bool {
	return f.failed(HighHourFailureRatio)
}

// Total returns the figures of the whole day: the sums, and the longest of the maxima.
func (h *Hours) Total() Figures {
	var day Figures
	for _, f := range h {
		day.Callbacks += f.Callbacks
		day.Failures += f.Failures
		day.TimeCostMillis += f.TimeCostMillis
		day.MaxTimeCostMillis = max(day.MaxTimeCostMillis, f.MaxTimeCostMillis)
	}
	return day
}

// Failed returns the hours that need attention: those whose failures are many and stand out of their day.
func (h *Hours) Failed() []int {
	ofDay, _ := h.Total().FailureRatio()
	var failed []int
	for hour, f := range h {
		if ratio, _ := f.FailureRatio(); f.ManyFailedInHour() && ratio > HourTimesDay*ofDay {
			failed = append(failed, hour)
		}
	}
	return failed
}
