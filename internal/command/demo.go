package command

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// demoSeed makes the figures of every demonstration the same for the same days.
const demoSeed = 20141201

// demoAccounts are the accounts of the demonstration; incident is the first of the days on
// which one of them has an incident.
func demoAccounts(incident datacube.Date) (names []string, accounts []weixintest.Account) { //nolint:nonamedreturns // two lists that need names
	var incidents []datacube.Date
	for date := incident; date < incident+30; date++ { // for as long as somebody lets it run
		incidents = append(incidents, date)
	}
	for i, a := range []struct {
		name    string
		account weixintest.Account
	}{
		{"shop", weixintest.Account{CallbacksPerDay: 1_200_000}},
		{"news", weixintest.Account{CallbacksPerDay: 90_000}},
		{"support-bot", weixintest.Account{CallbacksPerDay: 25_000, Incidents: incidents}},
		{"corner-cafe", weixintest.Account{CallbacksPerDay: 40}},
		{"not-verified", weixintest.Account{CallbacksPerDay: 500, Errcode: 48001}},
	} {
		a.account.AppID = fmt.Sprintf("wxdemo%012d", i+1)
		a.account.AppSecret = fmt.Sprintf("sim-secret-%021d", i+1)
		names = append(names, a.name)
		accounts = append(accounts, a.account)
	}
	return names, accounts
}

// Demo serves a simulated Weixin on a loopback port and the exporter on it until the context
// ends. It writes no file. Its history is sent to the receivers of remote write at the URLs.
func Demo(ctx context.Context, env Env, web Web, receivers []string) error {
	endpoints, err := config.NewRemoteWrite(receivers...)
	if err != nil {
		return fmt.Errorf("--remote-write.url: %w: %w", ErrUsage, err)
	}
	// Nobody reloads a demonstration: a terminal that is closed ends it.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	names, accounts := demoAccounts(datacube.DateOf(env.Now()) - 1)
	simulated := weixintest.New(weixintest.Options{
		Seed:     demoSeed,
		Now:      env.Now,
		Accounts: accounts,
		// So that there is something to see at any time of the day.
		Ready: func(_ string, date datacube.Date) time.Time { return date.End() },
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting the simulated Weixin: %w", err)
	}
	server := &http.Server{Handler: simulated, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends when the server is closed
	}()
	defer func() {
		_ = server.Close() // nobody else uses it
		<-served
	}()

	cfg := config.Default()
	cfg.Weixin.BaseURL = "http://" + listener.Addr().String()
	cfg.Weixin.RequestsPerSecond = 1000
	cfg.Weixin.Concurrency = 8
	cfg.Refresh.ReadyAt = 0
	cfg.Store.Path = ""
	cfg.RemoteWrite = endpoints
	for i, a := range accounts {
		cfg.Accounts = append(cfg.Accounts, config.Account{Name: names[i], AppID: a.AppID, AppSecret: secret.New(a.AppSecret), Token: config.Token{Type: config.StableToken}})
	}
	logger, slogger := env.logger()
	shown := banner{env: env, web: web, accounts: len(accounts), endpoints: endpoints, missing: len(*web.Toolkit.WebListenAddresses)}
	if web.systemd() {
		shown.missing = 1 // at least
	}
	x := exporter{
		web: web, logger: logger, slogger: slogger, now: env.Now, elapsed: env.Elapsed,
		load:      func(context.Context) (*config.Config, error) { return &cfg, nil },
		listening: shown.listening, published: shown.published,
	}
	return x.run(ctx, &cfg)
}
