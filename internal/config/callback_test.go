package config_test

import (
	"fmt"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

// callbackKey is an EncodingAESKey, which cannot begin with the marker: it has letters and digits alone.
const callbackKey = "simsecretsimsecretsimsecretsimsecretsimsecr"

const callbacks = `accounts:
  - name: shop
    app_id: wx1
    app_secret: sim-secret-shop
    callback:
      url: https://u:sim-secret-1@shop.example/weixin?key=sim-secret-2
      token: sim-secret-token
      http_config: {proxy_url: "http://u:sim-secret-3@proxy:3128", tls_config: {insecure_skip_verify: true}}
  - name: guest
    app_id: wx2
    token: {type: authorizer, component_app_id: wx9, component_access_token: {type: file, path: none}, refresh_token_file: refresh/guest}
    callback: &platform
      url: https://platform.example/$APPID$/callback
      token_file: token
      aes_key_file: key
      message: true
  - name: club
    app_id: wx3
    token: {type: file, path: none}
    callback:
      url: http://10.0.0.1:8080/callback
      token_file: token
      aes_key_file: key
      message: true
      message_event: VIEW
      message_to: gh_1
      encryption: compatible
      app_id: wx8
      allow_metadata_address: true
  - name: plain
    app_id: wx4
    app_secret: sim-secret-plain
    callback: {url: "https://plain.example/", token: abc, message: true, message_event: VIEW}
  - name: none
    app_id: wx5
    app_secret: sim-secret-none
`

func TestCallbacks(t *testing.T) {
	folder(t, map[string]string{"etc/config.yml": callbacks, "etc/refresh/guest": marker + "refresh", "etc/token": "\ufeff" + marker + "file\r\n", "etc/key": callbackKey + "\n"})
	c := mustLoad(t, "etc/config.yml")
	shop, guest, club, plain, none := c.Accounts[0].Callback, c.Accounts[1].Callback, c.Accounts[2].Callback, c.Accounts[3].Callback, c.Accounts[4].Callback
	if shop.Message || shop.Encryption != "" || shop.HTTPClient == nil || shop.HTTPClient.FollowRedirects || !strings.HasSuffix(shop.URL.Reveal(), "?key="+marker+"2") {
		t.Errorf("shop: %s", shop)
	}
	if guest.Encryption != "safe" || guest.MessageTo != "gh_3c884a361561" || guest.AppID != "wx9" || guest.MessageEvent != "" {
		t.Errorf("guest: %s", guest)
	}
	if club.Encryption != "compatible" || club.MessageTo != "gh_1" || club.AppID != "wx8" || !club.AllowMetadataAddress {
		t.Errorf("club: %s", club)
	}
	if plain.Encryption != "plain" || plain.AppID != "" {
		t.Errorf("plain: %s", plain)
	}
	if none != nil {
		t.Errorf("none: %s", none)
	}
	for name, callback := range map[string]*config.Callback{marker + "token": shop, marker + "file": guest, "abc": plain} {
		if token, err := callback.CurrentToken(); err != nil || token.Reveal() != name {
			t.Errorf("a token is read as %d bytes, %v", len(token.Reveal()), err)
		}
	}
	if key, err := club.CurrentAESKey(); err != nil || key.Reveal() != callbackKey {
		t.Errorf("the AES key is read as %d bytes, %v", len(key.Reveal()), err)
	}
	for _, text := range []any{c, *c, c.Accounts, shop, *shop} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			mustNotLeak(t, fmt.Sprintf(verb, text))
		}
	}
	const want = `  callback:
    url: https://<secret>@shop.example/weixin?<secret>
    token: <secret>
    message: false
    allow_metadata_address: false
    http_config:
`
	if got := c.String(); !strings.Contains(got, want) || !strings.Contains(got, "proxy_url: http://u:<secret>@proxy:3128\n") || strings.Contains(got, callbackKey) {
		t.Errorf("shown as\n%s", got)
	}
	const warning = "etc/config.yml:8:81: accounts[0].callback.http_config.tls_config.insecure_skip_verify: an expired or wrong certificate is not noticed, which Weixin refuses; name the certificate's issuer in ca_file instead"
	if got := config.Faults(c.Warnings()).Error(); !strings.Contains(got, warning) {
		t.Errorf("warnings:\n%s", got)
	}
}

// A file that cannot be used concerns the account alone, and is used as soon as it is fixed.
func TestCallbackFiles(t *testing.T) {
	folder(t, map[string]string{"config.yml": callbacks, "refresh/guest": marker + "refresh", "token": strings.Repeat("x", 40), "key": "short"})
	c := mustLoad(t, "config.yml")
	var faults []string
	for _, f := range c.AccountFaults() {
		faults = append(faults, f.String())
	}
	text := strings.Join(faults, "\n")
	for _, want := range []string{
		`accounts[1].callback.token_file: the content of token is not a token; it must be the token that is set with Weixin together with the URL, 3 to 32 letters and digits (account "guest" alone)`,
		`accounts[2].callback.aes_key_file: the content of key is not an EncodingAESKey;`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	folder(t, map[string]string{"token": "abcd"})
	guest := c.Accounts[1].Callback
	if token, err := guest.CurrentToken(); err != nil || token.Reveal() != "abcd" {
		t.Errorf("a fixed file: %v", err)
	}
	if _, err := guest.CurrentAESKey(); err == nil || !strings.Contains(err.Error(), "key cannot be read: no such file or directory") {
		t.Errorf("a file that is gone: %v", err)
	}
}
