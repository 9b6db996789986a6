package weixintest

import (
	"net/http"
	"slices"
	"time"
)

// Fault is something that goes wrong on demand. Of several faults the first one injected that
// matches a request applies, alone. What it says is done in this order: wait for Delay, then
// Reset, Status, Empty, Body or Errcode, then NoRows, Stray or Garbled. Status goes together with Empty, Body or
// Errcode, which then say what the body is.
type Fault struct {
	// AppID is the account it happens to; "" = every account. A token is enough to know the
	// account, also one that is no longer valid. The token server knows platforms, too.
	AppID string
	// API is "token", which covers both token calls with an app secret, "stable_token",
	// "authorizer", "daily", "hourly" or "quota"; "" = every call of Weixin. "token_server" is
	// something that goes wrong in the company's own house, and happens only by that name.
	API string
	// Times is how often it happens; 0 = until it is removed.
	Times int
	// Errcode is answered with HTTP 200 and an errmsg with the usual decorations. Where an errmsg
	// names an address, it is ClientAddress.
	Errcode int
	// Text makes the errcode of the answer a JSON string instead of a number.
	Text bool
	// Delay is waited for first, or until the request's context ends. Alone it makes a slow
	// but right answer.
	Delay time.Duration
	// Reset breaks the connection.
	Reset bool
	// Status is the HTTP status of the answer, an HTML page.
	Status int
	// Empty is an answer of type text/html; charset=gbk without a body.
	Empty bool
	// NoRows is an empty list although there is traffic. Like Stray and Garbled it happens only to
	// interface calls with a valid token, and changes no answer that is an error.
	NoRows bool
	// Stray adds rows to the right ones that a client can leave out without losing anything: two of
	// days outside the range, and a row a second time with the same figures behind the right row
	// (where there is any).
	Stray bool
	// Garbled adds rows that leave a client in doubt about the first day of the range (and the last):
	// two with impossible figures (one negative, one with more failures than callbacks) in front of the
	// right row of the same period, a row a second time with other figures behind the right row (where
	// there is any), and, in the hourly call, three with an hour that is none.
	Garbled bool
	// Body, if not nil, is exactly what is answered.
	Body []byte
}

// Inject makes a fault happen from the next request on. The function it returns ends it, and
// may be called more than once.
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

// removeFault wants mu to be held.
func (s *Server) removeFault(f *Fault) {
	s.faults = slices.DeleteFunc(s.faults, func(other *Fault) bool { return other == f })
}

// takeFault returns the fault that applies to a request, and counts it. It wants mu to be held.
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
	return !f.NoRows && !f.Stray && !f.Garbled || valid && r.forFigures()
}

// spoil returns the answer that a fault dictates, and false where it leaves that to the call.
func (s *Server) spoil(r request, f Fault) (answer, bool) {
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
