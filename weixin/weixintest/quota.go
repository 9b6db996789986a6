package weixintest

import (
	"strings"

	"weixin_exporter/weixin/datacube"
)

const (
	// ampleQuota is the limit that the quota call states for an account without one.
	ampleQuota = 100_000
	// ampleRate is the number of calls per minute that it states for an account without a rate limit.
	ampleRate = 600_000
)

// quota is POST /cgi-bin/openapi/quota/get: how often one of the interface calls may be made
// and was made today (China time), and at which rate. The call itself is not counted. A path with a host or
// without a leading slash gives 76003, an unknown one 76021, and one that the account
// may not call 76022, as in the documents.
func (s *Server) quota(r request) answer {
	now := s.now()
	a, code := s.caller(r, now)
	if code == 0 {
		code = checkPost(r)
	}
	if code != 0 {
		return s.refuse(r, code, false)
	}
	path, ok := r.text("cgi_path")
	if !ok {
		return s.refuse(r, errNoJSON, false)
	}
	api, ok := summaryAPI(apiAt(path))
	switch {
	case !strings.HasPrefix(path, "/"):
		return s.refuse(r, errRid, false)
	case !ok:
		return s.refuse(r, errPath, false)
	case a.Errcode == 48001:
		return s.refuse(r, errPathPermission, false)
	}
	s.mu.Lock()
	q := a.quota[api]
	s.mu.Unlock()
	if q.day != datacube.DateOf(now) {
		q.used = 0
	}
	limit := orElse(a.Quota, ampleQuota)
	type quota struct {
		DailyLimit int `json:"daily_limit"`
		Used       int `json:"used"`
		Remain     int `json:"remain"`
	}
	type rate struct {
		CallCount     int `json:"call_count"`
		RefreshSecond int `json:"refresh_second"`
	}
	return jsonAnswer(struct {
		Errcode            int    `json:"errcode"`
		Errmsg             string `json:"errmsg"`
		Quota              quota  `json:"quota"`
		RateLimit          rate   `json:"rate_limit"`
		ComponentRateLimit rate   `json:"component_rate_limit"`
	}{
		0, "ok", quota{limit, q.used, max(0, limit-q.used)},
		rate{orElse(a.RateLimit, ampleRate), 60}, rate{orElse(a.ComponentRateLimit, ampleRate), 60},
	})
}

// orElse returns n, or other if n is not positive.
func orElse(n, other int) int {
	if n <= 0 {
		return other
	}
	return n
}
