// Package weixintest is a simulated Weixin: the token calls, those of third-party platforms
// among them, the two calls of the interface statistics and the one that tells their quota,
// with their rules, their error codes and their bad habits, over HTTP or within the process;
// and beside it the token server that a company may have. Tests and the demonstration stand
// on it. It knows nothing of the client, so that each is a check of the other's reading of
// the official documents.
package weixintest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"weixin_exporter/weixin/datacube"
)

// The calls as they are named in Call.API and Fault.API.
const (
	apiToken       = "token"
	apiStableToken = "stable_token"
	apiDaily       = "daily"
	apiHourly      = "hourly"
	apiAuthorizer  = "authorizer"
	apiQuota       = "quota"
	apiTokenServer = "token_server"
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
	// Platforms are the third-party platforms that Weixin knows; their app ids are unique.
	Platforms []Platform
	// Ready says when the figures of a day become available; nil: 08:00 China time on the
	// next day. It is called from any goroutine.
	Ready func(appID string, date datacube.Date) time.Time
}

// Account is an account that the simulated Weixin knows.
type Account struct {
	// AppID and AppSecret are what the account identifies itself with.
	AppID, AppSecret string
	// CallbacksPerDay is the mean of an ordinary weekday; 0 is an account without any traffic.
	CallbacksPerDay int64
	// Incidents are days with an incident for certain, besides those that the seed brings.
	Incidents []datacube.Date
	// Quota is how many calls a China day each of the two interface calls allows; 0: no limit.
	Quota int
	// RateLimit and ComponentRateLimit are how many calls a minute are told to be allowed to the account
	// itself and to its platform; 0: ampleRate. They are not enforced.
	RateLimit, ComponentRateLimit int
	// Errcode, if not 0, is what both interface calls always answer, such as 48001.
	Errcode int
	// Platform is the component app id of the third-party platform that the account has
	// authorised; "": none.
	Platform string
	// AllowList has the addresses that may get tokens and call for the account; nil: all. It
	// does not bind the account's platform, which has a list of its own.
	AllowList []string
}

// Platform is a third-party platform that the simulated Weixin knows. It may call for the
// accounts that name it.
type Platform struct {
	// AppID is the component app id.
	AppID string
	// AllowList has the addresses that may call for the platform, also with the access token of
	// an account that has authorised it; nil: all.
	AllowList []string
}

// Call is one request that the server has seen.
type Call struct {
	// At is when it arrived.
	At time.Time
	// API is "token", "stable_token", "authorizer", "daily", "hourly" or "quota", "token_server"
	// for a request to TokenServer, or the path of a request that is none of these.
	API string
	// AppID is the account; of a token call as it was sent, of the token server the account or
	// platform whose token was asked for, otherwise the owner of the token, "" where the token
	// was not valid.
	AppID string
	// Begin and End are the dates asked for; 0 where there was none.
	Begin, End datacube.Date
	// Errcode is what was answered; 0 = success, NoAnswer = no errcode at all.
	Errcode int
}

// Server is the simulated Weixin, an http.Handler. It is safe for concurrent use.
type Server struct {
	seed      uint64
	now       func() time.Time
	ready     func(string, datacube.Date) time.Time
	accounts  map[string]*account  // fixed from New on; what mu guards says account
	platforms map[string]*platform // fixed from New on; what mu guards says platform

	mu       sync.Mutex
	calls    []Call
	faults   []*Fault
	secrets  []string          // the app secrets, in the order of the accounts, then those set later
	tokens   map[string]*token // every access token ever issued
	issued   []string          // the texts of all tokens, in order
	revised  map[revision]datacube.Figures
	rotate   bool                // each refresh brings another refresh token
	frozen   bool                // the token server repeats itself
	handouts map[holding]handout // what the token server handed out last
}

// account is an Account and what Weixin remembers of it. Server.mu guards the latter and
// AppSecret.
type account struct {
	Account
	profile profile
	allowed addresses

	legacy, stable *token // the latest of each kind, nil before the first
	refresh        refreshTokens
	quota          [datacube.APIs]struct {
		day  datacube.Date
		used int
	}
}

// platform is a Platform and what Weixin remembers of it; Server.mu guards the latter.
type platform struct {
	Platform
	allowed addresses

	component *token // the latest component access token, nil before the first
}

// New returns a simulated Weixin. It panics without a clock, where two accounts or two
// platforms have the same app id, and where an account has authorised a platform that there
// is not, which are mistakes of its caller.
func New(o Options) *Server {
	if o.Now == nil {
		panic("weixintest: Options.Now is required")
	}
	if o.Ready == nil {
		o.Ready = func(_ string, date datacube.Date) time.Time { return date.End().Add(readyAfter) }
	}
	s := &Server{
		seed:      o.Seed,
		now:       o.Now,
		ready:     o.Ready,
		accounts:  make(map[string]*account, len(o.Accounts)),
		platforms: make(map[string]*platform, len(o.Platforms)),
		tokens:    make(map[string]*token),
		revised:   make(map[revision]datacube.Figures),
		handouts:  make(map[holding]handout),
	}
	for _, p := range o.Platforms {
		if _, known := s.platforms[p.AppID]; known {
			panic(fmt.Sprintf("weixintest: two platforms have the app id %q", p.AppID))
		}
		s.platforms[p.AppID] = &platform{Platform: p, allowed: newAddresses(p.AllowList)}
	}
	for _, a := range o.Accounts {
		if _, known := s.accounts[a.AppID]; known {
			panic(fmt.Sprintf("weixintest: two accounts have the app id %q", a.AppID))
		}
		a.Incidents = slices.Clone(a.Incidents)
		known := &account{Account: a, profile: newProfile(o.Seed, a), allowed: newAddresses(a.AllowList)}
		s.accounts[a.AppID] = known
		if a.AppSecret != "" {
			s.secrets = append(s.secrets, a.AppSecret)
		}
		if a.Platform == "" {
			continue
		}
		if s.platforms[a.Platform] == nil {
			panic(fmt.Sprintf("weixintest: the account %q has authorised the platform %q, which there is not", a.AppID, a.Platform))
		}
		known.refresh.current = s.newRefreshToken()
	}
	return s
}

// SetSecret gives an account another app secret, as its operator does in the console: from
// then on the old one is refused with 40125. Tokens go on. It panics where there is no such
// account.
func (s *Server) SetSecret(appID, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(appID).AppSecret = secret
	s.secrets = append(s.secrets, secret)
}

// account returns an account that a caller of the package named. It panics where there is none.
func (s *Server) account(appID string) *account {
	a := s.accounts[appID]
	if a == nil {
		panic(fmt.Sprintf("weixintest: there is no account %q", appID))
	}
	return a
}

// Calls returns every request so far in the order of their arrival. The result is the caller's.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Secrets returns every app secret and every access token, component access token and refresh
// token so far, also those that are no longer valid, for tests that look for leaks. The result
// is the caller's.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.secrets, s.issued)
}

// Transport returns a round tripper that answers within the process, without network and
// without goroutines, to requests that come from ClientAddress. It stops at once with the
// request's context.
func (s *Server) Transport() http.RoundTripper { return s.TransportFrom(ClientAddress) }

// TransportFrom is Transport for requests that come from another address.
func (s *Server) TransportFrom(address string) http.RoundTripper {
	return transport{server: s, address: address}
}
