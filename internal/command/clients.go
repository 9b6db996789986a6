package command

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// clients makes the Weixin clients that a configuration asks for and remembers them, so
// that the next configuration can take over their tokens.
type clients struct {
	now     func() time.Time
	observe func(weixin.Request)
	kept    generation
}

// generation is what one configuration leads to.
type generation struct {
	refresh  refresh.Config
	baseURL  string
	accounts map[string]client // by app id
	// idle closes connections that nobody needs once the next generation is in force.
	idle []func()
}

type client struct {
	config config.Account
	weixin *weixin.Account
}

// build makes the clients of a configuration, for ApplyConfig, and changes nothing in force.
// An account whose credentials and host did not change keeps its token.
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
	// It keeps up to 1000 idle connections to a host, the highest concurrency that a
	// configuration may ask for, so that each worker has its own.
	httpClient, err := httpclient.New(cfg.Weixin.HTTPClient, program)
	if err != nil {
		return generation{}, fmt.Errorf("weixin.http_config: %w", err)
	}
	perSecond := cfg.Weixin.RequestsPerSecond
	api := weixin.NewClient(weixin.Options{
		BaseURL:    cfg.Weixin.BaseURL,
		HTTPClient: httpClient,
		Timeout:    time.Duration(cfg.Weixin.Timeout),
		// A tenth of a second's requests may come at once, so that high rates are reached
		// although timers are coarse.
		Limiter:   rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10))),
		Now:       c.now,
		Observe:   c.observe,
		UserAgent: userAgent(),
	})
	next := generation{baseURL: cfg.Weixin.BaseURL, accounts: make(map[string]client, len(cfg.Accounts))}
	sources := sources{api: api}
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

// ApplyConfig puts what build returned in force.
func (c *clients) ApplyConfig(next generation) {
	for _, closeIdle := range c.kept.idle {
		closeIdle()
	}
	c.kept = next
}

// credentialsOf returns all of the configuration that decides whether Weixin accepts the calls of
// an account: what they are made with, and by which way.
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
