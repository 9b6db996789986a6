package weixintest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"weixin_exporter/weixin/datacube"
)

// request is a parsed request, not yet checked.
type request struct {
	api     string // as in Call.API
	known   bool   // api is a call, not a path
	address string // of the client
	method  string
	query   url.Values
	body    []byte
	fields  map[string]json.RawMessage // of the body; nil if it is not a JSON object
	number  int                        // its position among all requests

	shape   string  // of the response of the token server
	holding holding // whose token is requested from the token server
}

func parseRequest(address, method string, u *url.URL, body []byte) request {
	r := request{api: u.Path, address: address, method: method, query: u.Query(), body: body}
	if api := apiAt(u.Path); api != "" {
		r.api, r.known = api, true
	}
	if json.Unmarshal(body, &r.fields) != nil {
		r.fields = nil
	}
	return r
}

// apiAt returns the call at a path; "" if there is none.
func apiAt(path string) string {
	switch path {
	case "/cgi-bin/token":
		return apiToken
	case "/cgi-bin/stable_token":
		return apiStableToken
	case "/cgi-bin/component/api_authorizer_token":
		return apiAuthorizer
	case "/cgi-bin/openapi/quota/get":
		return apiQuota
	case "/cgi-bin/openapi/rid/get":
		return apiRID
	case "/cgi-bin/callback/check":
		return apiCallback
	case "/datacube/getinterfacesummary":
		return apiDaily
	case "/datacube/getinterfacesummaryhour":
		return apiHourly
	default:
		return ""
	}
}

// summaryAPI returns which of the two interface calls api is; false if it is neither.
func summaryAPI(api string) (datacube.API, bool) {
	switch api {
	case apiDaily:
		return datacube.Daily, true
	case apiHourly:
		return datacube.Hourly, true
	default:
		return 0, false
	}
}

func (r *request) forFigures() bool { return r.api == apiDaily || r.api == apiHourly }

// withToken reports whether the call needs the access token of an account.
func (r *request) withToken() bool {
	return r.forFigures() || r.api == apiQuota || r.api == apiRID || r.api == apiCallback
}

// text returns a field of the body; "" if it is missing, false if it is not a string. Names
// are compared exactly, while encoding/json ignores case for structs.
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

// date returns a date of the body; 0 and false if it is missing or has another form.
func (r *request) date(name string) (datacube.Date, bool) {
	s, ok := r.text(name)
	if !ok {
		return 0, false
	}
	d, err := datacube.ParseDate(s)
	return d, err == nil
}

// handle responds to a request and records it.
func (s *Server) handle(ctx context.Context, r request) answer {
	call, fault := s.arrive(&r)
	s.arrived(call, r.address)
	a := s.answer(ctx, r, fault)
	s.mu.Lock()
	s.calls[r.number].Errcode = a.errcode // before the client can see the response
	s.log(r, a)
	s.mu.Unlock()
	return a
}

// arrive records the request, numbers it and returns it with the fault that applies to it, or the zero Fault,
// which changes nothing.
func (s *Server) arrive(r *request) (Call, Fault) {
	now := s.now()
	c := Call{At: now, API: r.api, Errcode: NoAnswer}
	switch r.api {
	case apiToken:
		c.AppID = r.query.Get("appid")
	case apiStableToken:
		c.AppID, _ = r.text("appid")
	case apiAuthorizer:
		c.AppID, _ = r.text("authorizer_appid")
	case apiTokenServer:
		c.AppID = r.holding.appID
	case apiDaily, apiHourly:
		c.Begin, _ = r.date("begin_date")
		c.End, _ = r.date("end_date")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := c.AppID
	if t := s.tokens[r.query.Get("access_token")]; t != nil && r.withToken() {
		owner = t.appID
		if t.errcode(now) == 0 {
			c.AppID = owner
		}
	}
	r.number = len(s.calls)
	s.calls = append(s.calls, c)
	if !r.known {
		return c, Fault{}
	}
	return c, s.takeFault(r, owner, c.AppID != "")
}

func (s *Server) answer(ctx context.Context, r request, fault Fault) answer {
	if !r.known {
		return htmlAnswer(http.StatusNotFound)
	}
	if fault.Delay > 0 && !wait(ctx, fault.Delay) {
		return answer{gone: true, errcode: NoAnswer}
	}
	if a, final := s.faulty(r, fault); final {
		return a
	}
	switch r.api {
	case apiToken:
		return s.legacyToken(r)
	case apiStableToken:
		return s.stableToken(r)
	case apiAuthorizer:
		return s.authorizerToken(r)
	case apiQuota:
		return s.quota(r)
	case apiRID:
		return s.logged(r)
	case apiCallback:
		return s.checkCallback(r)
	case apiTokenServer:
		return s.handOut(r)
	default:
		return s.interfaceSummary(r, fault)
	}
}

// wait waits for d; it returns false if the context ends first.
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

// jsonAnswer returns a success. It encodes only values of this package, which cannot fail.
func jsonAnswer(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return answer{status: http.StatusOK, contentType: typeText, body: body}
}
