package refresh

import (
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// warnOfRate warns if the exporter may send requests faster than Weixin allows: the first time, and again for each account
// with a lower limit, so that accounts with the same limit share one line.
func (r *Refresher) warnOfRate(a Account, api datacube.API, quota weixin.CallQuota) {
	allowed := quota.Allowed()
	if allowed.IsZero() || r.config.Pace <= 0 {
		return
	}
	perSecond := float64(time.Second) / float64(r.config.Pace)
	if perSecond <= allowed.PerSecond() || r.warnedRate > 0 && r.warnedRate <= allowed.PerSecond() {
		return
	}
	r.warnedRate = allowed.PerSecond()
	level.Warn(r.about(a, api)).Log("msg", "weixin.requests_per_second is higher than Weixin allows for the account", "advice", "lower it, or calls are refused with errcode 45011",
		"requests_per_second", perSecond, "allowed", allowed)
}
