package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/secret"
)

// tokens has one account of each type that goes without the app secret.
const tokens = `accounts:
  - name: bot
    app_id: wx1
    token: {type: file, path: tokens/bot}
  - name: club
    app_id: wx2
    token:
      type: url
      url: https://u:sim-secret-1@tokens.example/a@b?key=sim-secret-2
      http_config:
        enable_http2: false
        proxy_url: http://u:sim-secret-3@proxy:3128
        http_headers: {X-Key: {secrets: [sim-secret-4]}}
        tls_config: {insecure_skip_verify: true}
  - name: guest
    app_id: wx3
    token:
      type: authorizer
      component_app_id: wx4
      component_access_token:
        type: url
        url: http://sim-secret-5@tokens.example/?key=sim-secret-6
        http_config: {bearer_token: sim-secret-7}
      refresh_token_file: refresh/guest
`

func TestTokenTypes(t *testing.T) {
	folder(t, map[string]string{"etc/config.yml": tokens, "etc/refresh/guest": marker + "refresh\n"})
	c := mustLoad(t, "etc/config.yml")
	bot, club, guest := c.Accounts[0], c.Accounts[1], c.Accounts[2]
	if bot.Token.Type != config.FileToken || bot.Token.Path != filepath.Join("etc", "tokens", "bot") || !bot.Secret().IsZero() {
		t.Errorf("bot has its token from %s", bot.Token)
	}
	if !strings.HasSuffix(club.Token.URL.Reveal(), "@tokens.example/a@b?key="+marker+"2") || club.Token.HTTPClient.EnableHTTP2 || club.Token.HTTPClient.FollowRedirects {
		t.Errorf("club has its token from %s", club.Token)
	}
	component := guest.Token.ComponentAccessToken
	if guest.Token.ComponentAppID != "wx4" || component.Type != config.URLToken || guest.Token.RefreshTokenFile != filepath.Join("etc", "refresh", "guest") {
		t.Errorf("guest has its token from %s", guest.Token)
	}
	if got := component.HTTPClient.Authorization.Credentials; got != promconfig.Secret(marker+"7") {
		t.Error("bearer_token has not become an authorization")
	}
	want := strings.Join([]string{
		"etc/config.yml:14:22: accounts[1].token.http_config.tls_config.insecure_skip_verify: anyone between the exporter and the token server can read access tokens; name the certificate's issuer in ca_file instead",
		"etc/config.yml:22:9: accounts[2].token.component_access_token.url: access tokens cross the network in the clear; https protects them",
	}, "\n")
	if diff := cmp.Diff(want, config.Faults(c.Warnings()).Error()); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
	if left, err := filepath.Glob("etc/refresh/*"); err != nil || len(left) != 1 {
		t.Errorf("the trial of the folder leaves %v, error %v", left, err)
	}
}

func TestTokenURLs(t *testing.T) {
	for url, warned := range map[string]bool{
		"http://localhost/shop":            false,
		"http://u:p@127.0.0.1:8080/?a=b":   false,
		"https://tokens.example/shop?a=b":  false,
		"http://tokens.example":            true,
		"HTTP://10.0.0.1/shop?key=a":       true,
		"http://localhost.example:80/shop": true,
	} {
		c := mustParse(t, "config.yml", "accounts: [{name: a, app_id: wx0, token: {type: url, url: '"+url+"'}}]")
		if c.Accounts[0].Token.URL.Reveal() != url || len(c.Warnings()) > 0 != warned {
			t.Errorf("%s: read as %s, warnings %v", url, c.Accounts[0].Token.URL, c.Warnings())
		}
	}
}

// An account whose token comes from where another one's does shows the other one's figures.
func TestSharedSourcesAreWarnedOf(t *testing.T) {
	full, err := filepath.Abs("token")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, "config.yml", `accounts:
  - {name: a, app_id: wx0, token: {type: file, path: token}}
  - {name: b, app_id: wx1, token: {type: url, url: "https://tokens.example/?key=sim-secret-1"}}
  - {name: c, app_id: wx2, token: {type: file, path: `+full+`}}
  - {name: d, app_id: wx3, token: {type: url, url: "https://tokens.example/?key=sim-secret-1"}}
`)
	got := config.Faults(c.Warnings()).Error()
	mustNotLeak(t, got)
	want := strings.Join([]string{
		"config.yml:4:48: accounts[2].token.path: is the same as accounts[0].token.path on line 2; an access token belongs to one account, whose figures both would show",
		"config.yml:5:47: accounts[3].token.url: is the same as accounts[1].token.url on line 3; an access token belongs to one account, whose figures both would show",
	}, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
}

func TestPermissionWarnings(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing of who may read")
	}
	folder(t, map[string]string{"secrets/shop": marker + "shop", "secrets/guest": marker + "guest", "config.yml": `accounts:
  - {name: shop, app_id: wx0, app_secret_file: secrets/shop}
  - name: guest
    app_id: wx1
    token: {type: authorizer, component_app_id: wx2, component_access_token: {type: file, path: c}, refresh_token_file: secrets/guest}
`})
	for mode, shown := range map[fs.FileMode]string{
		0o600: "", 0o400: "", 0o700: "", 0o640: "0640", 0o604: "0604", 0o644: "0644", 0o602: "0602", 0o777: "0777",
	} {
		for _, file := range []string{"secrets/shop", "secrets/guest"} {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
		want := ""
		if shown != "" {
			want = "config.yml:2:31: accounts[0].app_secret_file: secrets/shop is open to others than its owner, with mode " + shown + "; chmod 600 secrets/shop keeps them out\n" +
				"config.yml:5:101: accounts[1].token.refresh_token_file: secrets/guest is open to others than its owner, with mode " + shown + "; chmod 600 secrets/guest keeps them out"
		}
		if diff := cmp.Diff(want, config.Faults(mustLoad(t, "config.yml").Warnings()).Error()); diff != "" {
			t.Errorf("mode %v: warnings differ (-want +got):\n%s", mode, diff)
		}
	}
}

func TestRefreshTokenInFolderThatCannotBeWritten(t *testing.T) {
	// A file of one word in a folder that not even root may write into.
	const dir = "/proc/sys/kernel/random"
	if _, err := os.Stat(dir + "/boot_id"); err != nil {
		t.Skip("there is no " + dir)
	}
	c := mustParse(t, "config.yml", `accounts:
  - name: guest
    app_id: wx1
    token: {type: authorizer, component_app_id: wx2, component_access_token: {type: file, path: c}, refresh_token_file: `+dir+`/boot_id}
`)
	got := fmt.Sprint(c.AccountFaults())
	const want = "[config.yml:4:101: accounts[0].token.refresh_token_file: no file can be written into " + dir + ": "
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "the exporter's user must be allowed to") {
		t.Errorf("got  %v\nwant %s…", got, want)
	}
}

func TestRereadSecret(t *testing.T) {
	folder(t, map[string]string{"shop": marker + "1\n"})
	c := mustParse(t, "config.yml", "accounts: [{name: shop, app_id: wx0, app_secret_file: shop}, {name: bot, app_id: wx1, app_secret: sim-secret-2}]")
	shop, bot := c.Accounts[0], c.Accounts[1]
	write(t, "shop", marker+"3\r\n")
	if got, err := shop.RereadSecret(); err != nil || !got.Equal(secret.New(marker+"3")) {
		t.Errorf("the new secret is not read, error %v", err)
	}
	if !shop.Secret().Equal(secret.New(marker + "1")) {
		t.Error("the secret of the configuration has changed")
	}
	if got, err := bot.RereadSecret(); err != nil || !got.Equal(secret.New(marker+"2")) {
		t.Errorf("the inline secret is another one, error %v", err)
	}
	write(t, "shop", marker+"4\n"+marker+"5\n")
	_, err := shop.RereadSecret()
	const want = `reading the app secret of account "shop": the content of shop contains a space, a line break or another character that no secret has; it must be the app secret, in printable ASCII without spaces`
	if err == nil || strings.Contains(err.Error(), marker) || err.Error() != want {
		t.Error("a broken secret gives another error")
	}
	if err := os.Remove("shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := shop.RereadSecret(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a vanished secret gives %v", err)
	}
}

func TestSameCredentials(t *testing.T) {
	folder(t, map[string]string{
		"secret": marker + "1", "other": marker + "2", "ca": "", "refresh/a": marker + "a", "refresh/b": marker + "b",
	})
	parse := func(account string) config.Account {
		return mustParse(t, "config.yml", "accounts: [{"+account+"}]").Accounts[0]
	}
	const (
		stable    = "name: a, app_id: wx0, app_secret: sim-secret-1"
		file      = "name: a, app_id: wx0, token: {type: file, path: a}"
		url       = "name: a, app_id: wx0, token: {type: url, url: 'https://u:sim-secret-1@tokens.example/?a', http_config: {basic_auth: {username: u, password: sim-secret-1}, proxy_url: 'http://p:1'}}"
		component = "name: a, app_id: wx0, token: {type: authorizer, component_app_id: wx1, component_access_token: {type: url, url: 'https://tokens.example', http_config: {bearer_token: sim-secret-1}}, refresh_token_file: refresh/a}"
	)
	for _, account := range []string{stable, file, url, component} {
		if !parse(account).SameCredentials(parse(strings.Replace(account, "name: a", "name: b", 1))) {
			t.Error("another name makes other credentials")
		}
	}
	if !parse(stable).SameCredentials(parse("name: a, app_id: wx0, app_secret_file: secret")) {
		t.Error("the same secret in a file makes other credentials")
	}
	for i, change := range []struct{ account, from, to string }{
		{stable, "wx0", "wx9"},
		{stable, "secret-1", "secret-2"},
		{stable, "app_secret: sim-secret-1", "app_secret_file: other"},
		{stable, "wx0", "wx0, token: {type: token}"},
		{file, "path: a", "path: b"},
		{file, "type: file, path: a", "type: url, url: 'https://tokens.example'"},
		{url, "sim-secret-1@", "sim-secret-2@"},
		{url, "?a", "?b"},
		{url, "password: sim-secret-1", "password: sim-secret-2"},
		{url, "http://p:1", "http://p:2"},
		{component, "wx1", "wx2"},
		{component, "tokens.example", "other.example"},
		{component, "bearer_token: sim-secret-1", "bearer_token: sim-secret-2"},
		{component, "refresh/a", "refresh/b"},
	} {
		changed := strings.Replace(change.account, change.from, change.to, 1)
		if changed == change.account || parse(change.account).SameCredentials(parse(changed)) {
			t.Errorf("change %d leaves the credentials the same", i)
		}
	}
}
