package command

import (
	"net/http"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

const (
	// demoToken is the token of all callbacks of the demonstration.
	demoToken = "sim-token-demo" //nolint:gosec // a simulated one
	// demoProbes is how often the demonstration probes its callbacks, since no Prometheus does.
	demoProbes = 15 * time.Second
	// demoDown is the account whose callback is down now, although yesterday all was well.
	demoDown = "news"
)

// demoCallbacks serves the callback of each account below /callback/, and all else by next.
func demoCallbacks(names []string, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	for _, name := range names {
		server := weixintest.NewCallback(weixintest.CallbackOptions{Token: demoToken})
		if name == demoDown {
			server.SetFault(weixintest.CallbackFault{Status: http.StatusBadGateway})
		}
		mux.Handle("/callback/"+name, server)
	}
	return mux
}

// demoCallback returns the callback of an account, on the server at the URL.
func demoCallback(server, name string) *config.Callback {
	return &config.Callback{URL: secret.NewURL(server + "/callback/" + name), Token: secret.New(demoToken)}
}
