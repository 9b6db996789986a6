package cli

import (
	"context"

	"weixin_exporter/internal/command"
	"weixin_exporter/internal/exporter"
)

// declare adds the commands and the flags that they share. It returns the function of each command, by the
// full name of the command; env and the values of the flags are read when the function is called.
func (c *commandLine) declare(env *command.Env) map[string]func(context.Context) error {
	app := c.app
	env.LogFlags(app)
	env.LanguageFlag(app)
	env.ConfigFlag(app)
	var web exporter.Web
	web.Flags(app)

	serve := app.Command("serve", "Refresh on a timer and serve the metrics.").Default()
	var checkOptions command.CheckOptions
	check := app.Command("check", "Read the configuration and list its faults.")
	checkOptions.Flags(check)
	var backfillOptions command.BackfillOptions
	backfill := app.Command("backfill", "Fill the store with days from Weixin; continues where it was stopped.")
	backfillOptions.Flags(backfill)
	var exportOptions command.ExportOptions
	export := app.Command("export", "Write what is stored, each hour and day with its own time.")
	exportOptions.Flags(export)
	stored := app.Command("store", "Maintain the store.")
	backup := stored.Command("backup", "Write a copy of the store to a file, even while an exporter is running.")
	var backupOptions command.BackupOptions
	backupOptions.Flags(backup)
	copyStore := stored.Command("copy", "Copy everything of the store into a new one, of either engine.")
	var copyOptions command.CopyOptions
	copyOptions.Flags(copyStore)
	writing := app.Command("remote-write", "Maintain remote write.")
	var resendOptions command.ResendOptions
	resend := writing.Command("resend", "Send days again that were sent or given up; a running exporter does so within seconds.")
	resendOptions.Flags(resend)
	demo := app.Command("demo", "Serve a simulated Weixin with several accounts: needs no account, no network and no other server.")
	var demoOptions command.DemoOptions
	demoOptions.Flags(demo)
	health := app.Command("healthcheck", "Ask a running exporter on this host whether it is healthy; for containers.")

	return map[string]func(context.Context) error{
		serve.FullCommand(): func(ctx context.Context) error { return command.Serve(ctx, *env, web) },
		check.FullCommand(): func(ctx context.Context) error {
			checkOptions.ConfigFile, checkOptions.Web = env.ConfigFile, web
			return command.Check(ctx, *env, checkOptions)
		},
		backfill.FullCommand(): func(ctx context.Context) error {
			backfillOptions.ConfigFile = env.ConfigFile
			return command.Backfill(ctx, *env, backfillOptions)
		},
		export.FullCommand(): func(ctx context.Context) error {
			exportOptions.ConfigFile = env.ConfigFile
			return command.Export(ctx, *env, exportOptions)
		},
		backup.FullCommand(): func(ctx context.Context) error {
			backupOptions.ConfigFile = env.ConfigFile
			return command.Backup(ctx, *env, backupOptions)
		},
		copyStore.FullCommand(): func(ctx context.Context) error {
			copyOptions.ConfigFile = env.ConfigFile
			return command.Copy(ctx, *env, copyOptions)
		},
		resend.FullCommand(): func(ctx context.Context) error {
			resendOptions.ConfigFile = env.ConfigFile
			return command.Resend(ctx, *env, resendOptions)
		},
		demo.FullCommand(): func(ctx context.Context) error {
			demoOptions.Web = web
			return command.Demo(ctx, *env, demoOptions)
		},
		health.FullCommand(): func(ctx context.Context) error {
			return command.Healthcheck(ctx, command.HealthcheckOptions{Web: web, AddressGiven: c.isSet("web.listen-address")})
		},
	}
}

// unusedFlags returns prefixes of the shared flags that a command does not use.
func unusedFlags(command string) []string {
	switch command {
	case "serve":
		return nil
	case "demo":
		return []string{"config.file"}
	case "check":
		return []string{"web.enable-lifecycle", "web.max-requests", "web.disable-exporter-metrics", "query."}
	case "healthcheck":
		return []string{"config.file", "lang", "web.enable-lifecycle", "web.telemetry-path", "web.max-requests", "web.disable-exporter-metrics", "query."}
	default:
		return []string{"web.", "query."}
	}
}
