package exporter

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/version"
	"golang.org/x/time/rate"

	"weixin_exporter/internal/check"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/probe"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// clients builds the Weixin clients of a configuration and keeps them, so that the clients of the next
// configuration can take over their tokens.
type clients struct {
	now     func() time.Time
	observe func(weixin.Request)
	shared  SharedTokens
	kept    generation
}

// generation is the clients of one configuration.
type generation struct {
	refresh  refresh.Config
	baseURL  string
	accounts map[string]client // by app id
	// idle closes connections that are not needed once the next generation is in force.
	idle []func()
}

type client struct {
	config config.Account
	weixin *weixin.Account
}

// build returns the clients of a configuration, for ApplyConfig; those in use are not changed. An account
// keeps its token if its credentials and host are unchanged.
func (c *clients) build(cfg *config.Config) (generation, error) {
	refreshConfig := refresh.Config{
		Settings: refresh.Settings{
			ReadyAt:      cfg.Refresh.ReadyAt.Offset(),
			HistoryDays:  cfg.Refresh.HistoryDays(),
			RecheckAfter: time.Duration(cfg.Refresh.RecheckAfter),
			Quota:        cfg.Weixin.Quota,
		},
		Interval:      time.Duration(cfg.Refresh.Interval),
		Concurrency:   cfg.Weixin.Concurrency,
		Pace:          time.Duration(float64(time.Second) / cfg.Weixin.RequestsPerSecond),
		RetentionDays: cfg.Store.RetentionDays(),
	}
	// It keeps up to 1000 idle connections to a host, the highest concurrency that is allowed, so that
	// each worker has its own.
	httpClient, err := httpclient.New(cfg.Weixin.HTTPClient, Program)
	if err != nil {
		return generation{}, fmt.Errorf("weixin.http_config: %w", err)
	}
	limiter := newLimiter(cfg.Weixin.RequestsPerSecond)
	refreshConfig.SetShare = limiter.setShare
	api := weixin.NewClient(weixin.Options{
		BaseURL:    cfg.Weixin.BaseURL,
		HTTPClient: httpClient,
		Timeout:    time.Duration(cfg.Weixin.Timeout),
		Limiter:    limiter,
		Now:        c.now,
		Observe:    c.observe,
		UserAgent:  userAgent(),
	})
	next := generation{baseURL: cfg.Weixin.BaseURL, accounts: make(map[string]client, len(cfg.Accounts))}
	sources := sources{api: api, keeper: c.shared.keeper(cfg), baseURL: cfg.Weixin.BaseURL}
	next.idle = append(next.idle, httpClient.CloseIdleConnections)
	for _, a := range cfg.Accounts {
		former, ok := c.kept.accounts[a.AppID]
		if ok {
			a = a.KeepSecret(former.config)
		}
		made := client{config: a, weixin: api.Account(sources.of(a))}
		if ok && c.kept.baseURL == next.baseURL && former.config.SameCredentials(a) {
			made.weixin.AdoptToken(former.weixin)
		}
		next.accounts[a.AppID] = made
		refreshConfig.Accounts = append(refreshConfig.Accounts, refresh.Account{
			Name: a.Name, AppID: a.AppID, Caller: made.weixin, Credentials: credentialsOf(cfg, a),
		})
	}
	next.idle = append(next.idle, sources.idle...)
	next.refresh = refreshConfig
	return next, nil
}

// limiter limits the rate of requests.
type limiter struct {
	*rate.Limiter

	perSecond float64
}

func newLimiter(perSecond float64) limiter {
	l := limiter{rate.NewLimiter(0, 0), perSecond}
	l.setShare(1)
	return l
}

// setShare sets the limit to a part of the configured rate, since processes that share a store divide the rate. A call that
// is waiting for its turn gets it even if the part is 0.
func (l limiter) setShare(part float64) {
	perSecond := l.perSecond * max(part, 1.0/store.Slots)
	l.SetLimit(rate.Limit(perSecond))
	// The requests of a tenth of a second may be sent at once, so that high rates are reached with coarse timers.
	l.SetBurst(max(1, int(perSecond/10)))
}

// ApplyConfig replaces the clients with those that build returned.
func (c *clients) ApplyConfig(next generation) {
	for _, closeIdle := range c.kept.idle {
		closeIdle()
	}
	c.kept = next
}

// credentialsOf returns everything in the configuration that decides whether Weixin accepts the calls of an
// account: the credentials, the host and the proxy.
func credentialsOf(cfg *config.Config, a config.Account) secret.Value {
	t := a.Token
	proxy := ""
	if p := cfg.Weixin.HTTPClient.ProxyURL.URL; p != nil {
		proxy = p.String()
	}
	parts := []string{
		cfg.Weixin.BaseURL, proxy, string(t.Type), a.Secret().Reveal(),
		t.Path, t.URL.Reveal(), t.ComponentAppID, t.RefreshTokenFile,
	}
	if c := t.ComponentAccessToken; c != nil {
		parts = append(parts, string(c.Type), c.Path, c.URL.Reveal())
	}
	return secret.New(strings.Join(parts, "\n"))
}

// RefreshConfig returns the configuration of a refresh, with new clients for all accounts. observe is called after each
// request to Weixin, possibly from several goroutines at once.
func RefreshConfig(cfg *config.Config, now func() time.Time, observe func(weixin.Request), shared SharedTokens) (refresh.Config, error) {
	made := clients{now: now, observe: observe, shared: shared}
	built, err := made.build(cfg)
	return built.refresh, err
}

// newClients returns the clients of a command that does not observe the requests.
func newClients(now func() time.Time, shared SharedTokens) clients {
	return clients{now: now, observe: func(weixin.Request) {}, shared: shared}
}

// CheckAccounts returns the accounts to examine, with new clients.
func CheckAccounts(cfg *config.Config, now func() time.Time, shared SharedTokens) ([]check.Account, error) {
	made := newClients(now, shared)
	built, err := made.build(cfg)
	if err != nil {
		return nil, err
	}
	prober := newProber(now)
	prober.ApplyConfig(probeAccounts(cfg))
	accounts := make([]check.Account, len(cfg.Accounts))
	for i, a := range cfg.Accounts {
		accounts[i] = check.Account{
			Name: a.Name, AppID: a.AppID, Token: tokenOrigin(a.Token), Caller: built.accounts[a.AppID].weixin,
			RequestsPerSecond: cfg.Weixin.RequestsPerSecond,
		}
		if a.Callback != nil {
			accounts[i].Probe = func(ctx context.Context) (probe.Result, error) { return prober.Probe(ctx, a.Name, 2*probe.Longest) }
		}
	}
	return accounts, nil
}

// WeixinAccounts returns new clients of all accounts, by the accounts' names.
func WeixinAccounts(cfg *config.Config, now func() time.Time, shared SharedTokens) (map[string]*weixin.Account, error) {
	made := newClients(now, shared)
	built, err := made.build(cfg)
	if err != nil {
		return nil, err
	}
	accounts := make(map[string]*weixin.Account, len(cfg.Accounts))
	for _, a := range cfg.Accounts {
		accounts[a.Name] = built.accounts[a.AppID].weixin
	}
	return accounts, nil
}

// userAgent names the exporter and its version to the servers that it calls.
func userAgent() string { return Program + "/" + cmp.Or(version.Version, "unknown") }
