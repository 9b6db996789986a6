package weixintest

import "weixin_exporter/weixin/datacube"

// ampleQuota is the limit that is told of an account without one.
const ampleQuota = 100_000

// quota is POST /cgi-bin/openapi/quota/get: how often one of the interface calls may be made
// and has been made on this China day. Asking is not counted.
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
	if !ok {
		return s.refuse(r, errPath, false)
	}
	s.mu.Lock()
	q := a.quota[api]
	s.mu.Unlock()
	if q.day != datacube.DateOf(now) {
		q.used = 0
	}
	limit := a.Quota
	if limit <= 0 {
		limit = ampleQuota
	}
	type quota struct {
		DailyLimit int `json:"daily_limit"`
		Used       int `json:"used"`
		Remain     int `json:"remain"`
	}
	return jsonAnswer(struct {
		Errcode int    `json:"errcode"`
		Errmsg  string `json:"errmsg"`
		Quota   quota  `json:"quota"`
	}{0, "ok", quota{limit, q.used, max(0, limit-q.used)}})
}
