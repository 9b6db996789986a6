package weixintest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The shapes of the token server's responses, as its paths name them.
const (
	shapeRaw    = "raw"                 // the text of the token alone
	shapeString = "string"              // a JSON string
	shapeObject = "object"              // access_token and expires_in
	shapeBare   = "object-without-life" // access_token
	shapeOwn    = "own"                 // as in Weixin's own response, with component_access_token for a platform
	shapeNested = "nested"              // {"code": 0, "message": …, "data": {"token": …, "expires_in": …}}
)

// holding identifies a token of the token server: that of an account or of a platform.
type holding struct {
	component bool
	appID     string
}

// handout is a token in a response of the token server.
type handout struct {
	text      string
	expiresIn int64
}

// TokenServer returns the token server of a company, from which its programs get access tokens. Its own requests
// to the simulated Weixin are not in Calls; the requests to it are. It responds to
//
//	GET /{shape}/{appid}               with the account's latest token of /cgi-bin/token
//	GET /{shape}/component/{platform}  with the platform's component access token
//
// where shape is "raw", "string", "object", "object-without-life", "own" or "nested", and to any other request with
// the status 404.
func (s *Server) TokenServer() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, s.parseTokenRequest) })
}

// FreezeTokenServer makes the token server repeat its last response for each account and
// platform, even if Weixin refuses that token, until it is no longer frozen. It gets a token that it has not
// returned before once.
func (s *Server) FreezeTokenServer(frozen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = frozen
}

// parseTokenRequest parses a request to the token server.
func (s *Server) parseTokenRequest(address, method string, u *url.URL, _ []byte) request {
	r := request{api: u.Path, address: address, method: method}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case len(parts) == 2 && s.accounts[parts[1]] != nil:
		r.holding = holding{appID: parts[1]}
	case len(parts) == 3 && parts[1] == "component" && s.platforms[parts[2]] != nil:
		r.holding = holding{component: true, appID: parts[2]}
	default:
		return r
	}
	r.shape = parts[0]
	if slices.Contains([]string{shapeRaw, shapeString, shapeObject, shapeBare, shapeOwn, shapeNested}, r.shape) {
		r.api, r.known = apiTokenServer, true
	}
	return r
}

// handOut responds to a request to the token server.
func (s *Server) handOut(r request) answer {
	if r.method != http.MethodGet {
		return htmlAnswer(http.StatusMethodNotAllowed)
	}
	now := s.now()
	s.mu.Lock()
	h, before := s.handouts[r.holding]
	if !s.frozen || !before {
		t := s.held(r.holding, now)
		h = handout{t.text, t.secondsLeft(now)}
		s.handouts[r.holding] = h
	}
	s.mu.Unlock()

	type object struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in,omitempty"`
	}
	var a answer
	switch r.shape {
	case shapeRaw:
		return answer{status: http.StatusOK, contentType: typeText, body: []byte(h.text + "\n")}
	case shapeString:
		a = jsonAnswer(h.text)
	case shapeObject:
		a = jsonAnswer(object{h.text, h.expiresIn})
	case shapeOwn:
		a = jsonAnswer(object{h.text, h.expiresIn})
		if r.holding.component {
			a = jsonAnswer(map[string]any{"component_access_token": h.text, "expires_in": h.expiresIn})
		}
	case shapeNested:
		a = jsonAnswer(map[string]any{"code": 0, "message": "成功", "data": map[string]any{"token": h.text, "expires_in": h.expiresIn}})
	default:
		a = jsonAnswer(object{AccessToken: h.text})
	}
	a.contentType = typeJSON
	return a
}

// held returns the token of the token server, a new one if the old one expires within minutes. The caller
// holds mu.
func (s *Server) held(h holding, now time.Time) *token {
	if h.component {
		return s.currentComponent(s.platforms[h.appID], now)
	}
	a := s.accounts[h.appID]
	if a.legacy == nil || a.legacy.expires.Sub(now) < tokenGrace {
		s.renewLegacy(a, now)
	}
	return a.legacy
}
