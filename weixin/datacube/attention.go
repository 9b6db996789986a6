package datacube

// What deserves attention. The page, the boards and the alerts apply the same rules; tests compare the numbers
// in the latter two with these. A ratio alone is no sign of trouble: one failure of a quiet account's forty callbacks is 2.5 %.
const (
	// ManyFailures is the number of failed callbacks, of a day or an hour, below which no failure ratio counts.
	ManyFailures = 20
	// HighFailureRatio is the failure ratio of a day from which it is high.
	HighFailureRatio = 0.01
	// HighHourFailureRatio is the failure ratio of an hour from which it is high.
	HighHourFailureRatio = 0.05
	// TimeoutSeconds is the time from which the longest callback counts as timed out: Weixin waits 5 seconds.
	TimeoutSeconds = 4.9
	// TimeoutFailureRatio is the failure ratio from which timed out callbacks count: of many callbacks a few are always slow.
	TimeoutFailureRatio = 0.001
)

// FailureRatio returns which share of the callbacks failed, and false if there was no callback.
func (f Figures) FailureRatio() (float64, bool) {
	if f.Callbacks == 0 {
		return 0, false
	}
	return float64(f.Failures) / float64(f.Callbacks), true
}

// ManyFailed reports whether the failures of a day deserve attention.
func (f Figures) ManyFailed() bool {
	return f.failed(HighFailureRatio)
}

// TimedOut reports whether failures of a day go back to callbacks that took too long.
func (f Figures) TimedOut() bool {
	return f.MaxTimeCostSeconds() >= TimeoutSeconds && f.failed(TimeoutFailureRatio)
}

func (f Figures) failed(least float64) bool {
	ratio, ok := f.FailureRatio()
	return ok && ratio >= least && f.Failures >= ManyFailures
}
