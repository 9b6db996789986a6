package weixin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weixin_exporter/weixin/datacube"
)

// CallQuota is how often an account may make a call within a day (China time), as Weixin counts it, and at
// which rate.
type CallQuota struct {
	// Limit is the number of calls per day, Used and Remaining the numbers of those made and left today.
	Limit, Used, Remaining int64
	// Rate bounds the account's own calls, ComponentRate those of a third-party platform for it;
	// zero if Weixin states none.
	Rate, ComponentRate CallRate
	// ByComponent means that a platform makes the calls.
	ByComponent bool
}

// CallRate is a number of calls that may be made within a period.
type CallRate struct {
	Calls int64
	Per   time.Duration
}

// String returns the rate in a few characters: 600/min, 10/s, 100 in 5m0s.
func (r CallRate) String() string {
	switch r.Per {
	case time.Second:
		return fmt.Sprintf("%d/s", r.Calls)
	case time.Minute:
		return fmt.Sprintf("%d/min", r.Calls)
	default:
		return fmt.Sprintf("%d in %s", r.Calls, r.Per)
	}
}

// IsZero reports whether the rate is unbounded.
func (r CallRate) IsZero() bool { return r == CallRate{} }

// PerSecond returns the calls per second; 0 if the rate is unbounded.
func (r CallRate) PerSecond() float64 {
	if r.IsZero() {
		return 0
	}
	return float64(r.Calls) / r.Per.Seconds()
}

// Allowed returns the rate that bounds the calls: the account's own, or if a platform makes them the
// lower of the two. It is zero if Weixin states none.
func (q CallQuota) Allowed() CallRate {
	if q.ByComponent && !q.ComponentRate.IsZero() && (q.Rate.IsZero() || q.ComponentRate.PerSecond() < q.Rate.PerSecond()) {
		return q.ComponentRate
	}
	return q.Rate
}

// Quota requests the number of calls of api that the account has: the call /cgi-bin/openapi/quota/get (查询API调用额度,
// at developers.weixin.qq.com under doc/service/api/apimanage/api_getapiquota.html).
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) Quota(ctx context.Context, api datacube.API) (CallQuota, error) {
	type body struct {
		Path string `json:"cgi_path"`
	}
	var quota CallQuota
	err := a.call(ctx, QuotaAPI, "/cgi-bin/openapi/quota/get", body{pathOf(api)}, func(e envelope) error {
		var err error
		quota, err = readQuota(e)
		return err
	})
	if err == nil {
		_, quota.ByComponent = a.tokens.source.(*authorizer)
	}
	return quota, err
}

func readQuota(e envelope) (CallQuota, error) {
	var q struct {
		Limit  integer `json:"daily_limit"`
		Used   integer `json:"used"`
		Remain integer `json:"remain"`
	}
	if e.Quota == nil || json.Unmarshal(e.Quota, &q) != nil || !q.Limit.ok || !q.Used.ok || !q.Remain.ok {
		return CallQuota{}, errors.New("the response has no quota")
	}
	return CallQuota{
		Limit: q.Limit.value, Used: q.Used.value, Remaining: q.Remain.value,
		Rate: readRate(e.RateLimit), ComponentRate: readRate(e.ComponentRateLimit),
	}, nil
}

// readRate returns zero for an invalid rate, since the quota is known without it.
func readRate(raw json.RawMessage) CallRate {
	var r struct {
		Calls   integer `json:"call_count"`
		Seconds integer `json:"refresh_second"`
	}
	if raw == nil || json.Unmarshal(raw, &r) != nil || r.Calls.value <= 0 || r.Seconds.value <= 0 || r.Seconds.value > maxLife {
		return CallRate{}
	}
	return CallRate{Calls: r.Calls.value, Per: time.Duration(r.Seconds.value) * time.Second}
}
