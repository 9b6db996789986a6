package command

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// demoSeed makes the figures of a day the same in every demonstration.
const demoSeed = 20141201

// demoAccounts returns the accounts of the demonstration. One of them has an incident on each day from
// incident on.
func demoAccounts(incident datacube.Date) (names []string, accounts []weixintest.Account) { //nolint:nonamedreturns // two lists that need names
	var incidents []datacube.Date
	for date := incident; date < incident+30; date++ { // longer than a demonstration runs
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
		{"festival", weixintest.Account{}}, // without traffic, out of its season
	} {
		a.account.AppID = fmt.Sprintf("wxdemo%012d", i+1)
		a.account.AppSecret = fmt.Sprintf("sim-secret-%021d", i+1)
		names = append(names, a.name)
		accounts = append(accounts, a.account)
	}
	return names, accounts
}

// DemoOptions are the options of the demo command.
type DemoOptions struct {
	Web exporter.Web
	// Receivers are URLs of remote write to which the history is sent.
	Receivers []string
}

// Flags declares the flags of the demo command.
func (o *DemoOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("remote-write.url", "Send the history to a receiver of remote write, too. Repeatable.").PlaceHolder("URL").StringsVar(&o.Receivers)
}

// Demo serves a simulated Weixin on a loopback port and an exporter that uses it until the context ends. It
// writes no file.
func Demo(ctx context.Context, env Env, o DemoOptions) error {
	web := o.Web
	endpoints, err := config.NewRemoteWrite(o.Receivers...)
	if err != nil {
		return fmt.Errorf("--remote-write.url: %w: %w", exporter.ErrUsage, err)
	}
	// A demonstration is not reloaded: closing the terminal ends it.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	names, accounts := demoAccounts(datacube.DateOf(env.Now()) - 1)
	simulated := weixintest.New(weixintest.Options{
		Seed:     demoSeed,
		Now:      env.Now,
		Accounts: accounts,
		// So that yesterday has figures at any time of the day.
		Ready: func(_ string, date datacube.Date) time.Time { return date.End() },
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting the simulated Weixin: %w", err)
	}
	server := &http.Server{Handler: demoCallbacks(names, simulated), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends when the server is closed
	}()
	defer func() {
		_ = server.Close() // it has no other client
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
		cfg.Accounts = append(cfg.Accounts, config.Account{
			Name: names[i], AppID: a.AppID, AppSecret: secret.New(a.AppSecret), Token: config.Token{Type: config.StableToken},
			Callback: demoCallback(cfg.Weixin.BaseURL, names[i]),
		})
	}
	logger, slogger := env.loggers()
	shown := banner{env: env, web: web, accounts: len(accounts), endpoints: endpoints, missing: len(*web.Toolkit.WebListenAddresses)}
	if web.Systemd() {
		shown.missing = 1 // at least
	}
	return exporter.Run(ctx, &cfg, exporter.Options{
		Web: web, Logger: logger, Slog: slogger, Now: env.Now, Elapsed: env.Elapsed,
		Load:      func(context.Context) (*config.Config, error) { return &cfg, nil },
		Listening: shown.listening, Published: shown.published, ProbeInterval: demoProbes,
	})
}
