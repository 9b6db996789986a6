package refresh

import (
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// logFillFailed says when an account goes on.
func (r reporter) logFillFailed(acc *backfillAccount, c Call, f failure, next time.Time) {
	msg := "a call failed; trying it again"
	if f.reason == weixin.Quota {
		msg = "the day's quota is used up; waiting for midnight in China"
	}
	r.logFailure(acc.Account, c, f, msg, next)
}

// logGivenUp says why calls of an account are not made.
func (r reporter) logGivenUp(acc *backfillAccount, c Call, f failure) {
	msg := "calls given up; run the backfill again once this is mended"
	if f.reason == weixin.Quota {
		msg = "the day's quota is used up; run the backfill again after midnight in China, or with --wait"
	}
	r.logFailure(acc.Account, c, f, msg, time.Time{})
}

// logFilled says what came of an account.
func (r reporter) logFilled(acc *backfillAccount) {
	fields := []any{"msg", "backfill of the account ended", "account", acc.Account.Name, "app_id", acc.Account.AppID, "calls", acc.Calls}
	for api := range datacube.APIs {
		fields = append(fields, api.String()+"_days", acc.Learned[api])
	}
	for api := range datacube.APIs {
		if acc.Left[api] > 0 {
			fields = append(fields, api.String()+"_calls_left", acc.Left[api])
		}
	}
	level.Info(r.logger).Log(fields...)
}
