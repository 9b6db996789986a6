package weixintest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"weixin_exporter/summary"
)

// request is a request once it is taken apart. Nothing of it is checked yet.
type request struct {
	api    string // as in Call.API
	method string
	query  url.Values
	body   []byte
	fields map[string]json.RawMessage // of the body, nil where it is no JSON object
	number int                        // its place among all requests
}

func parseRequest(method string, u *url.URL, body []byte) request {
	r := request{api: u.Path, method: method, query: u.Query(), body: body}
	switch u.Path {
	case "/cgi-bin/token":
		r.api = apiToken
	case "/cgi-bin/stable_token":
		r.api = apiStableToken
	case "/datacube/getinterfacesummary":
		r.api = apiDaily
	case "/datacube/getinterfacesummaryhour":
		r.api = apiHourly
	}
	if json.Unmarshal(body, &r.fields) != nil {
		r.fields = nil
	}
	return r
}

func (r *request) forToken() bool { return r.api == apiToken || r.api == apiStableToken }

func (r *request) forFigures() bool { return r.api == apiDaily || r.api == apiHourly }

func (r *request) known() bool { return r.forToken() || r.forFigures() }

// text returns a field of the body; "" where it is missing, false where it is no string. Names
// are compared exactly, unlike encoding/json does with structs.
func (r *request) text(name string) (string, bool) {
	raw, ok := r.fields[name]
	if !ok {
		return "", true
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// date returns a date of the body, 0 and false where it is missing or has another form.
func (r *request) date(name string) (summary.Date, bool) {
	s, ok := r.text(name)
	if !ok {
		return 0, false
	}
	d, err := summary.ParseDate(s)
	return d, err == nil
}

// handle answers one request and keeps a record of it.
func (s *Server) handle(ctx context.Context, method string, u *url.URL, body []byte) answer {
	r := parseRequest(method, u, body)
	fault := s.arrive(&r)
	a := s.answer(ctx, r, fault)
	s.mu.Lock()
	s.calls[r.number].Errcode = a.errcode // before the caller can see the answer
	s.mu.Unlock()
	return a
}

// arrive records the request, gives it its number and takes the fault that is meant for it;
// without one it returns the zero Fault, which changes nothing.
func (s *Server) arrive(r *request) Fault {
	now := s.now()
	c := Call{At: now, API: r.api, Errcode: NoAnswer}
	switch r.api {
	case apiToken:
		c.AppID = r.query.Get("appid")
	case apiStableToken:
		c.AppID, _ = r.text("appid")
	case apiDaily, apiHourly:
		c.Begin, _ = r.date("begin_date")
		c.End, _ = r.date("end_date")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := c.AppID
	if t := s.tokens[r.query.Get("access_token")]; t != nil && r.forFigures() {
		owner = t.appID
		if t.errcode(now) == 0 {
			c.AppID = owner
		}
	}
	r.number = len(s.calls)
	s.calls = append(s.calls, c)
	if !r.known() {
		return Fault{}
	}
	return s.takeFault(r, owner, c.AppID != "")
}

func (s *Server) answer(ctx context.Context, r request, fault Fault) answer {
	if !r.known() {
		return htmlAnswer(http.StatusNotFound)
	}
	if fault.Delay > 0 && !wait(ctx, fault.Delay) {
		return answer{gone: true, errcode: NoAnswer}
	}
	if a, final := s.spoil(r, fault); final {
		return a
	}
	switch r.api {
	case apiToken:
		return s.legacyToken(r)
	case apiStableToken:
		return s.stableToken(r)
	default:
		return s.interfaceSummary(r, fault)
	}
}

// wait returns false where the context ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jsonAnswer is a success. The values are the package's own, so that encoding never fails.
func jsonAnswer(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return answer{status: http.StatusOK, contentType: typeText, body: body}
}
