package weixintest

import (
	"fmt"
	"time"
)

// refreshTokens are the refresh tokens of an account that has authorised a platform. After a
// rotation the old one goes on until Weixin knows that its successor has arrived, so that an
// answer that is lost on its way does no harm.
type refreshTokens struct {
	current string
	next    string // handed out last and never seen since; "": none
}

// latest is the one that a platform has that lost no answer.
func (t *refreshTokens) latest() string {
	if t.next != "" {
		return t.next
	}
	return t.current
}

// arrived ends the old refresh token where the one that has arrived is its successor.
func (t *refreshTokens) arrived(text string) {
	if text != "" && text == t.next {
		t.current, t.next = t.next, ""
	}
}

// RotateRefreshTokens says whether each api_authorizer_token answer carries another refresh
// token (true) or, as Weixin's mostly do, the same one (false, the default). The old one goes
// on until the other one is used, or an access token that came with it is; only the last of
// several that were never used is good.
func (s *Server) RotateRefreshTokens(always bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate = always
}

// RefreshToken returns the refresh token that an account's platform is to have: the first one,
// and then the one that was answered last. It is "" where the account has no platform, and it
// panics where there is no such account.
func (s *Server) RefreshToken(appID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(appID)
	return a.refresh.latest()
}

// ComponentToken returns a platform's component access token, as its own token server has it.
// It lives for 7,200 seconds; then there is another one. It panics where there is no such
// platform.
func (s *Server) ComponentToken(platform string) string {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.platforms[platform]
	if p == nil {
		panic(fmt.Sprintf("weixintest: there is no platform %q", platform))
	}
	return s.currentComponent(p, now).text
}

// currentComponent wants mu to be held.
func (s *Server) currentComponent(p *platform, now time.Time) *token {
	if p.component == nil || p.component.secondsLeft(now) < 1 {
		p.component = s.issueToken(token{platform: p.AppID}, now)
	}
	return p.component
}

// authorizerToken is POST /cgi-bin/component/api_authorizer_token: a platform gets an access
// token for an account that has authorised it. The ones before live on.
func (s *Server) authorizerToken(r request) answer {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	a, code := s.checkAuthorizer(r, now)
	if code != 0 {
		return s.refuse(r, code, false)
	}
	refresh := a.refresh.current
	if s.rotate {
		refresh = s.newRefreshToken()
		a.refresh.next = refresh
	}
	t := s.issueToken(token{appID: a.AppID, platform: a.Platform, refresh: refresh}, now)
	return jsonAnswer(struct {
		AccessToken  string `json:"authorizer_access_token"`
		ExpiresIn    int64  `json:"expires_in"`
		RefreshToken string `json:"authorizer_refresh_token"`
	}{t.text, t.secondsLeft(now), refresh})
}

// checkAuthorizer returns the account that a platform may have an access token of, or the
// errcode that refuses it. It wants mu to be held.
func (s *Server) checkAuthorizer(r request, now time.Time) (*account, int) {
	t, code := s.checkToken(r.query.Get("component_access_token"), now)
	if code == 0 && t.appID != "" {
		code = errNotLatest // an account's access token is none of a platform
	}
	if code == 0 {
		code = checkPost(r)
	}
	if code != 0 {
		return nil, code
	}
	platform, ok1 := r.text("component_appid")
	appID, ok2 := r.text("authorizer_appid")
	refresh, ok3 := r.text("authorizer_refresh_token")
	a := s.accounts[appID]
	switch {
	case !ok1 || !ok2 || !ok3:
		return nil, errNoJSON
	case !s.platforms[t.platform].allowed.has(r.address):
		return nil, errPlatformAddress
	case platform != t.platform:
		return nil, errPlatform
	case a == nil || a.Platform != platform:
		return nil, errNotAuthorized
	}
	a.refresh.arrived(refresh)
	if refresh != a.refresh.current {
		return nil, errRefreshToken
	}
	return a, 0
}
