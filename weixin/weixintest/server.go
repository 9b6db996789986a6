// Package weixintest simulates Weixin for tests and for the demonstration: the token calls, including those of
// third-party platforms, the two calls of the interface statistics and the quota call, with their rules, error
// codes and oddities, over HTTP or within the process; and also the token server that a company may have. It
// does not import the client, so that each of the two checks how the other reads the official documents.
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
	apiRID         = "rid"
	apiCallback    = "callback_check"
	apiTokenServer = "token_server"
)

// NoAnswer is the Call.Errcode of a request without an errcode in its response: after a fault below JSON, if
// the caller went away, or if the response is still pending.
const NoAnswer = -2

// readyAfter is when the figures of a day become available by default: 08:00 on the next day, the hour in the
// official documents.
const readyAfter = 8 * time.Hour

// Options configure a Server.
type Options struct {
	// Seed determines, together with the app id, all figures and, with the order of the calls, all tokens.
	Seed uint64
	// Now is the clock of the simulated Weixin. It is required.
	Now func() time.Time
	// Accounts are the accounts that Weixin knows; their app ids are unique.
	Accounts []Account
	// Platforms are the third-party platforms that Weixin knows; their app ids are unique.
	Platforms []Platform
	// Ready returns when the figures of a day become available; nil means 08:00 China time on the
	// next day. It is called from any goroutine.
	Ready func(appID string, date datacube.Date) time.Time
	// Arrived is called with each request before it is answered, and with the address that it came from; nil means
	// never. The Errcode of the call is NoAnswer. It is called from any goroutine.
	Arrived func(call Call, from string)
}

// Account is an account that the simulated Weixin knows.
type Account struct {
	// AppID and AppSecret are the credentials of the account.
	AppID, AppSecret string
	// CallbacksPerDay is the mean of an ordinary weekday; 0 means no traffic.
	CallbacksPerDay int64
	// Incidents are days with an incident, in addition to those that Seed determines.
	Incidents []datacube.Date
	// Quota is how many calls per day (China time) each of the two interface calls allows; 0 means no limit.
	Quota int
	// RateLimit and ComponentRateLimit are the calls per minute that the quota call states for the account
	// itself and for its platform; 0 means 600,000. They are not enforced.
	RateLimit, ComponentRateLimit int
	// Errcode, if not 0, is the errcode of all responses of both interface calls, such as 48001.
	Errcode int
	// Platform is the component app id of the third-party platform that the account has
	// authorised; "" means none.
	Platform string
	// Callback is the host of the account's callback URL; nil means that none is set.
	Callback *CallbackHost
	// AllowList has the addresses that may get tokens and call for the account; nil means all. It
	// does not apply to the account's platform, which has a list of its own.
	AllowList []string
}

// Platform is a third-party platform that the simulated Weixin knows. It may call for the accounts that have
// authorised it.
type Platform struct {
	// AppID is the component app id.
	AppID string
	// Callback is the host of the platform's callback URL; nil means that none is set.
	Callback *CallbackHost
	// AllowList has the addresses that may call for the platform, including calls with the access token of
	// an account that has authorised it; nil means all.
	AllowList []string
}

// Call is one request that the server has received.
type Call struct {
	// At is when the request arrived.
	At time.Time
	// API is "token", "stable_token", "authorizer", "daily", "hourly", "quota", "rid" or "callback_check", "token_server"
	// for a request to TokenServer, or the path of any other request.
	API string
	// AppID is the account: of a token call the one in the request, of the token server the account or
	// platform whose token was requested, otherwise the owner of the token, "" if the token was invalid.
	AppID string
	// Begin and End are the requested dates; 0 if there were none.
	Begin, End datacube.Date
	// Errcode is the errcode of the response; 0 means success, NoAnswer that it has none.
	Errcode int
}

// Server is the simulated Weixin, an http.Handler. It is safe for concurrent use.
type Server struct {
	seed      uint64
	now       func() time.Time
	ready     func(string, datacube.Date) time.Time
	arrived   func(Call, string)
	accounts  map[string]*account  // fixed by New; account says what mu guards
	platforms map[string]*platform // fixed by New; platform says what mu guards

	mu       sync.Mutex
	calls    []Call
	faults   []*Fault
	secrets  []string          // the app secrets in the order of the accounts, then those set later
	tokens   map[string]*token // every access token ever issued
	issued   []string          // the texts of all tokens, in order
	revised  map[revision]datacube.Figures
	rotate   bool                     // each refresh returns another refresh token
	frozen   bool                     // the token server repeats its responses
	handouts map[holding]handout      // the last responses of the token server
	rids     map[string]loggedRequest // the requests whose responses had a rid; log removes old ones
	mostRids int                      // when there are as many, old ones are removed

	simulated map[simulatedDay]datacube.Hours // those that were needed lately
}

// account is an Account with its state. Server.mu guards the state and AppSecret.
type account struct {
	Account
	profile profile
	allowed addresses

	legacy, stable *token // the latest of each kind; nil before the first
	refresh        refreshTokens
	quota          [datacube.APIs]struct {
		day  datacube.Date
		used int
	}
}

// platform is a Platform with its state, which Server.mu guards.
type platform struct {
	Platform
	allowed addresses

	component *token // the latest component access token; nil before the first
}

// New returns a simulated Weixin. It panics on invalid options: without a clock, if two accounts or two
// platforms have the same app id, or if an account has authorised an unknown platform.
func New(o Options) *Server {
	if o.Now == nil {
		panic("weixintest: Options.Now is required")
	}
	if o.Ready == nil {
		o.Ready = func(_ string, date datacube.Date) time.Time { return date.End().Add(readyAfter) }
	}
	if o.Arrived == nil {
		o.Arrived = func(Call, string) {}
	}
	s := &Server{
		seed:      o.Seed,
		now:       o.Now,
		ready:     o.Ready,
		arrived:   o.Arrived,
		accounts:  make(map[string]*account, len(o.Accounts)),
		platforms: make(map[string]*platform, len(o.Platforms)),
		tokens:    make(map[string]*token),
		revised:   make(map[revision]datacube.Figures),
		handouts:  make(map[holding]handout),
		rids:      make(map[string]loggedRequest),
		simulated: make(map[simulatedDay]datacube.Hours),
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
			panic(fmt.Sprintf("weixintest: the account %q has authorised the platform %q, which does not exist", a.AppID, a.Platform))
		}
		known.refresh.current = s.newRefreshToken()
	}
	return s
}

// SetSecret replaces the app secret of an account, as its operator does in the console: from
// then on the old one is refused with 40125. Tokens stay valid. It panics if the account is unknown.
func (s *Server) SetSecret(appID, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account(appID).AppSecret = secret
	s.secrets = append(s.secrets, secret)
}

// account returns an account that a caller of the package names. It panics if the account is unknown.
func (s *Server) account(appID string) *account {
	a := s.accounts[appID]
	if a == nil {
		panic(fmt.Sprintf("weixintest: there is no account %q", appID))
	}
	return a
}

// Calls returns all requests so far in the order of their arrival. The caller owns the result.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Secrets returns every app secret and every access token, component access token and refresh
// token so far, including those that are no longer valid, for tests that look for leaks. The caller owns the
// result.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.secrets, s.issued)
}

// Transport returns a RoundTripper that responds within the process, without network and
// goroutines, to requests from ClientAddress. It returns at once when the request's context ends.
func (s *Server) Transport() http.RoundTripper { return s.TransportFrom(ClientAddress) }

// TransportFrom is Transport for requests from another address.
func (s *Server) TransportFrom(address string) http.RoundTripper {
	return transport{server: s, address: address}
}
