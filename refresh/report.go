package refresh

import (
	"errors"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/snapshot"
	"weixin_exporter/store"
	"weixin_exporter/summary"
	"weixin_exporter/weixin"
)

// All that the refresher tells its operator stands in this file.

// about returns a logger that names what a line is about.
func (r *Refresher) about(acc *account, api summary.API, dates ...any) log.Logger {
	return log.With(r.logger, append([]any{"account", acc.Name, "app_id", acc.AppID, "api", api}, dates...)...)
}

func (c Call) dates() []any {
	if c.Begin == c.End {
		return []any{"ref_date", c.End}
	}
	return []any{"begin_date", c.Begin, "end_date", c.End}
}

func (r *Refresher) logFailed(acc *account, c Call, f fault, next time.Time) {
	logger := level.Warn(r.about(acc, c.API, c.dates()...))
	if f.policy.person {
		logger = level.Error(r.about(acc, c.API, c.dates()...))
	}
	fields := []any{"msg", "refresh failed", "reason", f.reason}
	if said, ok := errors.AsType[*weixin.Error](f.err); ok && said.Code != 0 {
		fields = append(fields, "errcode", said.Code)
	}
	fields = append(fields, "err", f.err, "next", next.In(summary.China).Format(time.RFC3339))
	if f.advice != "" {
		fields = append(fields, "advice", f.advice)
	}
	logger.Log(fields...)
}

func (r *Refresher) logRecovered(acc *account, c Call, t *snapshot.Trouble) {
	level.Info(r.about(acc, c.API)).Log("msg", "refresh works again", "failing_since", t.Since.In(summary.China).Format(time.RFC3339))
}

func (r *Refresher) logAnswer(acc *account, res result, records []store.Record) {
	logger := r.about(acc, res.call.API, res.call.dates()...)
	for reason, n := range res.answer.rejected {
		if n > 0 {
			level.Warn(logger).Log("msg", "rows of the answer left out", "reason", weixin.Rejection(reason), "rows", n)
		}
	}
	if n := res.answer.plainHours; n > 0 {
		level.Warn(logger).Log("msg", "rows whose ref_hour is a plain hour, not a hundredfold one, taken as such", "rows", n)
	}
	if res.call.Purpose != Yesterday {
		level.Debug(logger).Log("msg", "days stored", "purpose", res.call.Purpose, "days", len(records))
		return
	}
	switch state := records[0].State; {
	case state.Status == store.Known:
		level.Info(logger).Log("msg", "yesterday is known")
	case state.Asks == 1:
		level.Info(logger).Log("msg", "yesterday is not there yet; asking again through the day", "not_ready", res.answer.notReady)
	default:
		level.Debug(logger).Log("msg", "yesterday is still not there", "asked", state.Asks, "not_ready", res.answer.notReady)
	}
}

func (r *Refresher) logQuotaUnknown(acc *account, api summary.API, err error) {
	fields := []any{"msg", "cannot get the quota of the call; asking again in an hour", "err", err}
	if said, ok := errors.AsType[*weixin.Error](err); ok {
		fields = append(fields, "advice", said.Advice())
	}
	level.Warn(r.about(acc, api)).Log(fields...)
}

func (r *Refresher) logVanished(acc *account, api summary.API, date summary.Date) {
	level.Warn(r.about(acc, api, "ref_date", date)).Log(
		"msg", "Weixin has no rows for a day that had traffic; the figures known before are kept")
}

func (r *Refresher) logRevised(acc *account, v store.Revision) {
	level.Warn(r.about(acc, v.API, "ref_date", v.Date)).Log(
		"msg", "Weixin revised the figures of a known day; the revised ones are stored",
		"callbacks_before", v.Before.Callbacks, "callbacks", v.After.Callbacks,
		"failures_before", v.Before.Failures, "failures", v.After.Failures,
		"time_cost_ms_before", v.Before.TimeCostMillis, "time_cost_ms", v.After.TimeCostMillis)
}

func (r *Refresher) logPruned(before summary.Date, removed int64) {
	level.Info(r.logger).Log("msg", "days beyond the retention removed", "before", before, "days", removed)
}

func (r *Refresher) logPruneFailed(before summary.Date, err error) {
	level.Error(r.logger).Log("msg", "cannot remove days beyond the retention; trying again at the next look", "before", before, "err", err)
}
