package cli

import (
	"context"

	"weixin_exporter/internal/command"
)

// declare adds the commands and the flags that they share. It returns what each command does,
// by its name; env and what the flags set are read only then.
func (c *CLI) declare(env *command.Env) map[string]func(context.Context) error {
	app := c.app
	var configFile string
	app.Flag("config.file", "Configuration file.").Default("config.yml").StringVar(&configFile)
	var web command.Web
	web.Flags(app)

	serve := app.Command("serve", "Refresh on a timer and serve the metrics.").Default()
	var checkOptions command.CheckOptions
	check := app.Command("check", "Read the configuration and say what is wrong with it.")
	checkOptions.Flags(check)
	var backfillOptions command.BackfillOptions
	backfill := app.Command("backfill", "Fill the store with days from Weixin; goes on where it was stopped.")
	backfillOptions.Flags(backfill)
	var exportOptions command.ExportOptions
	export := app.Command("export", "Write what is stored, each hour and day with its own time.")
	exportOptions.Flags(export)
	stored := app.Command("store", "What can be done with the store.")
	backup := stored.Command("backup", "Write a copy of the store into a file; works beside a running exporter.")
	copyFile := backup.Arg("file", "File to write or replace.").Required().String()
	writing := app.Command("remote-write", "What can be done about remote write.")
	var resendOptions command.ResendOptions
	resend := writing.Command("resend", "Have days sent again that were sent or given up; works beside a running exporter, which follows within seconds.")
	resendOptions.Flags(resend)
	demo := app.Command("demo", "Serve a simulated Weixin with several accounts: needs no account, no network and no other server.")
	receivers := demo.Flag("remote-write.url", "Send the history to a receiver of remote write, too. Repeatable.").PlaceHolder("URL").Strings()
	health := app.Command("healthcheck", "Ask a running exporter on this host whether it is healthy; for containers.")

	return map[string]func(context.Context) error{
		serve.FullCommand(): func(ctx context.Context) error { return command.Serve(ctx, *env, web, configFile) },
		check.FullCommand(): func(ctx context.Context) error {
			checkOptions.ConfigFile, checkOptions.Web = configFile, web
			return command.Check(ctx, *env, checkOptions)
		},
		backfill.FullCommand(): func(ctx context.Context) error {
			backfillOptions.ConfigFile = configFile
			return command.Backfill(ctx, *env, backfillOptions)
		},
		export.FullCommand(): func(ctx context.Context) error {
			exportOptions.ConfigFile = configFile
			return command.Export(ctx, *env, exportOptions)
		},
		backup.FullCommand(): func(ctx context.Context) error { return command.Backup(ctx, *env, configFile, *copyFile) },
		resend.FullCommand(): func(ctx context.Context) error {
			resendOptions.ConfigFile = configFile
			return command.Resend(ctx, *env, resendOptions)
		},
		demo.FullCommand(): func(ctx context.Context) error { return command.Demo(ctx, *env, web, *receivers) },
		health.FullCommand(): func(ctx context.Context) error {
			web.AddressGiven = c.isSet("web.listen-address")
			return command.Healthcheck(ctx, web)
		},
	}
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
