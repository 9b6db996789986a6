package weixintest

// CallbackHost is the host of a callback URL as Weixin sees it.
type CallbackHost struct {
	// Addresses are what the name resolves to; none if it does not.
	Addresses []string
	// Lost means that no ping is answered.
	Lost bool
}

// checkCallback is POST /cgi-bin/callback/check: how Weixin resolves the host of the callback URL, and what a ping gives. For a
// component access token the URL is that of the platform. Without one it gives 40201.
func (s *Server) checkCallback(r request) answer {
	host, code := s.callbackOf(r)
	if code == 0 {
		code = checkPost(r)
	}
	action, ok1 := r.text("action")
	operator, ok2 := r.text("check_operator")
	switch {
	case code != 0:
	case !ok1 || !ok2:
		code = errNoJSON
	case action != "dns" && action != "ping" && action != "all":
		code = errCallbackAction
	case operator != "CHINANET" && operator != "UNICOM" && operator != "CAP" && operator != "DEFAULT":
		code = errCallbackOperator
	case host == nil:
		code = errCallbackURL
	}
	if code != 0 {
		return s.refuse(r, code, false)
	}
	type resolved struct {
		IP       string `json:"ip"`
		Operator string `json:"real_operator"`
	}
	type pinged struct {
		IP       string `json:"ip"`
		Operator string `json:"from_operator"`
		Loss     string `json:"package_loss"`
		Time     string `json:"time"`
	}
	reply := struct {
		DNS  []resolved `json:"dns"`
		Ping []pinged   `json:"ping"`
	}{[]resolved{}, []pinged{}}
	for _, address := range host.Addresses {
		if action != "ping" {
			reply.DNS = append(reply.DNS, resolved{address, "UNICOM"})
		}
		if action != "dns" {
			p := pinged{address, "UNICOM", "0%", "23.079ms"}
			if host.Lost {
				p.Loss, p.Time = "100%", ""
			}
			reply.Ping = append(reply.Ping, p)
		}
	}
	return jsonAnswer(reply)
}

// callbackOf returns the host that belongs to the token of a request, nil where no URL is set, or the errcode that
// refuses the token.
func (s *Server) callbackOf(r request) (*CallbackHost, int) {
	now := s.now()
	s.mu.Lock()
	t, code := s.checkToken(r.query.Get("access_token"), now)
	s.mu.Unlock()
	if code == 0 && t.appID == "" {
		p := s.platforms[t.platform]
		if !p.allowed.has(r.address) {
			return nil, errPlatformAddress
		}
		return p.Callback, 0
	}
	a, code := s.caller(r, now)
	if code != 0 {
		return nil, code
	}
	return a.Callback, 0
}
