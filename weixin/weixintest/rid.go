package weixintest

import (
	"bytes"
	"maps"
	"regexp"
	"time"
)

// ridLife is how long a request can be looked up by its rid.
const ridLife = 7 * 24 * time.Hour

// ridForm is the form of a rid, and ridLength its length.
var ridForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`)

const ridLength = 26

// loggedRequest is a request that was answered with a rid.
type loggedRequest struct {
	appID              string
	at                 time.Time
	query, body, reply string
	address            string
}

// log remembers a request whose answer has a rid. It wants mu to be held.
func (s *Server) log(r request, a answer) {
	if a.errcode == 0 { // a success may quote the rid of another request
		return
	}
	_, rid, _ := bytes.Cut(a.body, []byte("rid: "))
	if len(rid) < ridLength || !ridForm.Match(rid[:ridLength]) {
		return
	}
	c := s.calls[r.number]
	if len(s.rids) >= s.mostRids {
		maps.DeleteFunc(s.rids, func(_ string, l loggedRequest) bool { return c.At.Sub(l.at) > ridLife })
		s.mostRids = max(1<<10, 2*len(s.rids))
	}
	s.rids[string(rid[:ridLength])] = loggedRequest{c.AppID, c.At, r.query.Encode(), string(r.body), string(a.body), r.address}
}

// logged is POST /cgi-bin/openapi/rid/get: the request that was answered with a rid, with the token in its URL. It is
// shown for 7 days, and to the account whose request it was.
func (s *Server) logged(r request) answer {
	now := s.now()
	a, code := s.caller(r, now)
	if code == 0 {
		code = checkPost(r)
	}
	rid, ok := r.text("rid")
	s.mu.Lock()
	l, known := s.rids[rid]
	s.mu.Unlock()
	switch {
	case code != 0:
	case !ok:
		code = errNoJSON
	case !ridForm.MatchString(rid):
		code = errRidForm
	case !known || now.Sub(l.at) > ridLife:
		code = errRidUnknown
	case l.appID != a.AppID:
		code = errRid
	}
	if code != 0 {
		return s.refuse(r, code, false)
	}
	type request struct {
		InvokeTime   int64  `json:"invoke_time"`
		CostInMS     int64  `json:"cost_in_ms"`
		RequestURL   string `json:"request_url"`
		RequestBody  string `json:"request_body"`
		ResponseBody string `json:"response_body"`
		ClientIP     string `json:"client_ip"`
	}
	return jsonAnswer(struct {
		Errcode int     `json:"errcode"`
		Errmsg  string  `json:"errmsg"`
		Request request `json:"request"`
	}{0, "ok", request{l.at.Unix(), 30, l.query, l.body, l.reply, l.address}})
}
