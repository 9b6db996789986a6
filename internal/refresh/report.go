package refresh

import (
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// reporter tells the operator what a Refresher or a Backfill sees. All that they say stands in
// this file and in that of the backfill's own lines.
type reporter struct{ logger log.Logger }

// about returns a logger that names what a line is about.
func (r reporter) about(a Account, api datacube.API, dates ...any) log.Logger {
	return log.With(r.logger, append([]any{"account", a.Name, "app_id", a.AppID, "api", api}, dates...)...)
}

func (c Call) dates() []any {
	if c.End == 0 {
		return nil // of a quota, or before a restart
	}
	if c.Begin == c.End {
		return []any{"ref_date", c.End}
	}
	return []any{"begin_date", c.Begin, "end_date", c.End}
}

// level is that of a line about the failure.
func (f failure) level(l log.Logger) log.Logger {
	if f.policy.needsAction {
		return level.Error(l)
	}
	return level.Warn(l)
}

// logFailure says what failed and, unless it is zero, when it is tried again.
func (r reporter) logFailure(a Account, c Call, f failure, msg string, next time.Time) {
	f.log(f.level(r.about(a, c.API, c.dates()...)), msg, next)
}

// logRepeated says the same of an attempt about whose cause the log has a line.
func (r reporter) logRepeated(c failedCall, msg string) {
	c.failure.log(level.Debug(r.about(c.account.Account, c.call.API, c.call.dates()...)), msg+" again, or for another account", c.next)
}

// logShared says what failed for many accounts.
func (r reporter) logShared(g *group, msg string) {
	f := g.last.failure
	f.log(f.level(r.logger), msg, g.last.next, "accounts", len(g.members), "first", strings.Join(g.names(), ", "), "failing_since", stamp(g.since))
}

// log writes what a line says of the failure, with what it says besides behind the message.
func (f failure) log(logger log.Logger, msg string, next time.Time, besides ...any) {
	fields := append([]any{"msg", msg}, besides...)
	fields = append(fields, "reason", f.reason)
	if f.cause.Code != 0 {
		fields = append(fields, "errcode", f.cause.Code)
	}
	fields = append(fields, "err", f.err)
	if !next.IsZero() {
		fields = append(fields, "next", next.In(datacube.China).Format(time.RFC3339))
	}
	if f.advice != "" {
		fields = append(fields, "advice", f.advice)
	}
	logger.Log(fields...)
}

// logDamaged says which days an answer says nothing about and, unless it is zero, when the first
// of them is asked for again.
func (r reporter) logDamaged(a Account, c Call, f failure, next time.Time) {
	r.logFailure(a, c, f, "rows of the answer cannot be understood; what was known before stays", next)
}

func stamp(t time.Time) string { return t.In(datacube.China).Format(time.RFC3339) }

func (r reporter) logRecovered(a Account, c Call, msg string, since time.Time) {
	level.Info(r.about(a, c.API)).Log("msg", msg, "failing_since", stamp(since))
}

func (r reporter) logAllRecovered(c snapshot.Cause, accounts int, msg string, since time.Time) {
	level.Info(r.logger).Log("msg", msg, "accounts", accounts, "reason", c.Reason, "failing_since", stamp(since))
}

// logStoreFailed has one line at a level that is mostly shown for all attempts to store.
func (r reporter) logStoreFailed(f failure, begins bool, next time.Time) {
	logger := level.Debug(r.logger)
	if begins {
		logger = level.Error(r.logger)
	}
	f.log(logger, "cannot write into the store; what was answered is shown, and nothing more is asked for", next)
}

func (r reporter) logStoreWorks(since time.Time) {
	level.Info(r.logger).Log("msg", "the store can be written again; all that was answered is stored", "failing_since", stamp(since))
}

func (r reporter) logAnswer(a Account, c Call, said answer, records []store.Record) {
	logger := r.about(a, c.API, c.dates()...)
	for reason, n := range said.rejected {
		// Where there are damaged days, one line about them names the other reasons.
		if n > 0 && (len(said.damaged) == 0 || weixin.Rejection(reason) == weixin.OutOfRange) {
			level.Warn(logger).Log("msg", "rows of the answer left out", "reason", weixin.Rejection(reason), "rows", n)
		}
	}
	if n := said.plainHours; n > 0 {
		level.Warn(logger).Log("msg", "rows whose ref_hour is a plain hour, not a hundredfold one, taken as such", "rows", n)
	}
	if n := said.reformatted; n > 0 {
		level.Warn(logger).Log("msg", "rows whose numbers are strings, or have a fraction of zeros or an exponent, taken as such", "rows", n)
	}
	if c.Purpose != Yesterday {
		level.Debug(logger).Log("msg", "days stored", "purpose", c.Purpose, "days", len(records))
		return
	}
	switch state := records[0].State; {
	case state.Damaged > 0: // there is a line about it
	case state.Status == store.Known:
		level.Info(logger).Log("msg", "yesterday is known")
	case state.Asks == 1:
		level.Info(logger).Log("msg", "yesterday is not there yet; asking again through the day", "not_ready", said.notReady)
	default:
		level.Debug(logger).Log("msg", "yesterday is still not there", "asked", state.Asks, "not_ready", said.notReady)
	}
}

func (r reporter) logVanished(a Account, api datacube.API, date datacube.Date) {
	level.Warn(r.about(a, api, "ref_date", date)).Log(
		"msg", "Weixin has no rows for a day that had traffic; the figures known before are kept")
}

func (r reporter) logRevised(a Account, v store.Revision) {
	msg := "Weixin revised the figures of a known day; the revised ones are stored"
	if v.Before == (datacube.Figures{}) {
		msg = "Weixin has figures for a day that was known as one without traffic; they are stored"
	}
	level.Warn(r.about(a, v.API, "ref_date", v.Date)).Log(
		"msg", msg,
		"callbacks_before", v.Before.Callbacks, "callbacks", v.After.Callbacks,
		"failures_before", v.Before.Failures, "failures", v.After.Failures,
		"time_cost_ms_before", v.Before.TimeCostMillis, "time_cost_ms", v.After.TimeCostMillis)
}

func (r reporter) logPruned(before datacube.Date, removed int64) {
	level.Info(r.logger).Log("msg", "days beyond the retention removed", "before", before, "days", removed)
}

func (r reporter) logPruneFailed(before datacube.Date, err error) {
	level.Error(r.logger).Log("msg", "cannot remove days beyond the retention; trying again at the next look", "before", before, "err", err)
}

func (r reporter) logLoadFailed(err error, again bool) {
	logger := level.Error(r.logger)
	if again {
		logger = level.Debug(r.logger)
	}
	logger.Log("msg", "cannot read what is stored; nothing is asked for until it can be read", "err", err)
}
