package i18n

// probesEnglish has the texts about probes of callbacks.
func probesEnglish() table {
	return table{
		"nav.probes":         only("Probes"),
		"column.now":         only("Now"),
		"now.answers":        only("Answers in %[1]s"),
		"now.down":           only("Down: %[1]s"),
		"now.none":           only("Not probed"),
		"now.label":          only("Callback server now:"),
		"probes.title":       only("Probes of callback servers"),
		"probes.of":          only("Probes of the callback server of %[1]s"),
		"probes.about":       only("What this exporter found when it asked callback servers as Weixin does. This is about now; the figures of the other pages are a day late."),
		"probes.kept":        only("Kept are the last %[1]d probes, and %[1]d older ones that failed, since the exporter was started."),
		"probes.none":        only("No probe yet. Prometheus starts one with each scrape of /probe?account=NAME, and finds its targets at /sd?probes=1."),
		"probes.all":         only("All accounts"),
		"probes.caption":     only("The probes, the latest first"),
		"probes.failed":      only("Failed: %[1]s"),
		"probes.succeeded":   only("Answered"),
		"column.time":        only("Time"),
		"column.took":        only("Took"),
		"column.log":         only("Log"),
		"probes.log":         only("Log"),
		"probe.dns":          only("name not resolved"),
		"probe.connect":      only("no connection"),
		"probe.tls":          only("TLS or certificate"),
		"probe.timeout":      only("no answer in time"),
		"probe.status":       only("HTTP status"),
		"probe.redirect":     only("redirect"),
		"probe.signature":    only("signature refused"),
		"probe.body":         only("answer is not the echo"),
		"probe.reply":        only("answer to the message not valid"),
		"probe.address":      only("address refused"),
		"error.probe":        only("There is no such probe"),
		"error.probe.advice": only("It is not one of the last probes, and not one of the older ones that failed."),
	}
}
