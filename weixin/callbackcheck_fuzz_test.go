package weixin_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"weixin_exporter/weixin"
)

// reachOf returns what a client makes of a body as the answer of the check of a callback.
func reachOf(t *testing.T, body string) (weixin.CallbackReach, error) {
	t.Helper()
	return clientOn(always(http.StatusOK, body)).Account(fixed(theToken)).CheckCallback(t.Context())
}

// shownOf returns all texts of a reach.
func shownOf(r weixin.CallbackReach) []string {
	shown := []string{r.String()}
	for _, a := range r.Resolved {
		shown = append(shown, a.IP, a.Operator)
	}
	for _, p := range r.Pings {
		shown = append(shown, p.IP, p.Operator)
	}
	return shown
}

// A proxy that quotes the URL of the request in a field of its answer does not make the token visible.
func TestReachThatQuotesTheToken(t *testing.T) {
	for _, body := range []string{
		`{"dns":[{"ip":"` + theToken + `","real_operator":"access_token=` + theToken + `"}],"ping":[]}`,
		`{"dns":[],"ping":[{"ip":"` + theToken + `","from_operator":"` + theToken + `","package_loss":"0%","time":"1ms"}]}`,
	} {
		got, err := reachOf(t, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range shownOf(got) {
			if strings.Contains(text, theToken) {
				t.Errorf("a reach of %d addresses shows the token", len(got.Resolved))
			}
		}
	}
}

// FuzzReach: any answer to the check of a callback gives a reach of bounded size, or an error. Its texts have one line and
// do not show the token.
func FuzzReach(f *testing.F) {
	for _, body := range []string{
		`{"dns":[{"ip":"192.0.2.1","real_operator":"UNICOM"}],"ping":[{"ip":"192.0.2.1","from_operator":"CAP","package_loss":"0%","time":"23.079ms"}]}`,
		`{"dns":[],"ping":[{"ip":"192.0.2.1","package_loss":"100%","time":""}]}`,
		`{"dns":null,"ping":[{"package_loss":"0%","time":"-5ms"}]}`,
		`{"dns":[{"ip":1,"real_operator":null}]}`,
		`{"ping":[{"ip":"\u001b[31m\r\n\u2028","from_operator":"\ud800","package_loss":"0%","time":"9e99h"}]}`,
		`{"dns":[{"ip":"` + strings.Repeat("1", 300) + `"}` + strings.Repeat(`,{}`, 60) + `]}`,
		`{"dns":{},"ping":""}`, `{"errcode":40201,"errmsg":"callback url is not set"}`, `{}`, `<html>`, "",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const most, longest = 50, 201 // characters, with an ellipsis
		got, err := reachOf(t, string(body))
		if err != nil {
			checkError(t, err)
			return
		}
		if len(got.Resolved) > most || len(got.Pings) > most {
			t.Errorf("%d addresses and %d pings", len(got.Resolved), len(got.Pings))
		}
		for i, text := range shownOf(got) {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) || strings.Contains(text, theToken) {
				t.Errorf("text %d cannot be shown: %q", i, text)
			}
			if i > 0 && utf8.RuneCountInString(text) > longest {
				t.Errorf("text %d has %d characters", i, utf8.RuneCountInString(text))
			}
		}
		for _, p := range got.Pings {
			if p.Time < 0 {
				t.Errorf("a ping took %v", p.Time)
			}
		}
	})
}
