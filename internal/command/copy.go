package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
)

// CopyOptions are the options of the command store copy.
type CopyOptions struct {
	ConfigFile string
	// From and To say where the stores are, in the form of config.StoreAt; "" is the store of the configuration.
	From, To string
	// WhileRunning allows a copy of a store that an exporter uses.
	WhileRunning bool
}

// Flags declares the flags of the command store copy.
func (o *CopyOptions) Flags(clause *kingpin.CmdClause) {
	clause.Flag("from", "Store to copy: a file of SQLite, the URL of a PostgreSQL database, or @FILE with the URL in a file; the default is that of the configuration.").
		PlaceHolder("STORE").StringVar(&o.From)
	clause.Flag("to", "New store, in the same form.").PlaceHolder("STORE").StringVar(&o.To)
	clause.Flag("while-running", "Copy although an exporter uses the store; what it stores afterwards is missing.").BoolVar(&o.WhileRunning)
}

// stores returns the two stores. The configuration is read if one of them is not given.
func (o *CopyOptions) stores() (config.Store, config.Store, error) {
	var none config.Store
	if o.From == "" && o.To == "" {
		return none, none, fmt.Errorf("--from, --to: %w: at least one of the two is needed; the other one is the store of %s", exporter.ErrUsage, o.ConfigFile)
	}
	given := func(flag, place string) (config.Store, error) {
		if place == "" {
			cfg, err := config.Load(o.ConfigFile)
			if err != nil {
				return none, config.Abridged(err)
			}
			if cfg.Store.InMemory() {
				return none, i18n.Errorf("copy.no_store", o.ConfigFile)
			}
			return cfg.Store, nil
		}
		s, err := config.StoreAt(place)
		if err != nil {
			return none, fmt.Errorf("--%s: %w: %w", flag, exporter.ErrUsage, err)
		}
		return s, nil
	}
	from, err := given("from", o.From)
	if err != nil {
		return none, none, err
	}
	to, err := given("to", o.To)
	if err == nil && from.Same(to) {
		err = fmt.Errorf("--to: %w: %s is the store that would be copied; name another one", exporter.ErrUsage, to.Place())
	}
	return from, to, err
}

// Copy copies everything of a store that matters into a new one, completely or not at all, compares the two, and
// reports it on standard output.
func Copy(ctx context.Context, env Env, o CopyOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // closing the terminal must not leave a part
	defer stop()
	from, to, err := o.stores()
	if err != nil {
		return err
	}
	user, err := engine.User(ctx, from)
	switch {
	case err != nil && ctx.Err() == nil:
		return i18n.Errorf("copy.failed", from.Place(), to.Place(), err)
	case user != "" && !o.WhileRunning:
		return i18n.Errorf("copy.used", from.Place(), user)
	}
	began := env.Now()
	report, err := copyStore(ctx, env, from, to)
	switch {
	case errors.Is(err, context.Canceled): // in all other cases something else failed before
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text("copy.stopped", exporter.Program, to.Place()))
		return nil
	case err != nil:
		return i18n.Errorf("copy.failed", from.Place(), to.Place(), err)
	}
	took := max(env.Now().Sub(began), time.Millisecond)
	_, err = fmt.Fprintf(env.Stdout, "%s\n", env.Texts.Text("copy.done", to.Place(), from.Place(), report.Accounts, report.Days, report.Hours,
		env.Texts.Bytes(report.Bytes), roughly(took), env.Texts.Bytes(int64(float64(report.Bytes)/took.Seconds()))))
	note := func(key string, arguments ...any) {
		fmt.Fprintf(env.Stderr, "%s\n", env.Texts.Text(key, append([]any{exporter.Program}, arguments...)...))
	}
	if user != "" || changedSince(context.WithoutCancel(ctx), from, report.Head) {
		note("copy.behind", from.Place(), to.Place())
	}
	if report.RefreshTokens > 0 {
		note("copy.tokens", from.Place(), report.RefreshTokens)
	}
	return err
}

// changedSince reports whether a store is used or was changed after a copy of it began.
func changedSince(ctx context.Context, from config.Store, copied store.ImageHead) bool {
	if user, err := engine.User(ctx, from); err != nil || user != "" {
		return true
	}
	db, err := engine.OpenReadOnly(ctx, from)
	if err != nil {
		return true
	}
	defer func() { _ = db.Close() }() // it only read
	var head store.ImageHead
	err = db.ReadImage(ctx, func(image store.Image) error {
		head, err = image.Head(ctx)
		return err
	})
	return err != nil || head != copied
}

func copyStore(ctx context.Context, env Env, from, to config.Store) (store.CopyReport, error) {
	var report store.CopyReport
	db, err := engine.OpenReadOnly(ctx, from)
	if err != nil {
		return report, err
	}
	shown := newBars(env)
	env.Stderr = shown // lines of the log above the bars
	logger, _ := env.loggers()
	progress := copyProgress{pace: pace{now: env.Now}, texts: env.Texts, bars: shown, logger: logger}
	progress.begin()
	err = db.ReadImage(ctx, func(image store.Image) error {
		return engine.Restore(ctx, to, env.Now, func(r store.Restorer) error {
			var err error
			report, err = store.Copy(ctx, image, r, progress.show)
			return err
		})
	})
	progress.end()
	if closed := db.Close(); closed != nil && err == nil {
		err = fmt.Errorf("closing the store: %w", closed)
	}
	return report, err
}

// copyProgress shows the progress of a copy: with a bar on a terminal, and otherwise in the log.
type copyProgress struct {
	pace

	texts  i18n.Printer
	bars   *bars
	logger log.Logger
	said   time.Time // when the last line was logged
}

func (p *copyProgress) begin() {
	p.pace.begin()
	p.said = p.now()
	p.bars.begin(p.texts.Text("copy.days"))
}

func (p *copyProgress) end() { p.bars.end() }

func (p *copyProgress) show(s store.CopyStatus) {
	p.note(s.Done)
	pace := p.perSecond(s.Done)
	left := timeLeft(pace, s.Left)
	doing, text := "writing", "copy.writing"
	if s.Comparing {
		doing, text = "comparing", "copy.comparing"
	}
	if p.bars.shown() {
		p.bars.total.set(int(s.Done), int(s.Left), p.texts.Text(text, left))
		return
	}
	if now := p.now(); now.Sub(p.said) >= linesEvery {
		p.said = now
		level.Info(p.logger).Log("msg", "copy in progress", "doing", doing, "days", s.Done, "days_left", s.Left,
			"days_per_second", math.Round(pace), "time_left", left)
	}
}
