package command

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/remotewrite"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/weixin/datacube"
)

// ResendOptions are the options of the command remote-write resend.
type ResendOptions struct {
	ConfigFile string
	// Since and Until are the first and the last day; a zero Until is today.
	Since, Until datacube.Date
	// Endpoints are names or URLs of endpoints; none means all.
	Endpoints []string
	// Accounts are the names of accounts; none means all.
	Accounts []string
}

// Flags declares the flags of the command remote-write resend.
func (r *ResendOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("since", "First day to send again, YYYY-MM-DD in China.").Required().SetText(&r.Since)
	clause.Flag("until", "Last day to send again, YYYY-MM-DD in China; the default is the latest.").SetText(&r.Until)
	clause.Flag("endpoint", "Send again to the endpoint of this name or URL only; repeatable.").StringsVar(&r.Endpoints)
	clause.Flag("account", "Send again only the account of this name; repeatable.").StringsVar(&r.Accounts)
}

// Resend marks days in the store to be sent again to endpoints of remote write, whether they were accepted or
// refused. The samples are sent by the exporter that serves from the store or, if none is running, by the
// next one that starts.
func Resend(ctx context.Context, env Env, r ResendOptions) error {
	cfg, err := config.Load(r.ConfigFile)
	if err != nil {
		return config.Abridged(err)
	}
	if r.Until == 0 {
		r.Until = datacube.DateOf(env.Now())
	}
	if r.Since > r.Until {
		return fmt.Errorf("--since=%v: %w: it is after the last day, %v", r.Since, exporter.ErrUsage, r.Until)
	}
	if cfg.Store.InMemory() {
		return i18n.Errorf("resend.no_store", r.ConfigFile)
	}
	endpoints, err := r.endpoints(cfg)
	if err != nil {
		return err
	}
	appIDs, err := r.appIDs(cfg)
	if err != nil {
		return err
	}
	if parts := engine.Files(cfg.Store); len(parts) > 0 {
		if _, err := os.Stat(parts[0]); err != nil {
			return i18n.Errorf("resend.no_file", parts[0], files.Cause(err))
		}
	}
	known, err := engine.Open(ctx, cfg.Store, engine.Options{})
	if err != nil {
		return err
	}
	err = r.note(ctx, env, known, endpoints, appIDs)
	if closed := known.Close(); closed != nil && err == nil {
		err = fmt.Errorf("closing the store: %w", closed)
	}
	return err
}

func (r *ResendOptions) note(ctx context.Context, env Env, known store.Store, endpoints []config.RemoteWrite, appIDs []string) error {
	for _, e := range endpoints {
		since := r.Since
		if first := remotewrite.FirstDay(env.Now(), time.Duration(e.MaxAge)); since < first {
			since = first
			fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("resend.too_old", exporter.Program, e.Key(), first, e.MaxAge.String()))
		}
		days, err := known.Resend(ctx, e.Key(), since, r.Until, appIDs...)
		if err != nil {
			return err
		}
		if days == 0 {
			_, err = fmt.Fprintf(env.Stdout, "%s\n", env.Texts.Text("resend.nothing", e.Key()))
		} else {
			_, err = fmt.Fprintf(env.Stdout, "%s\n", env.Texts.Text("resend.days", e.Key(), days))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endpoints returns the chosen endpoints of the configuration.
func (r *ResendOptions) endpoints(cfg *config.Config) ([]config.RemoteWrite, error) {
	if len(cfg.RemoteWrite) == 0 {
		return nil, i18n.Errorf("resend.no_endpoint", r.ConfigFile)
	}
	if len(r.Endpoints) == 0 {
		return cfg.RemoteWrite, nil
	}
	var keys []string
	for _, e := range cfg.RemoteWrite {
		keys = append(keys, e.Key())
	}
	var chosen []config.RemoteWrite
	for _, name := range r.Endpoints {
		i := slices.IndexFunc(cfg.RemoteWrite, func(e config.RemoteWrite) bool { return e.Key() == name || e.Label() == name })
		if i < 0 {
			return nil, fmt.Errorf("--endpoint=%s: %w: the endpoints of %s are %s", name, exporter.ErrUsage, r.ConfigFile, strings.Join(keys, ", "))
		}
		if !slices.ContainsFunc(chosen, func(e config.RemoteWrite) bool { return e.Key() == cfg.RemoteWrite[i].Key() }) {
			chosen = append(chosen, cfg.RemoteWrite[i])
		}
	}
	return chosen, nil
}

// appIDs returns the app ids of the chosen accounts.
func (r *ResendOptions) appIDs(cfg *config.Config) ([]string, error) {
	var appIDs []string
	for _, name := range r.Accounts {
		if !slices.ContainsFunc(cfg.Accounts, func(a config.Account) bool { return a.Name == name }) {
			return nil, fmt.Errorf("--account=%s: %w: no account of %s has that name", name, exporter.ErrUsage, r.ConfigFile)
		}
	}
	for _, a := range cfg.Accounts {
		if len(r.Accounts) == 0 || slices.Contains(r.Accounts, a.Name) {
			appIDs = append(appIDs, a.AppID)
		}
	}
	return appIDs, nil
}
