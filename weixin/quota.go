package weixin

import (
	"context"
	"encoding/json"
	"errors"

	"weixin_exporter/weixin/datacube"
)

// CallQuota is how often an account may make a call within a day of China, as Weixin counts it.
type CallQuota struct {
	// Limit is how many calls a day has, Used and Remaining how many are made and left.
	Limit, Used, Remaining int64
}

// Quota asks how many calls of api the account has: the call /cgi-bin/openapi/quota/get.
//
// The error is an *Error, or wraps ctx's own error once ctx has ended.
func (a *Account) Quota(ctx context.Context, api datacube.API) (CallQuota, error) {
	type body struct {
		Path string `json:"cgi_path"`
	}
	var quota CallQuota
	err := a.call(ctx, apiQuota, "/cgi-bin/openapi/quota/get", body{pathOf(api)}, func(e envelope) error {
		var err error
		quota, err = readQuota(e.Quota)
		return err
	})
	return quota, err
}

func readQuota(raw json.RawMessage) (CallQuota, error) {
	var q struct {
		Limit  whole `json:"daily_limit"`
		Used   whole `json:"used"`
		Remain whole `json:"remain"`
	}
	if raw == nil || json.Unmarshal(raw, &q) != nil || !q.Limit.ok || !q.Used.ok || !q.Remain.ok {
		return CallQuota{}, errors.New("the answer holds no quota")
	}
	return CallQuota{Limit: q.Limit.value, Used: q.Used.value, Remaining: q.Remain.value}, nil
}
