package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/secret"
)

const minimal = `accounts:
  - name: shop
    app_id: wx0123456789abcdef
    app_secret: sim-secret-shop
`

func mustParse(t *testing.T, file, content string) *config.Config {
	t.Helper()
	c, err := config.Parse(file, []byte(content))
	if err != nil {
		if strings.Contains(err.Error(), marker) {
			t.Fatal("does not load, and a secret is shown")
		}
		t.Fatalf("does not load: %v", err)
	}
	return c
}

// folder makes a new folder with these files, which only their owner may read, the working folder.
func folder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		write(t, name, content)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, path string) *config.Config {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, path, string(content))
}

func TestDefaults(t *testing.T) {
	want := config.Default()
	want.Accounts = []config.Account{{
		Name: "shop", AppID: "wx0123456789abcdef", AppSecret: secret.New(marker + "shop"),
		Token: config.Token{Type: config.StableToken},
	}}
	for name, content := range map[string]string{
		"nothing":        minimal,
		"empty sections": minimal + "weixin:\nrefresh:\nstore: {}\n",
		"empty blocks":   minimal + "weixin: {http_config: }\n",
		"null token":     minimal + "    token:\n",
		"empty token":    minimal + "    token: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, "config.yml", content)
			if diff := cmp.Diff(want.String(), c.String()); diff != "" {
				t.Errorf("not the defaults (-want +got):\n%s", diff)
			}
			if len(c.Warnings()) > 0 {
				t.Errorf("warnings: %v", c.Warnings())
			}
		})
	}
	if want.Refresh.HistoryDays() != 30 || want.Store.RetentionDays() != 0 || want.Refresh.ReadyAt.Offset() != 8*time.Hour {
		t.Errorf("history %d, retention %d, ready at %s", want.Refresh.HistoryDays(), want.Store.RetentionDays(), want.Refresh.ReadyAt)
	}
}

func TestEveryKey(t *testing.T) {
	c, err := config.Load("testdata/full.yml")
	if err != nil {
		mustNotLeak(t, err.Error())
		t.Fatal(err)
	}
	wantAccounts := []struct {
		name, appID, secret string
		token               config.TokenType
	}{
		{"shop", "wx0123456789abcdef", "shop", config.StableToken},
		{"订阅号 2", "test_account-2", "unix", config.LegacyToken},
		{"bot", "wxfedcba9876543210", "windows", config.StableToken},
	}
	if len(c.Accounts) != len(wantAccounts) {
		t.Fatalf("%d accounts", len(c.Accounts))
	}
	for i, want := range wantAccounts {
		got := c.Accounts[i]
		if got.Name != want.name || got.AppID != want.appID || got.Token.Type != want.token {
			t.Errorf("account %d is %s, %s, %s", i, got.Name, got.AppID, got.Token.Type)
		}
		if !got.Secret().Equal(secret.New(marker + want.secret)) {
			t.Errorf("account %d has another secret", i)
		}
	}
	w := c.Weixin
	if w.BaseURL != "http://proxy.example:8080/weixin/" || w.Timeout != model.Duration(1500*time.Millisecond) ||
		w.RequestsPerSecond != 0.5 || w.Concurrency != 1000 || !w.Quota || w.HTTPClient.EnableHTTP2 || w.HTTPClient.FollowRedirects {
		t.Errorf("weixin is %s, %s, %v, %d", w.BaseURL, w.Timeout, w.RequestsPerSecond, w.Concurrency)
	}
	if got := w.HTTPClient.BasicAuth.PasswordFile; got != filepath.Join("testdata", "secrets", "unix") {
		t.Errorf("password_file is %s", got)
	}
	r := c.Refresh
	if r.Interval != model.Duration(time.Minute) || r.ReadyAt.String() != "23:59" || r.ReadyAt.Offset() != 24*time.Hour-time.Minute ||
		r.HistoryDays() != 14 || r.RecheckAfter != 0 {
		t.Errorf("refresh is %s, %s, %s, %s", r.Interval, r.ReadyAt, r.History, r.RecheckAfter)
	}
	if c.Store.Path != "" || c.Store.RetentionDays() != 14 {
		t.Errorf("store is %q, %s", c.Store.Path, c.Store.Retention)
	}
}

func TestWarnings(t *testing.T) {
	content := map[string]string{}
	for _, name := range []string{"full.yml", "secrets/unix", "secrets/windows"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		content[name] = string(text)
	}
	folder(t, content)
	c := mustLoad(t, "full.yml")
	want := strings.Join([]string{
		"full.yml:9:7: accounts[1].token.type: every token from /cgi-bin/token invalidates the one that other services of this account use, which logs them out; stable_token does not",
		"full.yml:14:3: weixin.base_url: app secrets and access tokens cross the network in the clear; https protects them",
		"full.yml:26:7: weixin.http_config.tls_config.insecure_skip_verify: anyone between the exporter and Weixin can read app secrets and access tokens; name the certificate's issuer in ca_file instead",
	}, "\n")
	if diff := cmp.Diff(want, config.Faults(c.Warnings()).Error()); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
}

func TestNoWarningForLoopback(t *testing.T) {
	for _, url := range []string{"http://localhost:1", "http://127.0.0.2", "http://[::1]:80/x", "https://example.com", "HTTPS://example.com"} {
		c := mustParse(t, "config.yml", minimal+"weixin: {base_url: '"+url+"'}")
		if len(c.Warnings()) > 0 {
			t.Errorf("%s: %v", url, c.Warnings())
		}
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shop"), []byte(marker+"file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const content = `accounts: [{name: shop, app_id: wx0, app_secret_file: %s}]
store: {path: %s}
`
	file, inside := filepath.Join(dir, "config.yml"), filepath.Join(dir, "shop")
	for given, want := range map[string]string{"shop": inside, "./shop": inside, inside: inside} {
		c := mustParse(t, file, fmt.Sprintf(content, given, given))
		if c.Accounts[0].AppSecretFile != want || c.Store.Path != want {
			t.Errorf("%s: secret in %s, store in %s", given, c.Accounts[0].AppSecretFile, c.Store.Path)
		}
		if !c.Accounts[0].Secret().Equal(secret.New(marker+"file")) || !c.Accounts[0].AppSecret.IsZero() {
			t.Errorf("%s: another secret", given)
		}
	}
	if c := mustParse(t, file, minimal); c.Store.Path != filepath.Join(dir, "weixin_exporter.db") {
		t.Errorf("the default store is %s", c.Store.Path)
	}
}

// TestRelativeOAuth2Key: the path of the key that signs for OAuth2 is relative to the file, as all are.
func TestRelativeOAuth2Key(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(marker+"key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, filepath.Join(dir, "config.yml"), minimal+"weixin: {http_config: {oauth2: {client_id: x, token_url: 'https://tokens.example/', "+
		"grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key_file: key.pem}}}\n")
	if got := c.Weixin.HTTPClient.OAuth2.ClientCertificateKeyFile; got != filepath.Join(dir, "key.pem") {
		t.Errorf("the key is in %s", got)
	}
}

func TestTextForms(t *testing.T) {
	want := mustParse(t, "config.yml", minimal).String()
	for name, content := range map[string]string{
		"byte order mark":     "\ufeff" + minimal,
		"Windows line ends":   strings.ReplaceAll(minimal, "\n", "\r\n"),
		"no last line end":    strings.TrimSuffix(minimal, "\n"),
		"document marks":      "---\n" + minimal + "...\n",
		"comments":            "# a\n" + minimal + "# b\n",
		"flow":                `{accounts: [{name: shop, app_id: wx0123456789abcdef, app_secret: "sim-secret-shop"}]}`,
		"anchors and aliases": strings.Replace(minimal, "shop", "&name shop", 1) + "    token: &t {type: &type stable_token}\n",
	} {
		if got := mustParse(t, "config.yml", content).String(); got != want {
			t.Errorf("%s: reads as\n%s", name, got)
		}
	}
}

func TestScalarsKeepTheirText(t *testing.T) {
	c := mustParse(t, "config.yml", `accounts:
  - {name: 007, app_id: 0123, app_secret: 1e50000000, token: &t {type: token}}
  - {name: true, app_id: 0x10, app_secret: 08:00:00, token: *t}
`)
	for i, want := range []string{"007 0123 1e50000000 token", "true 0x10 08:00:00 token"} {
		a := c.Accounts[i]
		if got := fmt.Sprintf("%s %s %s %s", a.Name, a.AppID, a.Secret().Reveal(), a.Token.Type); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The values of one configuration must not reach another through shared defaults.
func TestParsesAreIndependent(t *testing.T) {
	mustParse(t, "config.yml", minimal+"weixin: {http_config: {basic_auth: {username: u}, enable_http2: false}}\n")
	c := mustParse(t, "config.yml", minimal)
	if c.Weixin.HTTPClient.BasicAuth != nil || !c.Weixin.HTTPClient.EnableHTTP2 || !promconfig.DefaultHTTPClientConfig.EnableHTTP2 {
		t.Error("http_config is not the default one")
	}
}

func TestSecretValueInYAML(t *testing.T) {
	var v struct {
		Given   secret.Value  `yaml:"given"`
		Pointer *secret.Value `yaml:"pointer"`
		Left    secret.Value  `yaml:"left,omitempty"`
	}
	if err := yaml.Load([]byte("given: sim-secret-1\npointer: 0123\n"), &v); err != nil {
		t.Fatal("does not load")
	}
	if !v.Given.Equal(secret.New(marker+"1")) || !v.Pointer.Equal(secret.New("0123")) || !v.Left.IsZero() {
		t.Error("other secrets were read")
	}
	out, err := yaml.Dump(&v)
	if err != nil {
		t.Fatal(err)
	}
	mustNotLeak(t, string(out))
	if got, want := string(out), "given: <secret>\npointer: <secret>\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Redirects are never followed; asking for them is not a fault, since Prometheus has the same key.
func TestFollowRedirectsHasNoEffect(t *testing.T) {
	folder(t, map[string]string{"config.yml": `
accounts:
  - {name: club, app_id: wx1, token: {type: url, url: "https://tokens.example/", http_config: {follow_redirects: true}}}
weixin: {http_config: {follow_redirects: true}}
remote_write:
  - {url: "https://one.example/", follow_redirects: true}
  - {url: "https://two.example/", follow_redirects: false}
`})
	c := mustLoad(t, "config.yml")
	const text = ".follow_redirects: has no effect: redirects are not followed, since credentials would go along; remove it"
	want := strings.Join([]string{
		"config.yml:3:96: accounts[0].token.http_config" + text,
		"config.yml:4:24: weixin.http_config" + text,
		"config.yml:6:35: remote_write[0]" + text,
	}, "\n")
	if diff := cmp.Diff(want, config.Faults(c.Warnings()).Error()); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
	if c.Weixin.HTTPClient.FollowRedirects || c.RemoteWrite[0].HTTPClient.FollowRedirects || c.Accounts[0].Token.HTTPClient.FollowRedirects {
		t.Error("redirects would be followed")
	}
}
