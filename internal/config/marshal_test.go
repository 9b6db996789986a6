package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/secret"
)

// What testdata/*.yml shows as is in testdata/*.masked.
func TestMarshalMasks(t *testing.T) {
	for _, name := range []string{"testdata/full", "testdata/oauth2", "testdata/remotewrite"} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load(name + ".yml")
			if err != nil {
				mustNotLeak(t, err.Error())
				t.Fatal(err)
			}
			got, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			mustNotLeak(t, string(got))
			want, err := os.ReadFile(name + ".masked")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if c.String() != string(got) {
				t.Error("String is not what Marshal returns")
			}
			for _, text := range []string{
				fmt.Sprint(c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%+v", c.Accounts), fmt.Sprintf("%#v", c.Accounts), fmt.Sprintf("%+v", c.Weixin),
			} {
				mustNotLeak(t, text)
			}
		})
	}
}

// TestMarshalManyAccounts: the list of accounts is written in parts.
func TestMarshalManyAccounts(t *testing.T) {
	var list strings.Builder
	for i := range 250 {
		fmt.Fprintf(&list, "  - {name: a%d, app_id: wx%016d, app_secret: sim-secret-%032d}\n", i, i, i)
	}
	c := mustParse(t, "config.yml", "accounts:\n"+list.String()+"refresh: {history: 3d}\n")
	got := c.String()
	mustNotLeak(t, got)
	again := mustParse(t, "config.yml", strings.ReplaceAll(got, secret.Mask, "sim-secret-00000000000000000000000000000000"))
	if len(again.Accounts) != 250 || again.Accounts[249].Name != "a249" || again.Refresh.History != c.Refresh.History {
		t.Errorf("%d accounts, history %v, read from\n%s", len(again.Accounts), again.Refresh.History, got)
	}
}

func TestMaskedURLs(t *testing.T) {
	for url, want := range map[string]string{
		"http://proxy:3128":                       "http://proxy:3128",
		"http://user@proxy:3128":                  "http://user@proxy:3128",
		"http://user:sim-secret-1@proxy":          "http://user:<secret>@proxy",
		"socks5://u:sim-secret-1%40x@proxy:1080/": "socks5://u:<secret>@proxy:1080/",
		"http://u:@proxy/?x=sim-secret-1":         "http://u:<secret>@proxy/?<secret>",
	} {
		c := mustParse(t, "config.yml", minimal+"weixin: {http_config: {proxy_url: '"+url+"'}}\n")
		got := c.String()
		mustNotLeak(t, got)
		if !strings.Contains(got, "proxy_url: "+want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// Wherever a part of a token's source may be a secret, it is masked, however it is printed.
func TestMaskedTokens(t *testing.T) {
	folder(t, map[string]string{"config.yml": tokens, "refresh/guest": marker + "refresh\n"})
	c := mustLoad(t, "config.yml")
	got := c.String()
	mustNotLeak(t, got)
	for _, text := range []any{c, *c, c.Accounts, c.Accounts[1], c.Accounts[1].Token, &c.Accounts[2].Token, c.Accounts[2].Token.ComponentAccessToken} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			mustNotLeak(t, fmt.Sprintf(verb, text))
		}
	}
	const want = `accounts:
- name: bot
  app_id: wx1
  token:
    type: file
    path: tokens/bot
- name: club
  app_id: wx2
  token:
    type: url
    url: https://<secret>@tokens.example/a@b?<secret>
    http_config:
      tls_config:
        insecure_skip_verify: true
      follow_redirects: false
      enable_http2: false
      proxy_url: http://u:<secret>@proxy:3128
      http_headers:
        X-Key:
          secrets:
          - <secret>
- name: guest
  app_id: wx3
  token:
    type: authorizer
    component_app_id: wx4
    component_access_token:
      type: url
      url: http://<secret>@tokens.example/?<secret>
      http_config:
        authorization:
          type: Bearer
          credentials: <secret>
        follow_redirects: false
        enable_http2: true
    refresh_token_file: refresh/guest
weixin:
`
	if diff := cmp.Diff(want, got[:strings.Index(got, "  base_url")]); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	for given, want := range map[string]string{
		"https://tokens.example":                  "https://tokens.example",
		"https://tokens.example/a?":               "https://tokens.example/a?<secret>",
		"https://sim-secret-1@tokens.example/a":   "https://<secret>@tokens.example/a",
		"https://:sim-secret-1@tokens.example:80": "https://<secret>@tokens.example:80",
	} {
		if got := (config.Token{Type: config.URLToken, URL: secret.NewURL(given)}).String(); got != "type: url\nurl: "+want+"\n" {
			t.Errorf("%s is not what %s becomes", want, strings.ReplaceAll(given, marker, ""))
		}
	}
}
