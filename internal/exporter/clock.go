package exporter

import (
	"context"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
)

// NewClock returns the clock that is checked against Weixin's. Without elapsed the host's clock is assumed not
// to be set. An error is one of the store.
func NewClock(ctx context.Context, db store.Store, logger log.Logger, now func() time.Time, elapsed func() time.Duration) (*clock.Clock, error) {
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
	x.calls.observe(r, x.Now())
	x.clock.ObserveDate(r.Date)
}

// notices returns the faults of the exporter as a whole, for the page.
func (x *exporter) notices() []web.Notice {
	var notices []web.Notice
	if fault := x.knownFault(); fault != nil {
		notices = append(notices, web.Notice{Title: i18n.M("notice.store"), Detail: fault.Error(), Advice: i18n.M("notice.store.advice")})
	}
	if fault := x.clock.Fault(); fault != "" {
		notices = append(notices, web.Notice{Title: i18n.M("notice.clock"), Detail: fault, Advice: i18n.M("notice.clock.advice")})
	}
	return notices
}
