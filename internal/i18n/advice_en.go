package i18n

import (
	"strings"

	"weixin_exporter/weixin"
)

// adviceEnglish has what the errors of Weixin mean, in a few words, and what to do about them. The advice is that of
// the package weixin, whose log lines have it, too. The placeholders of an advice are the address that
// called and the origin of the token, that of a title is the latter.
func adviceEnglish() table {
	t := table{
		"cause.unknown":                 only("Unknown error"),
		"cause.busy":                    only("Weixin cannot be reached or cannot answer"),
		"cause.token":                   only("Access token refused"),
		"cause.config":                  only("Configuration refused"),
		"cause.allow_list":              only("Address not on the IP allow list"),
		"cause.quota":                   only("Calls of the day used up"),
		"cause.rate":                    only("Too many calls per minute"),
		"cause.not_ready":               only("Not published yet"),
		"cause.permission":              only("No permission"),
		"cause.account":                 only("Account limited or closed"),
		"cause.retired":                 only("Call out of service"),
		"cause.range":                   only("Dates refused"),
		"cause.bug":                     only("Weixin did not understand the request"),
		"cause.store":                   only("Response not stored"),
		"cause.invalid_rows":            only("Response not understood"),
		"cause.grant_type":              only("Grant type refused"),
		"cause.wrong_app_id":            only("Wrong app ID"),
		"cause.wrong_app_secret":        only("Wrong app secret"),
		"cause.frozen_app_secret":       only("App secret frozen"),
		"cause.signature_required":      only("Signatures required"),
		"cause.app_id_missing":          only("App ID missing"),
		"cause.app_secret_missing":      only("App secret missing"),
		"cause.address_unconfirmed":     only("Address to be confirmed by an administrator"),
		"cause.address_refused_twice":   only("Address refused by an administrator, blocked for 24 hours"),
		"cause.address_refused":         only("Address refused by an administrator, blocked for an hour"),
		"cause.platform_not_authorised": only("Platform not authorised"),
		"cause.platform_address":        only("Address not on the platform's IP allow list"),
		"cause.platform_ticket_expired": only("Platform's ticket expired"),
		"cause.platform_ticket_invalid": only("Platform's ticket invalid"),
		"cause.platform_permission":     only("Permission set not granted to the platform"),
		"cause.platform_unknown":        only("Platform unknown to Weixin"),
		"cause.platform_confirmation":   only("Permission set to be confirmed by the platform"),
		"cause.refresh_token_invalid":   only("Refresh token invalid"),
		"cause.app_id_of_platform":      only("App ID is that of a platform"),
		"cause.statistics_permission":   only("Not verified, or no right to the statistics"),
		"cause.call_blocked":            only("Call blocked for a breach of the rules"),
		"cause.resets_used_up":          only("Quota cannot be reset again this month"),
		"cause.quota_permission":        only("No right to the call"),
		"cause.token_missing":           only("Access token lost on the way"),
		"cause.post_required":           only("Request changed on the way"),
		"cause.empty_request":           only("Request empty on arrival"),
		"cause.callback_url_unset":      only("No callback URL set"),
		"cause.callback_check":          only("Check of the callback URL not understood"),
		"cause.rid_unknown":             only("rid unknown"),
		"cause.rid_invalid":             only("rid invalid"),
		"cause.rid_permission":          only("rid of another account"),
		"cause.quota_path":              only("Call unknown to Weixin"),
		"cause.token_file":              only("No usable access token in %[1]s"),
		"cause.token_server":            only("No usable access token from %[1]s"),
		"cause.token_server_busy":       only("Token server %[1]s does not answer"),
		"cause.same_token":              only("Refused access token still in %[1]s"),
		"cause.other_tokens_refused":    only("All access tokens from %[1]s refused"),
		"cause.http_config":             only("http_config of %[1]s cannot be used"),
		"cause.app_secret_file":         only("App secret cannot be read"),
		"cause.refresh_token_load":      only("Refresh token cannot be read"),
		"cause.refresh_token_save":      only("Refresh token cannot be saved"),
		"cause.refresh_token_replace":   only("File of the refresh token cannot be replaced"),
		"cause.refresh_token_locked":    only("Refresh token in use by another process"),
		"cause.refresh_token_replaced":  only("Another refresh token was stored"),
		"cause.refresh_token_database":  only("Database of the refresh token cannot be used"),
		"cause.refresh_token_unsaved":   only("Refresh token cannot be saved in the database"),
		"cause.refresh_token_sealed":    only("Refresh token cannot be opened"),

		"address.own":   only("the address of this machine"),
		"address.seen":  only("%[1]s, the address that Weixin saw,"),
		"origin.file":   only("the file %[1]s"),
		"origin.url":    only("%[1]s"),
		"origin.weixin": only("Weixin"),

		"group.code":                   only("%[1]s (%[2]s)"),
		"group.accounts":               counted("%[1]d account:", "%[1]d accounts:"),
		"group.all":                    only("all %[1]d"),
		"group.only":                   only("Only the %[1]s call. %[2]s"),
		"group.when":                   only("Since %[1]s; next attempt at %[2]s, or after a reload of the configuration."),
		"group.when.fixed":             only("Since %[1]s; next attempt at %[2]s."),
		"group.store":                  only("The store cannot be written"),
		"group.store.advice":           only("Make the database writable. Until then no more requests are sent, and figures that are shown but not stored are lost at a restart and requested again."),
		"group.figures.failed":         only("Many callbacks failed"),
		"group.figures.failed.advice":  only("The account's page shows the hours in which they failed; look at the log of its server for these hours. Figures are a day late, so it may be over."),
		"group.figures.timeout":        only("Callbacks timed out"),
		"group.figures.timeout.advice": only("Weixin waits 5 seconds for a response. Make the account's server respond at once and do slow work afterwards; the account's page shows the slow hours."),
		"group.figures.hours":          only("Many callbacks failed in single hours"),
		"group.figures.hours.advice":   only("Check what happened on the account's server in these hours: a release, a restart, a database, the network."),
		"group.damaged":                only("Responses for some days not understood"),
		"group.damaged.advice":         only("The figures known before are kept, and the days are requested again. No action is needed unless it persists."),
		"group.inconsistent":           only("The daily and the hourly call contradict each other"),
		"group.inconsistent.advice":    only("These days are requested again. No action is needed unless it persists."),
	}
	placeholders := strings.NewReplacer("%", "%%", "{address}", "%[1]s", "{origin}", "%[2]s")
	for code, advice := range weixin.AdviceFormats() {
		t["advice."+code] = only(placeholders.Replace(advice))
	}
	return t
}
