package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/config"
)

const examplePath = "../../config.example.yml"

func example(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The defaults in the example are the defaults of the program.
func TestExample(t *testing.T) {
	c := mustParse(t, examplePath, example(t))
	if len(c.Accounts) != 1 || len(c.Warnings()) > 0 {
		t.Fatalf("%d accounts, warnings %v", len(c.Accounts), c.Warnings())
	}
	want := config.Default()
	want.Accounts = c.Accounts
	want.Store.Path = filepath.Join("..", "..", want.Store.Path)
	if diff := cmp.Diff(want.String(), c.String()); diff != "" {
		t.Errorf("shows other values than the defaults (-default +example):\n%s", diff)
	}
	mustShowEveryKey(t, c, example(t))
}

// With its commented examples, the example is to load and to show every key.
func TestExampleUncommented(t *testing.T) {
	content := strings.ReplaceAll(example(t), "\n#:", "\n")
	inline, file := "    app_secret: replace-with-the-app-secret\n", "    # app_secret_file: "
	if content == example(t) || !strings.Contains(content, inline+file) {
		t.Fatal("the commented examples are not where this test looks for them")
	}
	inFile := strings.Replace(content, inline+file, "    app_secret_file: ", 1)
	folder(t, map[string]string{
		"config.yml":                  content,
		"in-file.yml":                 inFile,
		"secrets/shop":                marker + "shop\n",
		"secrets/shop-aes-key":        strings.Repeat("A", 43) + "\n",
		"secrets/token-server":        marker + "token-server\n",
		"secrets/receiver":            marker + "receiver\n",
		"secrets/guest-refresh-token": marker + "refresh-token\n",
		"accounts.d/more.yml":         "- {name: more, app_id: wx1, app_secret: sim-secret-1}\n",
	})
	c := mustLoad(t, "config.yml")
	mustShowEveryKey(t, c, content)
	c = mustLoad(t, "in-file.yml")
	if len(c.Warnings()) > 0 || len(c.AccountFaults()) > 0 {
		t.Errorf("warnings: %v, faults of files: %v", c.Warnings(), c.AccountFaults())
	}
	var got []string
	for _, a := range c.Accounts {
		got = append(got, a.Name+" "+string(a.Token.Type))
	}
	want := []string{"shop stable_token", "bot file", "club url", "guest authorizer", "more stable_token"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts differ (-want +got):\n%s", diff)
	}
	if len(c.RemoteWrite) != 1 || c.RemoteWrite[0].HTTPClient.BasicAuth == nil {
		t.Error("the example of remote write is not read as it is shown")
	}
	if c.Accounts[0].AppSecretFile != "secrets/shop" || c.Accounts[3].Token.ComponentAccessToken.HTTPClient == nil {
		t.Error("an example is not read as it is shown")
	}
}

// mustShowEveryKey compares the keys of the text with those that the configuration has.
func mustShowEveryKey(t *testing.T, c *config.Config, content string) {
	t.Helper()
	var shown, all map[string]any
	if err := yaml.Load([]byte(content), &shown); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Load([]byte(c.String()), &all); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys(all), keys(shown)); diff != "" {
		t.Errorf("does not show the keys that there are (-all +shown):\n%s", diff)
	}
}

// keys returns the paths of all keys; http_config counts as one.
func keys(value any) map[string]bool {
	found := map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, child := range value {
				found[path+"."+key] = true
				if key != "http_config" {
					walk(path+"."+key, child)
				}
			}
		case []any:
			for _, child := range value {
				walk(path, child)
			}
		}
	}
	walk("", value)
	return found
}
