package command

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/clock"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// ErrQuota is returned by a backfill that was incomplete only because the quota of the day was used up.
var ErrQuota = errors.New("the day's quota is used up")

// backfillBusy is how long a backfill waits for another process that locks the store. Waiting is better than
// losing a response, which would have to be requested again.
const backfillBusy = time.Minute

// BackfillOptions are the options of the backfill command.
type BackfillOptions struct {
	ConfigFile string
	// Since and Until are the first and the last day; Until 0 is the latest available day.
	Since, Until datacube.Date
	// Accounts are the names of the accounts to fill; none means all.
	Accounts []string
	// Force requests known days, too; Wait waits if a quota is used up; DryRun makes no call.
	Force, Wait, DryRun bool
}

// Flags declares the flags of the backfill command.
func (c *BackfillOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("since", "First day to fill, YYYY-MM-DD, from 2014-12-01 on.").Required().SetText(&c.Since)
	clause.Flag("until", "Last day to fill, YYYY-MM-DD; the default is the latest that Weixin has.").SetText(&c.Until)
	clause.Flag("account", "Fill only the account of this name; repeatable.").StringsVar(&c.Accounts)
	clause.Flag("force", "Ask for known days, too.").BoolVar(&c.Force)
	clause.Flag("wait", "If the quota of a day is used up, wait for the next one and continue.").BoolVar(&c.Wait)
	clause.Flag("dry-run", "Print how many calls it would take, and make none.").BoolVar(&c.DryRun)
}

// Backfill fills the store from Weixin and prints a summary on standard output. If the context ends, it stops
// cleanly and returns nil.
func Backfill(ctx context.Context, env Env, c BackfillOptions) error {
	// Closing the terminal stops a backfill, too.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	cfg, err := exporter.LoadConfig(ctx, c.ConfigFile)
	if ctx.Err() != nil && err != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return config.Abridged(err)
	}
	if cfg.Store.InMemory() {
		return i18n.Errorf("backfill.no_store", c.ConfigFile)
	}
	var logger log.Logger // set once the bars are there, before a token is needed
	shared, closeTokens := exporter.ShareTokens(cfg, func(err error) { exporter.LogTokens(logger)(err) })
	defer func() { _ = closeTokens() }() // what was stored is stored
	var checked *clock.Clock             // set before the first request
	observe := func(r weixin.Request) { checked.ObserveDate(r.Date) }
	refreshConfig, err := exporter.RefreshConfig(cfg, env.Now, observe, shared)
	if err != nil {
		return err
	}
	fill, notes, err := c.fill(env.Now(), refreshConfig)
	if err != nil {
		return err
	}
	shown := newBars(env)
	env.Stderr = shown
	logger, _ = env.loggers()
	for _, warning := range cfg.Warnings() {
		level.Warn(logger).Log("msg", "configuration", "warning", warning)
	}
	if c.rotates(cfg) && !c.DryRun && cfg.Store.Sealing() == nil {
		notes = append(notes, "accounts whose token type is authorizer are among them: do not run another exporter with the same refresh_token_file meanwhile")
	}
	for _, note := range notes {
		level.Warn(logger).Log("msg", note)
	}
	db, err := engine.Open(ctx, cfg.Store, engine.Options{Busy: backfillBusy, Duty: store.Backfilling, Now: env.Now})
	if ctx.Err() != nil && err != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return err
	}
	progress := &fillProgress{tally: tally{pace: pace{now: env.Now}, texts: env.Texts}, bars: shown, logger: logger}
	if checked, err = exporter.NewClock(ctx, db, logger, env.Now, env.Elapsed); err == nil {
		b := refresh.NewBackfill(refresh.BackfillOptions{
			Store: db, Changes: db, Logger: logger, Now: env.Now, TrustedNow: checked.TrustedNow, Progress: progress, Sharing: db,
			SetShare: refreshConfig.SetShare,
		})
		err = c.carryOut(ctx, env, b, fill, progress, cfg.Weixin.RequestsPerSecond)
	} else if ctx.Err() != nil {
		err = nil // stopped before it began
	}
	if closed := db.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("closing the store: %w", closed))
	}
	return err
}

// rotates reports whether the backfill may replace the refresh token of an account.
func (c *BackfillOptions) rotates(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Accounts, func(a config.Account) bool {
		return a.Token.Type == config.AuthorizerToken && (len(c.Accounts) == 0 || slices.Contains(c.Accounts, a.Name))
	})
}

// fill returns the request, and notes for the operator.
func (c *BackfillOptions) fill(now time.Time, cfg refresh.Config) (refresh.BackfillRequest, []string, error) {
	f := refresh.BackfillRequest{Since: c.Since, Until: c.Until, Force: c.Force, Wait: c.Wait, Concurrency: cfg.Concurrency}
	var notes []string
	yesterday := datacube.DateOf(now) - 1
	latest := yesterday
	if now.Before(yesterday.End().Add(cfg.ReadyAt)) {
		latest-- // its figures are not requested yet
	}
	if f.Until == 0 {
		f.Until = latest
	}
	first := yesterday + 1 - datacube.Date(cfg.RetentionDays)
	switch {
	case f.Since < datacube.FirstDate:
		return f, nil, fmt.Errorf("--since=%v: %w: Weixin's statistics begin at %v; ask for that day or a later one",
			f.Since, exporter.ErrUsage, datacube.FirstDate)
	case f.Until > yesterday:
		return f, nil, fmt.Errorf("--until=%v: %w: the latest day that Weixin has figures of is yesterday, %v",
			f.Until, exporter.ErrUsage, yesterday)
	case f.Since > f.Until:
		return f, nil, fmt.Errorf("--since=%v: %w: there is no day up to %v", f.Since, exporter.ErrUsage, f.Until)
	case cfg.RetentionDays > 0 && f.Since < first:
		return f, nil, fmt.Errorf("--since=%v: %w: store.retention keeps %d days, so the days before %v would be removed at once;"+
			" ask for %v or later, or set store.retention to 0", f.Since, exporter.ErrUsage, cfg.RetentionDays, first, first)
	case f.Until > latest:
		notes = append(notes, fmt.Sprintf("yesterday, %v, is left out: it is not requested before refresh.ready_at", f.Until))
		f.Until = latest
	}
	for _, name := range c.Accounts {
		if !slices.ContainsFunc(cfg.Accounts, func(a refresh.Account) bool { return a.Name == name }) {
			return f, nil, fmt.Errorf("--account=%s: %w: no account of %s has that name", name, exporter.ErrUsage, c.ConfigFile)
		}
	}
	for _, a := range cfg.Accounts {
		if len(c.Accounts) == 0 || slices.Contains(c.Accounts, a.Name) {
			f.Accounts = append(f.Accounts, a)
		}
	}
	return f, notes, nil
}

// carryOut plans, and then makes the calls or prints their number.
func (c *BackfillOptions) carryOut(
	ctx context.Context, env Env, b *refresh.Backfill, f refresh.BackfillRequest, progress *fillProgress, perSecond float64,
) error {
	plan, err := b.Plan(ctx, f)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped before it began
	}
	if err != nil {
		return err
	}
	if c.DryRun {
		return writePlan(env, plan, perSecond)
	}
	progress.begin(plan)
	filled, err := b.Run(ctx, plan)
	progress.end()
	stopped := ctx.Err() != nil
	if written := writeFilled(env, plan, filled, stopped || err != nil); written != nil {
		err = errors.Join(err, fmt.Errorf("writing the summary: %w", written))
	}
	if err != nil || stopped {
		return err
	}
	return verdict(filled)
}

// verdict returns nil if all days were requested.
func verdict(filled []refresh.BackfillResult) error {
	var failed, waiting []string
	for i := range filled {
		a := &filled[i]
		reasons := map[bool]bool{}
		for _, end := range a.GivenUp {
			if end != nil {
				reasons[end.Reason == weixin.Quota] = true
			}
		}
		switch {
		case reasons[false] || a.Damaged != [datacube.APIs]int{}:
			failed = append(failed, a.Name)
		case reasons[true]:
			waiting = append(waiting, a.Name)
		}
	}
	switch {
	case len(failed) > 0:
		return i18n.Errorf("backfill.failed", len(failed), len(filled), i18n.Names(failed))
	case len(waiting) > 0:
		return &i18n.Error{Message: i18n.M("backfill.quota", len(waiting), len(filled), i18n.Names(waiting)), Err: ErrQuota}
	default:
		return nil
	}
}
