package weixintest

import (
	"fmt"
	"time"
)

// refreshTokens are the refresh tokens of an account that has authorised a platform. After a
// rotation the old one stays valid until its successor, or an access token that came with it, is used, so that a
// lost response does no harm.
type refreshTokens struct {
	current string
	next    string // returned last and not used yet; "" means none
}

// latest returns the one of the last response.
func (t *refreshTokens) latest() string {
	if t.next != "" {
		return t.next
	}
	return t.current
}

// arrived revokes the old refresh token if the used one is its successor.
func (t *refreshTokens) arrived(text string) {
	if text != "" && text == t.next {
		t.current, t.next = t.next, ""
	}
}

// RotateRefreshTokens sets whether each response of api_authorizer_token has another refresh
// token (true) or, as is usual at Weixin, the same one (false, the default). The old one stays valid
// until the other one, or an access token that came with it, is used; of several that were never used only the
// last is valid.
func (s *Server) RotateRefreshTokens(always bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate = always
}

// RefreshToken returns the refresh token that an account's platform should have: the first one,
// and later the one of the last response; "" if the account has no platform. It panics if the account is
// unknown.
func (s *Server) RefreshToken(appID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(appID)
	return a.refresh.latest()
}

// ComponentToken returns a platform's component access token, as its own token server has it.
// After 7,200 seconds it is replaced by another one. It panics if the platform is unknown.
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

// currentComponent returns the platform's component access token. The caller holds mu.
func (s *Server) currentComponent(p *platform, now time.Time) *token {
	if p.component == nil || p.component.secondsLeft(now) < 1 {
		p.component = s.issueToken(token{platform: p.AppID}, now)
	}
	return p.component
}

// authorizerToken is POST /cgi-bin/component/api_authorizer_token: a platform gets an access
// token for an account that has authorised it. Earlier ones stay valid.
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

// checkAuthorizer returns the account whose access token a platform may have, or the errcode that refuses
// it. The caller holds mu.
func (s *Server) checkAuthorizer(r request, now time.Time) (*account, int) {
	t, code := s.checkToken(r.query.Get("component_access_token"), now)
	if code == 0 && t.appID != "" {
		code = errNotLatest // the access token of an account is not that of a platform
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
