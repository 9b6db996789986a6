package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/config"
)

// What testdata/*.yml shows as is in testdata/*.masked.
func TestMarshalMasks(t *testing.T) {
	for _, name := range []string{"testdata/full", "testdata/oauth2"} {
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
