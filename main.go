// Weixin_exporter is a Prometheus exporter for the interface statistics of Weixin Official
// Accounts: how often Weixin called an account's server, how often that failed, and how
// long it took.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"weixin_exporter/command"
)

// Exit codes.
const (
	done  = 0 // or stopped by a signal
	fault = 1 // named on stderr in one line
	usage = 2
	quota = 3 // a backfill goes on when the day's quota is there again
)

const name = "weixin_exporter"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now))
}

// run is the program with its surroundings handed in; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, now func() time.Time) int {
	app := kingpin.New(name, "Prometheus exporter for the interface statistics of Weixin Official Accounts.").
		DefaultEnvars().UsageWriter(stdout).ErrorWriter(stderr)
	app.HelpFlag.Short('h').NoEnvar()
	app.Version(version.Print(name)).VersionFlag.NoEnvar()
	answered := false // by --help or --version
	app.Terminate(func(int) { answered = true })

	env := command.Env{Stdout: stdout, Stderr: stderr, Now: now}
	app.Flag("log.level", "Only log messages of this severity or above: debug, info, warn or error.").
		Default("info").EnumVar(&env.LogLevel, "debug", "info", "warn", "error")
	app.Flag("log.format", "Form of the log: logfmt or json.").
		Default("logfmt").EnumVar(&env.LogFormat, "logfmt", "json")

	var configFile string
	app.Flag("config.file", "Configuration file.").Default("config.yml").StringVar(&configFile)

	web := command.Web{Toolkit: kingpinflag.AddFlags(app, ":9988")}
	app.Flag("web.telemetry-path", "Path under which the metrics are served.").
		Default("/metrics").StringVar(&web.TelemetryPath)
	app.Flag("web.enable-lifecycle", "Allow to reload the configuration with POST /-/reload.").
		BoolVar(&web.EnableLifecycle)

	serve := app.Command("serve", "Refresh on a timer and serve the metrics.").Default().FullCommand()
	var checkup command.Checkup
	checking := app.Command("check", "Read the configuration and say what is wrong with it.")
	checking.Flag("online", "Examine the accounts against Weixin, too, with a few calls for each.").BoolVar(&checkup.Online)
	checking.Flag("account", "Examine only the account of this name.").StringVar(&checkup.Account)
	checking.Flag("output", "What --online writes: text or json.").Default("text").EnumVar(&checkup.Output, "text", "json")
	check := checking.FullCommand()
	var filling command.Filling
	backfill := backfillCommand(app, &filling)
	var extract command.Extract
	export := exportCommand(app, &extract)
	demonstrating := app.Command("demo", "Serve a simulated Weixin with several accounts: needs no account, no network and no other server.")
	receivers := demonstrating.Flag("remote-write.url", "Send the history to a receiver of remote write, too. Repeatable.").PlaceHolder("URL").Strings()
	demo := demonstrating.FullCommand()
	health := app.Command("healthcheck", "Ask a running exporter on this host whether it is healthy; for containers.").FullCommand()

	chosen, err := app.Parse(args)
	switch {
	case answered:
		return done
	case err != nil:
		fmt.Fprintf(stderr, "%s: error: %v; see --help\n", name, err)
		return usage
	}
	switch chosen {
	case serve:
		err = command.Serve(ctx, env, web, configFile)
	case check:
		checkup.ConfigFile = configFile
		err = command.Check(ctx, env, checkup)
	case backfill:
		filling.ConfigFile = configFile
		err = command.Backfill(ctx, env, filling)
	case export:
		extract.ConfigFile = configFile
		err = command.Export(ctx, env, extract)
	case demo:
		err = command.Demo(ctx, env, web, *receivers)
	case health:
		err = command.Healthcheck(ctx, web)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: error: %v\n", name, err)
	}
	return codeOf(err)
}

// backfillCommand adds the command and returns its name.
func backfillCommand(app *kingpin.Application, f *command.Filling) string {
	c := app.Command("backfill", "Fill the store with days from Weixin; goes on where it was stopped.")
	c.Flag("since", "First day to fill, YYYY-MM-DD, from 2014-12-01 on.").Required().SetText(&f.Since)
	c.Flag("until", "Last day to fill, YYYY-MM-DD; the default is the latest that Weixin has.").SetText(&f.Until)
	c.Flag("account", "Fill only the account of this name; repeatable.").StringsVar(&f.Accounts)
	c.Flag("force", "Ask for known days, too.").BoolVar(&f.Force)
	c.Flag("wait", "Where a day's quota is used up, wait for the next one and go on.").BoolVar(&f.Wait)
	c.Flag("dry-run", "Say how many calls it would take, and make none.").BoolVar(&f.DryRun)
	return c.FullCommand()
}

// codeOf returns the exit code of a command that ended with the error.
func codeOf(err error) int {
	switch {
	case err == nil:
		return done
	case errors.Is(err, command.ErrUsage):
		return usage
	case errors.Is(err, command.ErrQuota):
		return quota
	default:
		return fault
	}
}

// exportCommand declares the export command and returns its name.
func exportCommand(app *kingpin.Application, e *command.Extract) string {
	c := app.Command("export", "Write what is stored, each hour and day with its own time.")
	c.Flag("format", "What to write: openmetrics, csv or ndjson.").Required().EnumVar(&e.Format, "openmetrics", "csv", "ndjson")
	c.Flag("since", "First day to export, YYYY-MM-DD in China.").SetText(&e.Since)
	c.Flag("until", "Last day to export, YYYY-MM-DD in China.").SetText(&e.Until)
	c.Flag("account", "Export only the account of this name; repeatable.").StringsVar(&e.Accounts)
	c.Flag("output", "File to write or replace; - is standard output.").Default("-").StringVar(&e.Output)
	return c.FullCommand()
}
