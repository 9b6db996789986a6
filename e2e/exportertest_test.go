package e2e_test

import (
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/exportertest"
	"weixin_exporter/weixin/datacube"
)

// An exporter with the clock of the test is the program in all else: it has the figures of the day before, and after a day
// has passed those of that day.
func TestExporterWithTheClockOfTheTest(t *testing.T) {
	t.Parallel()
	clock := exportertest.NewClock(t, time.Date(2050, 3, 1, 12, 0, 0, 0, datacube.China))
	w := newFixtureAt(t, clock.Now, newAccount("shop", 1, 9000))
	x := runExporterAt(t, clock, "--config.file="+w.config)
	shows := func(want datacube.Date) {
		t.Helper()
		eventually(t, "the figures of "+want.String(), func() error {
			for _, api := range apis() {
				if date, _ := dateOf(x.metrics(t), api, w.accounts[0]); date != want {
					return errNotYet
				}
			}
			return nil
		})
	}
	shows(datacube.DateOf(clock.Now()) - 1)
	x.logged(t, "ts=2050-03-01T")
	clock.Pass(t, 24*time.Hour)
	x.signal(t, syscall.SIGHUP) // its timers run in real time, so that it would notice later
	shows(datacube.DateOf(clock.Now()) - 1)
	x.stop(t, syscall.SIGTERM)
}
