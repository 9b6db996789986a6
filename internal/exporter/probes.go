package exporter

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exposition"
	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/callback"
	"weixin_exporter/weixin/secret"
)

// newProber returns a prober without accounts.
func newProber(now func() time.Time) *probe.Prober {
	return probe.New(probe.Options{Now: now, UserAgent: userAgent()})
}

// probeAccounts returns the accounts with their targets.
func probeAccounts(cfg *config.Config) []probe.Account {
	accounts := make([]probe.Account, len(cfg.Accounts))
	for i, a := range cfg.Accounts {
		accounts[i] = probe.Account{Name: a.Name, Target: targetOf(a)}
	}
	return accounts
}

// targetOf returns nil for an account without a callback.
func targetOf(a config.Account) *probe.Target {
	c := a.Callback
	if c == nil {
		return nil
	}
	target := &probe.Target{
		URL:           secret.NewURL(strings.ReplaceAll(c.URL.Reveal(), config.AppIDInURL, a.AppID)),
		Token:         c.CurrentToken,
		Key:           c.CurrentAESKey,
		HTTPClient:    c.HTTPClient,
		AllowMetadata: c.AllowMetadataAddress,
		Shown:         c.String,
	}
	if c.Message {
		target.Message = &probe.Message{Mode: callback.Mode(c.Encryption), AppID: c.AppID, To: c.MessageTo, Event: c.MessageEvent}
	}
	return target
}

// keepProbing probes all callbacks at the interval of the options until the context ends.
func (x *exporter) keepProbing(ctx context.Context) {
	if x.ProbeInterval == 0 {
		return
	}
	ticker := time.NewTicker(x.ProbeInterval)
	defer ticker.Stop()
	for {
		for _, name := range x.prober.Names() {
			_, _ = x.prober.Probe(ctx, name, probe.Longest) // the prober keeps the result
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// discovery answers Prometheus' HTTP service discovery: with shards=N the shards of the metrics, with probes=1 the
// accounts that can be probed.
func (x *exporter) discovery() http.Handler {
	var at *url.URL
	if m := x.location.Metrics; m != nil {
		at = &url.URL{Scheme: m.Scheme, Host: m.Host, Path: strings.TrimSuffix(m.Path, x.Web.TelemetryPath) + "/probe"}
	}
	shards, probes := exposition.Discovery(x.location.Metrics), x.prober.Discovery(at)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		switch {
		case err != nil || !query.Has("probes"):
			shards.ServeHTTP(w, r)
		case query.Has("shards") || query.Get("probes") != "1":
			http.Error(w, "Ask either for ?shards=8, the shards of the metrics, or for ?probes=1, the accounts whose callback can be probed.", http.StatusBadRequest)
		default:
			probes.ServeHTTP(w, r)
		}
	})
}
