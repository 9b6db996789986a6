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

// reporter writes the log lines of a Refresher or a Backfill. They are all in this file, except those of the Backfill.
type reporter struct{ logger log.Logger }

// about returns a logger with the account, the call and the days.
func (r reporter) about(a Account, api datacube.API, dates ...any) log.Logger {
	return log.With(r.logger, append([]any{"account", a.Name, "app_id", a.AppID, "api", api}, dates...)...)
}

func (c Call) dates() []any {
	if c.End == 0 {
		return nil // a quota, or a call before a restart
	}
	if c.Begin == c.End {
		return []any{"ref_date", c.End}
	}
	return []any{"begin_date", c.Begin, "end_date", c.End}
}

// level returns a logger with the level of the failure.
func (f failure) level(l log.Logger) log.Logger {
	if f.policy.needsAction {
		return level.Error(l)
	}
	return level.Warn(l)
}

// logFailure logs a failed call and, unless next is zero, when it is retried.
func (r reporter) logFailure(a Account, c Call, f failure, msg string, next time.Time) {
	f.log(f.level(r.about(a, c.API, c.dates()...)), msg, next)
}

// logRepeated logs a failed call whose cause has been logged.
func (r reporter) logRepeated(c failedCall, msg string) {
	c.failure.log(level.Debug(r.about(c.account.Account, c.call.API, c.call.dates()...)), msg+" (cause already logged)", c.next)
}

// logShared logs a cause that several accounts share.
func (r reporter) logShared(g *group, msg string) {
	f := g.last.failure
	f.log(f.level(r.logger), msg, g.last.next, "accounts", len(g.members), "first", strings.Join(g.names(), ", "), "failing_since", stamp(g.since))
}

// log writes a line about the failure, with additional fields behind the message.
func (f failure) log(logger log.Logger, msg string, next time.Time, besides ...any) {
	fields := append([]any{"msg", msg}, besides...)
	fields = append(fields, "reason", f.reason)
	if f.cause.Code != 0 {
		fields = append(fields, "errcode", f.cause.Code)
	}
	fields = append(fields, "err", f.err)
	if !next.IsZero() {
		fields = append(fields, "next", stamp(next))
	}
	if f.advice.Code != "" {
		fields = append(fields, "advice", f.advice)
	}
	logger.Log(fields...)
}

// logDamaged logs the damaged days of an answer and, unless next is zero, when the first of them is requested again.
func (r reporter) logDamaged(a Account, c Call, f failure, next time.Time) {
	r.logFailure(a, c, f, "response has invalid rows; known figures are kept", next)
}

// stamp returns a time as it is logged: in UTC, like the time of the line.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (r reporter) logRecovered(a Account, c Call, msg string, since time.Time) {
	level.Info(r.about(a, c.API)).Log("msg", msg, "failing_since", stamp(since))
}

func (r reporter) logAllRecovered(c snapshot.Cause, accounts int, msg string, since time.Time) {
	level.Info(r.logger).Log("msg", msg, "accounts", accounts, "reason", c.Reason, "failing_since", stamp(since))
}

// logStoreFailed logs at level error only when the store begins to fail.
func (r reporter) logStoreFailed(f failure, begins bool, next time.Time) {
	logger := level.Debug(r.logger)
	if begins {
		logger = level.Error(r.logger)
	}
	f.log(logger, "cannot write to the store; no more calls are made until it can be written", next)
}

func (r reporter) logStoreWorks(since time.Time) {
	level.Info(r.logger).Log("msg", "writing to the store works again; all responses are stored", "failing_since", stamp(since))
}

func (r reporter) logAnswer(a Account, c Call, response answer, records []store.Record) {
	logger := r.about(a, c.API, c.dates()...)
	for reason, n := range response.rejected {
		// The reasons of damaged days are in the line about them.
		if n > 0 && (len(response.damaged) == 0 || weixin.Rejection(reason) == weixin.OutOfRange) {
			level.Warn(logger).Log("msg", "rows of the response skipped", "reason", weixin.Rejection(reason), "rows", n)
		}
	}
	if n := response.plainHours; n > 0 {
		level.Warn(logger).Log("msg", "rows with a plain hour as ref_hour instead of 100 times the hour, accepted", "rows", n)
	}
	if n := response.reformatted; n > 0 {
		level.Warn(logger).Log("msg", "rows with numbers as strings, with a zero fraction or with an exponent, accepted", "rows", n)
	}
	if c.Purpose != Yesterday {
		level.Debug(logger).Log("msg", "days stored", "purpose", c.Purpose, "days", len(records))
		return
	}
	if len(records) == 0 {
		return // another process has stored the day
	}
	switch state := records[0].State; {
	case state.Damaged > 0: // logged by logDamaged
	case state.Status == store.Known:
		level.Info(logger).Log("msg", "figures of yesterday received")
	case state.Asks == 1:
		level.Info(logger).Log("msg", "figures of yesterday not available yet, retrying through the day", "not_ready", response.notReady)
	default:
		level.Debug(logger).Log("msg", "figures of yesterday still not available", "asked", state.Asks, "not_ready", response.notReady)
	}
}

func (r reporter) logVanished(a Account, api datacube.API, date datacube.Date) {
	level.Warn(r.about(a, api, "ref_date", date)).Log(
		"msg", "Weixin returned no rows for a day with traffic; its known figures are kept")
}

func (r reporter) logRevised(a Account, v store.Revision) {
	msg := "Weixin revised the figures of a known day; the new ones are stored"
	if v.Before == (datacube.Figures{}) {
		msg = "Weixin returned figures for a day known as without traffic; they are stored"
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
	level.Error(r.logger).Log("msg", "cannot remove days beyond the retention, retrying", "before", before, "err", err)
}

func (r reporter) logTakenOver(accounts int) {
	level.Info(r.logger).Log("msg", "another process has taken over accounts, and repeats calls whose answers were dropped", "accounts", accounts)
}

// logTakeOverFailed logs at level error only the first time.
func (r reporter) logTakeOverFailed(accounts int, err error, again bool) {
	logger := level.Error(r.logger)
	if again {
		logger = level.Debug(r.logger)
	}
	logger.Log("msg", "cannot read the accounts to take over; no calls of them are made until they can be read", "accounts", accounts, "err", err)
}

func (r reporter) logLoadFailed(err error, again bool) {
	logger := level.Error(r.logger)
	if again {
		logger = level.Debug(r.logger)
	}
	logger.Log("msg", "cannot read the store; no calls are made until it can be read", "err", err)
}
