package refresh

import (
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// logFillFailed logs a failed call and when it is retried.
func (r reporter) logFillFailed(acc *backfillAccount, c Call, f failure, next time.Time) {
	msg := "call failed, retrying"
	if f.reason == weixin.Quota {
		msg = "the day's quota is used up, waiting for midnight in China"
	}
	r.logFailure(acc.Account, c, f, msg, next)
}

// logGivenUp logs that calls of an account are given up.
func (r reporter) logGivenUp(acc *backfillAccount, c Call, f failure) {
	msg := "calls given up; run the backfill again after fixing this"
	if f.reason == weixin.Quota {
		msg = "the day's quota is used up; run the backfill again after midnight in China, or with --wait"
	}
	r.logFailure(acc.Account, c, f, msg, time.Time{})
}

// logFilled logs the result of an account.
func (r reporter) logFilled(acc *backfillAccount) {
	fields := []any{"msg", "backfill of the account finished", "account", acc.Account.Name, "app_id", acc.Account.AppID, "calls", acc.Calls}
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
