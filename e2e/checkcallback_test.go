package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// check --online probes the callbacks, and has Weixin reach the hosts of their URLs.
func TestCheckOnlineOfCallbacks(t *testing.T) {
	t.Parallel()
	fine, down, unset := newAccount("fine", 850, 700), newAccount("down", 851, 700), newAccount("unset", 852, 700)
	fine.Callback = &weixintest.CallbackHost{Addresses: []string{"192.0.2.1"}}
	down.Callback = &weixintest.CallbackHost{Addresses: []string{"192.0.2.2"}, Lost: true}
	w := newFixture(t, fine, down, unset)
	writeFile(t, filepath.Join(w.folder, "callback-token"), callbackToken)
	server := weixintest.NewCallback(weixintest.CallbackOptions{Token: callbackToken})
	broken := weixintest.NewCallback(weixintest.CallbackOptions{Token: callbackToken})
	broken.SetFault(weixintest.CallbackFault{Status: 502})
	urls := map[string]string{}
	for name, handler := range map[string]http.Handler{"fine": server, "down": broken, "unset": server} {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		urls[name] = s.URL
	}
	var entries strings.Builder
	for _, a := range []account{fine, down, unset} {
		entries.WriteString(callbackEntry(a, callbackCase{}, urls[a.name], ""))
	}
	w.write(t, "accounts:\n"+entries.String()+w.settings(1))
	got := w.checkOnline(t)
	if want := "weixin_exporter: error: accounts with faults: 2 of 3\n"; got.code != 1 || got.stderr != want {
		t.Errorf("exit code %d, stderr %q", got.code, mask(got.stderr))
	}
	for _, want := range []string{
		"CALLBACK", "ROUTE", "answers in 0.", "resolved",
		"down, callback: the server answered with HTTP status 502",
		"What to do: Look into the logs of the server",
		"unset, callback route: asking Weixin for the way to the callback URL: errcode 40201",
		"What to do: No callback URL is set",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, mask(got.stdout))
		}
	}
	json := w.checkOnline(t, "--output=json", "--account=down")
	for _, want := range []string{`"callback": {`, `"reason": "status"`, `"callback_route": {`, `"resolved to 192.0.2.2 UNICOM; ping 192.0.2.2 lost"`} {
		if !strings.Contains(json.stdout, want) {
			t.Errorf("the report lacks %s:\n%s", want, mask(json.stdout))
		}
	}
	if seen := server.Received(); len(seen) != 2 || !seen[0].Valid {
		t.Errorf("the server saw %d requests, want one for each account", len(seen))
	}
}

// check --rid shows what Weixin has logged of a request, without the token.
func TestCheckRID(t *testing.T) {
	t.Parallel()
	shop, other := newAccount("shop", 860, 700), newAccount("other", 861, 700)
	shop.Errcode = 48001
	w := newFixture(t, shop, other)
	rid, token := "", w.tokenOf(t, shop)
	eventually(t, "an error with a rid", func() error {
		day := (datacube.DateOf(clock()) - 1).String()
		body := strings.NewReader(fmt.Sprintf(`{"begin_date":%q,"end_date":%q}`, day, day))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/datacube/getinterfacesummaryhour?access_token="+url.QueryEscape(token), body)
		if err != nil {
			return err
		}
		response, err := (&http.Client{}).Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		text := make([]byte, 4096)
		n, _ := response.Body.Read(text)
		if found := regexp.MustCompile(`rid: ([0-9a-f-]{26})`).FindSubmatch(text[:n]); found != nil {
			rid = string(found[1])
			return nil
		}
		return errors.New("none")
	})
	ask := func(args ...string) finished {
		return finish(t, nil, append([]string{"check", "--config.file=" + w.config}, args...)...)
	}
	got := ask("--rid="+rid, "--account=shop")
	for _, want := range []string{
		"account:  shop\n", "rid:      " + rid + "\n", ", China time\n", "took:     30ms\n", "from:     127.0.0.1\n", "query:    access_token=<secret>\n",
		`request:  {"begin_date":"`, `response: {"errcode":48001,`,
	} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("exit code %d, stdout lacks %q:\n%s%s", got.code, want, mask(got.stdout), mask(got.stderr))
		}
	}
	if got := ask("--rid="+rid, "--account=shop", "--output=json"); got.code != 0 || !strings.Contains(got.stdout, `"query": "access_token=<secret>"`) {
		t.Errorf("as JSON: exit code %d\n%s", got.code, mask(got.stdout))
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"of another account": {[]string{"--rid=" + rid, "--account=other"}, 1, "errcode 76003"},
		"unknown":            {[]string{"--rid=00000000-00000000-00000000", "--account=shop"}, 1, "errcode 76001"},
		"without an account": {[]string{"--rid=" + rid}, 2, "name the account whose request it was"},
		"with --online":      {[]string{"--rid=" + rid, "--online"}, 2, "either --rid or --online"},
	} {
		if got := ask(c.args...); got.code != c.code || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: exit code %d, stderr %s", name, got.code, mask(got.stderr))
		}
	}
}
