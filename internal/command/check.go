package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"weixin_exporter/internal/check"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store/engine"
)

// CheckOptions are the options of the check command.
type CheckOptions struct {
	ConfigFile string
	// Web is how the exporter would serve.
	Web exporter.Web
	// Online examines the accounts against Weixin, too.
	Online bool
	// Account is the name of the only account to examine; "" examines all. Output is "text", which is also
	// what "" means, or "json". Both concern Online alone.
	Account, Output string
	// RID is the rid of a request to look up in Weixin's log, instead of examining the accounts; "" looks nothing up.
	RID string
}

// Flags declares the flags of the check command.
func (c *CheckOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("online", "Examine the accounts against Weixin, too, with a few calls for each.").BoolVar(&c.Online)
	clause.Flag("account", "Examine only the account of this name.").StringVar(&c.Account)
	clause.Flag("rid", "Show the request of an account that Weixin answered with this rid; Weixin keeps it for 7 days.").StringVar(&c.RID)
	clause.Flag("output", "What --online writes: text, which is the default, or json.").SetValue(oneOf(&c.Output, "text", "json"))
}

// Check reads the configuration and prints its faults, and those of what else the exporter needs to start, on
// stderr, one line each. Online it also examines the accounts. It changes nothing. The returned error has the
// number of faults or of accounts with faults.
func Check(ctx context.Context, env Env, c CheckOptions) error {
	if _, err := c.Web.Location(); err != nil {
		return err
	}
	switch {
	case c.RID != "" && c.Online:
		return fmt.Errorf("--rid: %w: give either --rid or --online", exporter.ErrUsage)
	case c.Account != "" && !c.Online && c.RID == "":
		return fmt.Errorf("--account: %w: it needs --online or --rid", exporter.ErrUsage)
	case c.Output != "" && !c.Online && c.RID == "":
		return fmt.Errorf("--output: %w: it needs --online or --rid", exporter.ErrUsage)
	}
	cfg, err := exporter.LoadConfig(ctx, c.ConfigFile)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			fmt.Fprintf(env.Stderr, "%s\n", f.In(env.Texts))
		}
		n := len(faults) + say(env, c.surroundings(ctx, nil))
		return i18n.Errorf("check.faults", c.ConfigFile, n)
	}
	switch {
	case ctx.Err() != nil:
		return i18n.Errorf("check.stopped")
	case err != nil:
		return err
	case c.Account != "" && !slices.ContainsFunc(cfg.Accounts, func(a config.Account) bool { return a.Name == c.Account }):
		return fmt.Errorf("--account=%s: %w: no account of %s has that name", c.Account, exporter.ErrUsage, c.ConfigFile)
	}
	if c.RID != "" {
		return lookUp(ctx, env, c, cfg)
	}
	notes := env.Stdout
	if c.Output == "json" {
		notes = env.Stderr // standard output is for machines
	}
	for _, warning := range cfg.Warnings() {
		fmt.Fprintf(notes, "%s\n", env.Texts.Text("check.warning", warning))
	}
	found := c.surroundings(ctx, cfg)
	if ctx.Err() != nil {
		return i18n.Errorf("check.stopped")
	}
	for _, warning := range found.warnings {
		fmt.Fprintf(notes, "%s\n", env.Texts.Text("check.warning", warning))
	}
	faults := say(env, found)
	for _, f := range cfg.AccountFaults() {
		fmt.Fprintf(env.Stderr, "%s\n", f.In(env.Texts))
		faults++
	}
	if faults == 0 {
		fmt.Fprintf(notes, "%s\n", env.Texts.Text("check.no_fault", c.ConfigFile, len(cfg.Accounts)))
	}
	if c.Online {
		err = examine(ctx, env, c, cfg)
		if c.Account == "" && ctx.Err() == nil {
			err = oneFault(err, checkEndpoints(ctx, env, notes, cfg))
		}
	}
	if faults > 0 {
		err = oneFault(i18n.Errorf("check.faults", c.ConfigFile, faults), err)
	}
	return err
}

// findings are the faults and warnings of what the exporter needs apart from the configuration.
type findings struct{ faults, warnings []error }

// say prints the faults and returns their number.
func say(env Env, found findings) int {
	for _, fault := range found.faults {
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Error(fault))
	}
	return len(found.faults)
}

// surroundings examines what the exporter needs to start apart from its configuration, which may be nil.
func (c *CheckOptions) surroundings(ctx context.Context, cfg *config.Config) findings {
	var found findings
	if err := c.Web.CheckConfigFile(ctx); err != nil {
		found.faults = append(found.faults, err)
	}
	if !c.Web.Systemd() {
		for _, address := range *c.Web.Toolkit.WebListenAddresses {
			if strings.HasPrefix(address, exporter.VsockScheme) {
				continue // not every machine has vsock
			}
			found.checkPort(ctx, address)
		}
	}
	if cfg != nil {
		if err := engine.Examine(ctx, cfg.Store); err != nil {
			found.faults = append(found.faults, i18n.Errorf("check.store", c.ConfigFile, cfg.Store.Key(), err))
		}
	}
	return found
}

// checkPort checks whether the exporter can listen on the address. An address in use, perhaps by a running
// exporter, or one that only another user may use is a warning.
func (f *findings) checkPort(ctx context.Context, address string) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		_ = listener.Close() // it has no connections
	case errors.Is(err, syscall.EADDRINUSE):
		f.warnings = append(f.warnings, i18n.Errorf("check.address_taken", address, exporter.Program))
	case errors.Is(err, fs.ErrPermission):
		f.warnings = append(f.warnings, i18n.Errorf("check.address_refused", address, err))
	default:
		f.faults = append(f.faults, fmt.Errorf("--web.listen-address=%s: %w", address, err))
	}
}

// shareTokens returns the tokens that a check shares with exporters, and a function that closes their store. It prints a
// warning if that cannot be used.
func shareTokens(env Env, cfg *config.Config) (exporter.SharedTokens, func()) {
	shared, closeStore := exporter.ShareTokens(cfg, func(err error) {
		if err != nil {
			fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("check.warning", i18n.Errorf("check.tokens", err)))
		}
	})
	return shared, func() { _ = closeStore() } // what was stored is stored
}

// examine examines the accounts online and prints a report.
func examine(ctx context.Context, env Env, c CheckOptions, cfg *config.Config) error {
	shared, closeTokens := shareTokens(env, cfg)
	defer closeTokens()
	accounts, err := exporter.CheckAccounts(cfg, env.Now, shared)
	if err != nil {
		return fmt.Errorf("%s: %w", c.ConfigFile, err)
	}
	if c.Account != "" {
		accounts = slices.DeleteFunc(accounts, func(a check.Account) bool { return a.Name != c.Account })
	}
	reports, err := check.Examine(ctx, accounts, cfg.Weixin.Concurrency, env.Now)
	if err != nil {
		return err
	}
	if err := writeReports(env, reports, c.Output); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	faulty := 0
	for i := range reports {
		if !reports[i].Healthy() {
			faulty++
		}
	}
	if faulty > 0 {
		return i18n.Errorf("check.accounts", faulty, len(reports))
	}
	return nil
}
