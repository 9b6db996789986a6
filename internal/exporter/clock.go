package exporter

import (
	"context"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
)

// newClock returns the clock that is checked against Weixin's. Without elapsed the host's clock is assumed not
// to be set.
func newClock(ctx context.Context, db *store.Store, logger log.Logger, now func() time.Time, elapsed func() time.Duration) (*clock.Clock, error) {
	if elapsed == nil {
		began := now()
		elapsed = func() time.Duration { return now().Sub(began) }
	}
	recorded, err := db.RecordedTime(ctx)
	if err != nil {
		return nil, err
	}
	return clock.New(clock.Options{Now: now, Elapsed: elapsed, Recorded: recorded, Logger: logger}), nil
}

// observe is called after each request to Weixin.
func (x *exporter) observe(r weixin.Request) {
	x.requests.Observe(r)
	x.clock.ObserveDate(r.Date)
}

// notices returns the faults of the exporter as a whole, for the page.
func (x *exporter) notices(db *store.Store) []web.Notice {
	var notices []web.Notice
	if fault := db.Fault(); fault != nil {
		notices = append(notices, web.Notice{
			Text:   capital(fault.Error()),
			Advice: "see the log for details. The figures below are the last known ones; no calls are made and nothing is stored until the fault is fixed.",
		})
	}
	if fault := x.clock.Fault(); fault != "" {
		notices = append(notices, web.Notice{
			Text:   capital(fault),
			Advice: "set it, and synchronize it by NTP. Days are requested by this clock, but nothing is removed or given up by it.",
		})
	}
	return notices
}

// capital returns a text with a capital letter at its beginning.
func capital(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}
