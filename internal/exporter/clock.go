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

// newClock returns the judge of the host's clock. Without elapsed nobody sets the host's clock.
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

// observe is told of each request to Weixin.
func (x *exporter) observe(r weixin.Request) {
	x.requests.Observe(r)
	x.clock.ObserveDate(r.Date)
}

// notices returns what is wrong with the exporter as a whole.
func (x *exporter) notices(db *store.Store) []web.Notice {
	var notices []web.Notice
	if fault := db.Fault(); fault != nil {
		notices = append(notices, web.Notice{
			Text:   capital(fault.Error()),
			Advice: "see the log, which says what was done about it. What is shown below is what was known before; nothing is asked for or kept meanwhile.",
		})
	}
	if fault := x.clock.Fault(); fault != "" {
		notices = append(notices, web.Notice{
			Text:   capital(fault),
			Advice: "set it, and keep it right by NTP. Days are asked for by this clock; nothing is removed or given up by it.",
		})
	}
	return notices
}

// capital makes a text begin like a sentence.
func capital(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}
