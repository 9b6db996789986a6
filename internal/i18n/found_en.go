package i18n

// foundEnglish has what a probe of a callback server finds.
func foundEnglish() table {
	return table{
		"found.echo":            only("the server answered with the echo"),
		"found.message":         only("the server answered with the echo, and the message as Weixin accepts it"),
		"found.redirect":        only("the server answered with HTTP status %[1]s and redirects to %[2]s; Weixin expects the answer itself, and redirects are not followed"),
		"found.address":         only("%[1]s is an address of a cloud's metadata service or is link-local, where no callback server is; it is not connected to unless callback.allow_metadata_address is set"),
		"found.dns":             only("the name %[1]s was not resolved: %[2]s"),
		"found.timeout":         only("no complete answer within %[1]s: still %[2]s"),
		"found.tls":             only("TLS: %[1]s"),
		"found.ended":           only("the connection ended while %[1]s: %[2]s"),
		"found.connect":         only("no connection: %[1]s"),
		"found.refused":         only("the server answered with HTTP status %[1]s: its token differs from the configured one, or something before it, such as a firewall, refuses the request; %[2]s"),
		"found.status":          only("the server answered with HTTP status %[1]s; %[2]s"),
		"found.long":            only("the answer is longer than %[1]d KiB; it must be the echo alone; %[2]s"),
		"found.around":          only("the answer holds the echo, but %[1]s around it (%[2]d bytes before, %[3]d after); it must be the echo alone; %[4]s"),
		"found.around.text":     only("quotes or other text"),
		"found.around.mark":     only("a byte order mark, which a source file of the program may begin with,"),
		"found.around.space":    only("white space"),
		"found.word":            only("the answer is not the echo: the server's token differs from the configured one, or the program does not verify URLs at this path; %[1]s"),
		"found.page":            only("the answer is not the echo: something other than the program that handles Weixin's requests seems to answer at this URL; %[1]s"),
		"found.not_made":        only("the message could not be made: %[1]s"),
		"found.message.status":  only("the server answered the message with HTTP status %[1]s; %[2]s"),
		"found.message.long":    only("the answer to the message is longer than %[1]d KiB"),
		"found.message.refused": only("Weixin would not accept the answer to the message: %[1]s; %[2]s"),
		"found.message.text":    only("the test text must be answered with the text %[1]s"),
		"found.body.empty":      only("its body is empty"),
		"found.body.begins":     only("its body begins %[1]s"),
		"found.body":            only("its body is %[1]s"),

		"phase.resolve":    only("resolving the name of the host"),
		"phase.connect":    only("connecting"),
		"phase.tls":        only("in the TLS handshake"),
		"phase.processing": only("waiting for the answer"),
		"phase.transfer":   only("reading the answer"),
	}
}
