// Package weixintest is a simulated Weixin: the token calls and the two calls of the
// interface statistics, with their rules, their error codes and their bad habits, over
// HTTP or within the process. Tests and the demonstration stand on it. It knows nothing
// of the client, so that each is a check of the other's reading of the official documents.
package weixintest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"weixin_exporter/summary"
)

// The calls as they are named in Call.API and Fault.API.
const (
	apiToken       = "token"
	apiStableToken = "stable_token"
	apiDaily       = "daily"
	apiHourly      = "hourly"
)

// NoAnswer stands in Call.Errcode where no errcode was answered: a fault below JSON, a
// caller that went away, or an answer that is still to be given.
const NoAnswer = -2

// readyAfter is when the figures of a day are there by default: 08:00 on the next day, which
// is the hour that the official documents name.
const readyAfter = 8 * time.Hour

// Options say what a Server simulates.
type Options struct {
	// Seed, together with the app id, determines all figures and, with the order of the
	// calls, all tokens.
	Seed uint64
	// Now is the clock of the simulated Weixin. It is required.
	Now func() time.Time
	// Accounts are the accounts that Weixin knows; their app ids are unique.
	Accounts []Account
	// Ready says when the figures of a day become available; nil: 08:00 China time on the
	// next day. It is called from any goroutine.
	Ready func(appID string, date summary.Date) time.Time
}

// Account is an account that the simulated Weixin knows.
type Account struct {
	// AppID and AppSecret are what the account identifies itself with.
	AppID, AppSecret string
	// CallbacksPerDay is the mean of an ordinary weekday; 0 is an account without any traffic.
	CallbacksPerDay int64
	// Incidents are days with an incident for certain, besides those that the seed brings.
	Incidents []summary.Date
	// Quota is how many calls a China day each of the two interface calls allows; 0: no limit.
	Quota int
	// Errcode, if not 0, is what both interface calls always answer, such as 48001.
	Errcode int
}

// Call is one request that the server has seen.
type Call struct {
	// At is when it arrived.
	At time.Time
	// API is "token", "stable_token", "daily" or "hourly", or the path of a request that is
	// none of these.
	API string
	// AppID is the account; of a token call as it was sent, otherwise the owner of the
	// token, "" where the token was not valid.
	AppID string
	// Begin and End are the dates asked for; 0 where there was none.
	Begin, End summary.Date
	// Errcode is what was answered; 0 = success, NoAnswer = no errcode at all.
	Errcode int
}

// Server is the simulated Weixin, an http.Handler. It is safe for concurrent use.
type Server struct {
	seed     uint64
	now      func() time.Time
	ready    func(string, summary.Date) time.Time
	accounts map[string]*account // fixed from New on; what mu guards says account
	secrets  []string            // the app secrets, in the order of the accounts

	mu      sync.Mutex
	calls   []Call
	faults  []*Fault
	tokens  map[string]*token // every token ever issued
	issued  []string          // their texts, in order
	revised map[revision]summary.Figures
}

// account is an Account and what Weixin remembers of it; Server.mu guards the latter.
type account struct {
	Account
	profile profile

	legacy, stable *token // the latest of each kind, nil before the first
	quota          [summary.APIs]struct {
		day  summary.Date
		used int
	}
}

// New returns a simulated Weixin. It panics without a clock and where two accounts have the
// same app id, which are mistakes of its caller.
func New(o Options) *Server {
	if o.Now == nil {
		panic("weixintest: Options.Now is required")
	}
	if o.Ready == nil {
		o.Ready = func(_ string, date summary.Date) time.Time { return date.End().Add(readyAfter) }
	}
	s := &Server{
		seed:     o.Seed,
		now:      o.Now,
		ready:    o.Ready,
		accounts: make(map[string]*account, len(o.Accounts)),
		tokens:   make(map[string]*token),
		revised:  make(map[revision]summary.Figures),
	}
	for _, a := range o.Accounts {
		if _, known := s.accounts[a.AppID]; known {
			panic(fmt.Sprintf("weixintest: two accounts have the app id %q", a.AppID))
		}
		a.Incidents = slices.Clone(a.Incidents)
		s.accounts[a.AppID] = &account{Account: a, profile: newProfile(o.Seed, a)}
		if a.AppSecret != "" {
			s.secrets = append(s.secrets, a.AppSecret)
		}
	}
	return s
}

// Calls returns every request so far in the order of their arrival. The result is the caller's.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Secrets returns every app secret and every token handed out so far, for tests that look
// for leaks. The result is the caller's.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.secrets, s.issued)
}

// Transport returns a round tripper that answers within the process, without network and
// without goroutines. It stops at once with the request's context.
func (s *Server) Transport() http.RoundTripper { return transport{server: s} }
