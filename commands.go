package main

import (
	"context"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"weixin_exporter/internal/command"
)

// declare adds the commands and the flags that they share. It returns what each command does,
// by its name; env and what the flags set are read only then.
func declare(line *cli, env *command.Env) map[string]func(context.Context) error {
	app := line.app
	var configFile string
	app.Flag("config.file", "Configuration file.").Default("config.yml").StringVar(&configFile)

	web := command.Web{Toolkit: kingpinflag.AddFlags(app, ":9988")}
	app.Flag("web.telemetry-path", "Path under which the metrics are served.").
		Default("/metrics").StringVar(&web.TelemetryPath)
	app.Flag("web.external-url", "URL under which the exporter is reached from outside, for links and targets behind a proxy. A path in it is the default of --web.route-prefix.").
		PlaceHolder("URL").StringVar(&web.ExternalURL)
	app.Flag("web.route-prefix", "Prefix of the paths of all pages; by default the path of --web.external-url.").
		PlaceHolder("PATH").StringVar(&web.RoutePrefix)
	app.Flag("web.enable-lifecycle", "Allow to reload the configuration with POST /-/reload.").
		BoolVar(&web.EnableLifecycle)
	app.Flag("web.max-requests", "Maximum number of scrapes that are served at a time; 0 means no limit.").
		Default("40").SetValue((*count)(&web.MaxRequests))
	app.Flag("web.disable-exporter-metrics", "Leave out the metrics of the process itself (go_*, process_*).").
		BoolVar(&web.DisableExporterMetrics)

	serve := app.Command("serve", "Refresh on a timer and serve the metrics.").Default()
	check, checkup := declareCheck(app)
	backfill, filling := declareBackfill(app)
	export, extract := declareExport(app)
	stored := app.Command("store", "What can be done with the store.")
	backup := stored.Command("backup", "Write a copy of the store into a file; works beside a running exporter.")
	copyFile := backup.Arg("file", "File to write or replace.").Required().String()
	demo := app.Command("demo", "Serve a simulated Weixin with several accounts: needs no account, no network and no other server.")
	receivers := demo.Flag("remote-write.url", "Send the history to a receiver of remote write, too. Repeatable.").PlaceHolder("URL").Strings()
	health := app.Command("healthcheck", "Ask a running exporter on this host whether it is healthy; for containers.")

	return map[string]func(context.Context) error{
		serve.FullCommand(): func(ctx context.Context) error { return command.Serve(ctx, *env, web, configFile) },
		check.FullCommand(): func(ctx context.Context) error {
			checkup.ConfigFile, checkup.Web = configFile, web
			return command.Check(ctx, *env, *checkup)
		},
		backfill.FullCommand(): func(ctx context.Context) error {
			filling.ConfigFile = configFile
			return command.Backfill(ctx, *env, *filling)
		},
		export.FullCommand(): func(ctx context.Context) error {
			extract.ConfigFile = configFile
			return command.Export(ctx, *env, *extract)
		},
		backup.FullCommand(): func(ctx context.Context) error { return command.Backup(ctx, *env, configFile, *copyFile) },
		demo.FullCommand():   func(ctx context.Context) error { return command.Demo(ctx, *env, web, *receivers) },
		health.FullCommand(): func(ctx context.Context) error {
			web.AddressGiven = line.isSet("web.listen-address")
			return command.Healthcheck(ctx, web)
		},
	}
}

func declareCheck(app *kingpin.Application) (*kingpin.CmdClause, *command.CheckOptions) {
	c, checkup := app.Command("check", "Read the configuration and say what is wrong with it."), &command.CheckOptions{}
	c.Flag("online", "Examine the accounts against Weixin, too, with a few calls for each.").BoolVar(&checkup.Online)
	c.Flag("account", "Examine only the account of this name.").StringVar(&checkup.Account)
	c.Flag("output", "What --online writes: text, which is the default, or json.").SetValue(oneOf(&checkup.Output, "text", "json"))
	return c, checkup
}

func declareBackfill(app *kingpin.Application) (*kingpin.CmdClause, *command.BackfillOptions) {
	c, filling := app.Command("backfill", "Fill the store with days from Weixin; goes on where it was stopped."), &command.BackfillOptions{}
	c.Flag("since", "First day to fill, YYYY-MM-DD, from 2014-12-01 on.").Required().SetText(&filling.Since)
	c.Flag("until", "Last day to fill, YYYY-MM-DD; the default is the latest that Weixin has.").SetText(&filling.Until)
	c.Flag("account", "Fill only the account of this name; repeatable.").StringsVar(&filling.Accounts)
	c.Flag("force", "Ask for known days, too.").BoolVar(&filling.Force)
	c.Flag("wait", "Where a day's quota is used up, wait for the next one and go on.").BoolVar(&filling.Wait)
	c.Flag("dry-run", "Say how many calls it would take, and make none.").BoolVar(&filling.DryRun)
	return c, filling
}

func declareExport(app *kingpin.Application) (*kingpin.CmdClause, *command.ExportOptions) {
	c, extract := app.Command("export", "Write what is stored, each hour and day with its own time."), &command.ExportOptions{}
	c.Flag("format", "What to write: openmetrics, csv or ndjson.").Required().SetValue(oneOf(&extract.Format, "openmetrics", "csv", "ndjson"))
	c.Flag("since", "First day to export, YYYY-MM-DD in China.").SetText(&extract.Since)
	c.Flag("until", "Last day to export, YYYY-MM-DD in China.").SetText(&extract.Until)
	c.Flag("account", "Export only the account of this name; repeatable.").StringsVar(&extract.Accounts)
	c.Flag("period", "Export only days or only hours: daily or hourly.").SetValue(oneOf(&extract.Period, "daily", "hourly"))
	c.Flag("output", "File to write or replace; - is standard output.").Default("-").StringVar(&extract.Output)
	return c, extract
}

// unusedFlags returns what the shared flags begin with that do not concern a command.
func unusedFlags(command string) []string {
	switch command {
	case "serve":
		return nil
	case "demo":
		return []string{"config.file"}
	case "check":
		return []string{"web.enable-lifecycle", "web.max-requests", "web.disable-exporter-metrics"}
	case "healthcheck":
		return []string{"config.file", "web.enable-lifecycle", "web.telemetry-path", "web.max-requests", "web.disable-exporter-metrics"}
	default:
		return []string{"web."}
	}
}
