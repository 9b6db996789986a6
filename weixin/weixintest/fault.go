package weixintest

import (
	"net/http"
	"slices"
	"time"
)

// Fault is an injected failure. Of several faults only the first one injected that matches a request applies, in
// this order: wait for Delay, then Reset, Status, Empty, Body or Errcode, then NoRows, Partial, Elsewhere, Stray, Garbled
// and Truncated. Status can be combined with Empty, Body or Errcode, which then determine the body.
type Fault struct {
	// AppID is the account that the fault affects; "" means every account. The account of a request is
	// known by its token, even if that is no longer valid. For the token server it may be a platform.
	AppID string
	// API is "token", which covers both token calls with an app secret, "stable_token",
	// "authorizer", "daily", "hourly", "quota", "rid" or "callback_check"; "" means every call of Weixin. A fault of the token
	// server, which is not a part of Weixin, needs "token_server".
	API string
	// Times is the number of requests that fail; 0 means all until the fault is removed.
	Times int
	// Errcode is the errcode of a response with HTTP status 200 and an errmsg with the usual decorations. An
	// address in the errmsg is ClientAddress.
	Errcode int
	// Text makes the errcode of the response a JSON string instead of a number.
	Text bool
	// Delay is how long the server waits first, unless the request's context ends. Alone it makes a slow
	// but correct response.
	Delay time.Duration
	// Reset resets the connection.
	Reset bool
	// Status is the HTTP status of the response, an HTML page.
	Status int
	// Empty makes a response of type text/html; charset=gbk without a body.
	Empty bool
	// NoRows makes an empty list although there is traffic. Like the faults below it affects only
	// interface calls with a valid token, and no response that is an error.
	NoRows bool
	// Partial leaves out half of the rows, so that hours are missing from the hourly call and days from the daily one.
	// Of a single row nothing is left.
	Partial bool
	// Elsewhere replaces all rows by rows of days outside the range, as in August 2022.
	Elsewhere bool
	// Stray adds rows that a client can ignore without losing anything: two of days outside the range, and
	// a duplicate with the same figures after the correct row (if there is one).
	Stray bool
	// Garbled adds rows because of which the figures of the first day of the range (and the last) are unknown:
	// two with impossible figures (one negative, one with more failures than callbacks) before the correct row
	// of the same period, a duplicate with other figures after the correct row (if there is one), and, in the
	// hourly call, three with an invalid hour.
	Garbled bool
	// Truncated ends the body in its middle.
	Truncated bool
	// Body, if not nil, is the body of the response.
	Body []byte
}

// Inject makes a fault apply from the next request on. The returned function removes it, and may be called more
// than once.
func (s *Server) Inject(f Fault) func() {
	f.Body = slices.Clone(f.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.removeFault(&f)
	}
}

// removeFault removes a fault. The caller holds mu.
func (s *Server) removeFault(f *Fault) {
	s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == f })
}

// takeFault returns the fault that applies to a request, and counts it. The caller holds mu.
func (s *Server) takeFault(r *request, owner string, valid bool) Fault {
	for _, f := range s.faults {
		if !f.matches(r, owner, valid) {
			continue
		}
		taken := *f
		if f.Times == 1 {
			s.removeFault(f)
		} else if f.Times > 1 {
			f.Times--
		}
		return taken
	}
	return Fault{}
}

func (f *Fault) matches(r *request, owner string, valid bool) bool {
	if f.AppID != "" && f.AppID != owner {
		return false
	}
	switch f.API {
	case r.api:
	case "":
		if r.api == apiTokenServer {
			return false
		}
	case apiToken:
		if r.api != apiStableToken {
			return false
		}
	default:
		return false
	}
	return !f.changesRows() || valid && r.forFigures()
}

// changesRows reports whether the fault changes the response of an interface call rather than replacing it.
func (f *Fault) changesRows() bool {
	return f.NoRows || f.Partial || f.Elsewhere || f.Stray || f.Garbled || f.Truncated
}

// faulty returns the response of a fault, and false if the fault leaves the response to the call.
func (s *Server) faulty(r request, f Fault) (answer, bool) {
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case f.Reset:
		return answer{reset: true, errcode: NoAnswer}, true
	case f.Empty:
		return answer{status: status, contentType: typeEmpty, errcode: NoAnswer}, true
	case f.Body != nil:
		return answer{status: status, contentType: typeText, body: f.Body, errcode: NoAnswer}, true
	case f.Errcode != 0:
		r.address = ClientAddress
		a := s.refuse(r, f.Errcode, f.Text)
		a.status = status
		return a, true
	case f.Status != 0:
		return htmlAnswer(f.Status), true
	default:
		return answer{}, false
	}
}
