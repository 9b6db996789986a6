package weixintest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	tokenLife   = 7200 * time.Second
	tokenGrace  = 5 * time.Minute // how long an old token stays valid beside its successor
	tokenPrefix = "sim-token-"
	tokenLength = 157

	refreshPrefix = tokenPrefix + "refreshtoken@@@" // real refresh tokens contain @@@ as well
	refreshLength = 72

	// The bounds of a well-formed token: real ones are not shorter, and the official documents
	// require storage for 512 characters.
	minTokenLength = 136
	maxTokenLength = 512

	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// token is an issued access token: of an account, of a platform for an account
// that has authorised it, or, without an account, the component access token of a platform.
type token struct {
	text     string
	appID    string // of the account
	platform string // its component app id
	refresh  string // the refresh token that came with it
	expires  time.Time
	replaced time.Time // when a later one replaces it; zero means never
}

// errcode returns the errcode of a call with this token; 0 if the token is valid.
func (t *token) errcode(now time.Time) int {
	switch {
	case !t.replaced.IsZero() && !now.Before(t.replaced):
		return errNotLatest
	case !now.Before(t.expires):
		return errExpired
	default:
		return 0
	}
}

// secondsLeft returns the value of expires_in.
func (t *token) secondsLeft(now time.Time) int64 { return int64(t.expires.Sub(now) / time.Second) }

// replace makes the token invalid at the given time, unless it expires before.
func (t *token) replace(at time.Time) {
	if at.Before(t.expires) && (t.replaced.IsZero() || at.Before(t.replaced)) {
		t.replaced = at
	}
}

// issueToken completes an access token with a unique text and the time when it expires. The caller holds mu.
func (s *Server) issueToken(t token, now time.Time) *token {
	t.text = s.newText(tokenPrefix, tokenLength)
	t.expires = now.Add(tokenLife)
	s.tokens[t.text] = &t
	return &t
}

// newRefreshToken returns a new refresh token. The caller holds mu.
func (s *Server) newRefreshToken() string { return s.newText(refreshPrefix, refreshLength) }

// newText returns a unique text of a token. The caller holds mu.
func (s *Server) newText(prefix string, length int) string {
	order := uint64(len(s.issued))
	var text strings.Builder
	fmt.Fprintf(&text, "%s%d_", prefix, order) // the order alone makes it unique
	for random := newRandom(s.seed, "", "token", order); text.Len() < length; {
		text.WriteByte(tokenAlphabet[random.IntN(len(tokenAlphabet))])
	}
	s.issued = append(s.issued, text.String())
	return text.String()
}

// checkToken returns a valid access token of any kind, or the errcode that refuses it. The caller holds mu.
func (s *Server) checkToken(text string, now time.Time) (*token, int) {
	if text == "" {
		return nil, errTokenMissing
	}
	if !wellFormed(text) {
		return nil, errMalformedToken
	}
	t := s.tokens[text]
	if t == nil {
		return nil, errNotLatest
	}
	if code := t.errcode(now); code != 0 {
		return nil, code
	}
	return t, 0
}

// caller returns the account of a call with an access token, or the errcode that refuses the token or the
// calling address.
func (s *Server) caller(r request, now time.Time) (*account, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, code := s.checkToken(r.query.Get("access_token"), now)
	if code != 0 {
		return nil, code
	}
	a := s.accounts[t.appID]
	switch {
	case a == nil:
		return nil, errNotLatest // a component access token is not that of an account
	case t.platform == "":
		if !a.allowed.has(r.address) {
			return nil, errAddress
		}
	case !s.platforms[t.platform].allowed.has(r.address):
		return nil, errPlatformAddress
	default:
		a.refresh.arrived(t.refresh)
	}
	return a, 0
}

func wellFormed(token string) bool {
	return len(token) >= minTokenLength && len(token) <= maxTokenLength &&
		strings.Trim(token, tokenAlphabet) == ""
}

// checkCredentials returns the account that requests a token, or the errcode that refuses it.
// The caller holds mu.
func (s *Server) checkCredentials(grantType, appID, secret, address string) (*account, int) {
	a := s.accounts[appID]
	switch {
	case grantType != "client_credential":
		return nil, errGrantType
	case appID == "":
		return nil, errAppIDMissing
	case secret == "":
		return nil, errAppSecretMissing
	case a == nil:
		return nil, errAppID
	case secret != a.AppSecret:
		return nil, errAppSecret
	case !a.allowed.has(address):
		return nil, errAddress
	default:
		return a, 0
	}
}

// legacyToken is GET /cgi-bin/token: a new token each time, which replaces the old one.
func (s *Server) legacyToken(r request) answer {
	if r.method != http.MethodGet {
		return s.refuse(r, errRequireGet, false)
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	a, code := s.checkCredentials(r.query.Get("grant_type"), r.query.Get("appid"), r.query.Get("secret"), r.address)
	if code != 0 {
		return s.refuse(r, code, false)
	}
	s.renewLegacy(a, now)
	return tokenAnswer(a.legacy, now)
}

// renewLegacy issues a new token of /cgi-bin/token. The caller holds mu.
func (s *Server) renewLegacy(a *account, now time.Time) {
	if a.legacy != nil {
		a.legacy.replace(now.Add(tokenGrace))
	}
	a.legacy = s.issueToken(token{appID: a.AppID}, now)
}

// stableToken is POST /cgi-bin/stable_token: the same token up to its last five minutes, then
// one that overlaps with it. A forced refresh makes the old one invalid at once.
func (s *Server) stableToken(r request) answer {
	if code := checkPost(r); code != 0 {
		return s.refuse(r, code, false)
	}
	grantType, ok1 := r.text("grant_type")
	appID, ok2 := r.text("appid")
	secret, ok3 := r.text("secret")
	force, ok4 := r.flag("force_refresh")
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return s.refuse(r, errNoJSON, false)
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	a, code := s.checkCredentials(grantType, appID, secret, r.address)
	if code != 0 {
		return s.refuse(r, code, false)
	}
	if force && a.stable != nil {
		a.stable.replace(now)
	}
	if force || a.stable == nil || a.stable.expires.Sub(now) < tokenGrace {
		a.stable = s.issueToken(token{appID: a.AppID}, now)
	}
	return tokenAnswer(a.stable, now)
}

func tokenAnswer(t *token, now time.Time) answer {
	return jsonAnswer(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}{t.text, t.secondsLeft(now)})
}

// flag returns a boolean field of the body; false if it is missing.
func (r *request) flag(name string) (bool, bool) {
	raw, ok := r.fields[name]
	if !ok {
		return false, true
	}
	var b bool
	err := json.Unmarshal(raw, &b)
	return b, err == nil
}

// checkPost returns the errcode of a call that is not a POST of a JSON object, else 0.
func checkPost(r request) int {
	switch {
	case r.method != http.MethodPost:
		return errRequirePost
	case len(r.body) == 0:
		return errEmptyBody
	case r.fields == nil:
		return errNoJSON
	default:
		return 0
	}
}
