package i18n

// commandEnglish has the texts of the other commands.
func commandEnglish() table {
	return table{
		"backfill.column.account": only("account"),
		"backfill.column.daily":   only("daily calls"),
		"backfill.column.hourly":  only("hourly calls"),
		"backfill.all":            only("all"),
		"backfill.no_store":       only(`%[1]s: store.path is "", which keeps nothing: name a file to fill`),
		"backfill.plan":           only("%[1]s to %[2]s: %[3]d calls, none of which was made."),
		"backfill.plan.takes":     only("At weixin.requests_per_second = %[1]s that is %[2]s at least; each account is asked one call at a time, %[3]d accounts at once."),
		"backfill.plan.most":      only("Weixin allows each account a number of each call in a day and does not publish it; the most that one account takes here is %[1]d."),
		"backfill.summary":        only("%[1]s to %[2]s, %[3]d accounts: %[4]d calls answered, %[5]d failed, %[6]d left."),
		"backfill.learned":        only("%[1]s: %[2]d days learned, %[3]d of them without traffic; %[4]d not available yet"),
		"backfill.confirmed":      only("%[1]s: %[2]d known days fetched again, and stored"),
		"backfill.damaged":        only("%[1]s: %[2]d days not filled: the response could not be understood; their known figures are kept"),
		"backfill.revisions":      only("%[1]d known days came back with other figures, which are stored now"),
		"backfill.vanished":       only("%[1]d known days with traffic came back without rows; their figures are kept"),
		"backfill.given_up":       only("%[1]s, %[2]s: %[3]d calls left: %[4]s"),
		"backfill.stopped":        only("stopped; every response is stored; run the same command again to continue"),
		"backfill.failed":         only("accounts that could not be filled: %[1]d of %[2]d: %[3]s"),
		"backfill.quota":          only("the day's quota is used up for %[1]d of %[2]d accounts: %[3]s; run the same command again after midnight in China, or with --wait"),
		"backfill.pace":           only("%[1]s/s, %[2]s left"),
		"backfill.pace.unknown":   only("%[1]s/s, unknown left"),
		"backfill.waits":          only("waits until %[1]s"),

		"export.no_store":   only(`%[1]s: store.path is "": the exporter keeps everything in memory, so there is nothing to export`),
		"export.stopped":    only("%[1]s: stopped before the export was complete"),
		"export.note":       only("%[1]s: note: not in the configuration, so the app id is the name: %[2]s"),
		"export.namesake":   only("%[1]s: account %[2]s is called %[3]s, which is the app id of another account in the store: give it another name"),
		"export.stdout":     only("exporting to standard output: %[1]s"),
		"export.no_room":    only("exporting to standard output: %[1]s; set TMPDIR to a folder with more room, or write to a file with --output"),
		"export.failed":     only("exporting to %[1]s: %[2]s"),
		"export.incomplete": only("exporting to %[1]s: what could be read is in %[2]s: %[3]s"),

		"backup.server":   only("the store is in a database of PostgreSQL: copy it with pg_dump --schema=weixin_exporter"),
		"backup.no_store": only(`%[1]s: store.path is "": the exporter keeps everything in memory, so there is nothing to copy`),
		"backup.stopped":  only("%[1]s: stopped before the copy was complete; %[2]s is as it was"),
		"backup.failed":   only("copying the store to %[1]s: %[2]s"),
		"backup.done":     only("%[1]s: a copy of %[2]s, %[3]d bytes"),

		"resend.no_store":    only(`%[1]s: store.path is "": the exporter keeps everything in memory, and sends all of it when it starts again`),
		"resend.no_file":     only("%[1]s: there is no store: %[2]s"),
		"resend.no_endpoint": only("%[1]s: there is no endpoint under remote_write"),
		"resend.too_old":     only("%[1]s: note: %[2]s: days before %[3]s are older than max_age (%[4]s) and are not sent"),
		"resend.nothing":     only("%[1]s: nothing to send again: no day of these was sent or given up"),
		"resend.days":        only("%[1]s: to be sent again by the exporter: %[2]d days of accounts"),

		"demo.what":     only("A simulated Weixin with %[1]d accounts and a month of history; %[2]s."),
		"demo.local":    only("nothing leaves this machine"),
		"demo.sent":     only("it is sent to %[1]s"),
		"demo.overview": only("Overview"),
		"demo.metrics":  only("Metrics"),
		"demo.history":  only("History"),
		"demo.grafana":  only("%[1]s, as a data source of Grafana, type Prometheus"),
		"demo.stop":     only("Stop it with Ctrl-C; it writes no file."),
	}
}
