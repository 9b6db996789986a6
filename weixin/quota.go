package weixin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weixin_exporter/weixin/datacube"
)

// CallQuota is how often an account may make a call within a day of China, as Weixin counts it, and
// how fast.
type CallQuota struct {
	// Limit is how many calls a day has, Used and Remaining how many are made and left.
	Limit, Used, Remaining int64
	// Rate bounds the account's own calls, ComponentRate those of a third-party platform for it;
	// zero where Weixin states none.
	Rate, ComponentRate CallRate
	// ByComponent says that a platform makes the calls.
	ByComponent bool
}

// CallRate is how many calls may be made within a time.
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

// IsZero reports whether there is no bound.
func (r CallRate) IsZero() bool { return r == CallRate{} }

// PerSecond returns the calls a second; 0 where there is no bound.
func (r CallRate) PerSecond() float64 {
	if r.IsZero() {
		return 0
	}
	return float64(r.Calls) / r.Per.Seconds()
}

// Allowed returns the rate that bounds the calls: the account's own, and where a platform makes them
// the lower of the two. It is zero where none is stated.
func (q CallQuota) Allowed() CallRate {
	if q.ByComponent && !q.ComponentRate.IsZero() && (q.Rate.IsZero() || q.ComponentRate.PerSecond() < q.Rate.PerSecond()) {
		return q.ComponentRate
	}
	return q.Rate
}

// Quota asks how many calls of api the account has: the call /cgi-bin/openapi/quota/get (查询API调用额度,
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
		Limit  whole `json:"daily_limit"`
		Used   whole `json:"used"`
		Remain whole `json:"remain"`
	}
	if e.Quota == nil || json.Unmarshal(e.Quota, &q) != nil || !q.Limit.ok || !q.Used.ok || !q.Remain.ok {
		return CallQuota{}, errors.New("the answer holds no quota")
	}
	return CallQuota{
		Limit: q.Limit.value, Used: q.Used.value, Remaining: q.Remain.value,
		Rate: readRate(e.RateLimit), ComponentRate: readRate(e.ComponentRateLimit),
	}, nil
}

// readRate returns zero for what is not a rate: the quota is known nevertheless.
func readRate(raw json.RawMessage) CallRate {
	var r struct {
		Calls   whole `json:"call_count"`
		Seconds whole `json:"refresh_second"`
	}
	if raw == nil || json.Unmarshal(raw, &r) != nil || r.Calls.value <= 0 || r.Seconds.value <= 0 || r.Seconds.value > maxLife {
		return CallRate{}
	}
	return CallRate{Calls: r.Calls.value, Per: time.Duration(r.Seconds.value) * time.Second}
}
