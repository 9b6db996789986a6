package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/config"
)

// account returns an item of a list of accounts.
func account(name string) string {
	return "- {name: " + name + ", app_id: wx" + name + ", app_secret: sim-secret-" + name + "}\n"
}

func names(c *config.Config) string {
	var all []string
	for _, a := range c.Accounts {
		all = append(all, a.Name)
	}
	return strings.Join(all, " ")
}

func TestAccountFiles(t *testing.T) {
	folder(t, map[string]string{
		"etc/accounts.d/b.yml": account("b2") + account("b1"),
		"etc/accounts.d/a.yml": "# comment\n" + account("a"),
		"etc/accounts.d/empty": "",
		"etc/accounts.d/c.yml": "[]\n",
		"etc/accounts.d/d.yml": "# all removed\n---\n",
		"etc/0.yml":            account("zero"),
		"etc/x[1]/e*.yml":      account("e"),
		"etc/x[1]/ef.yml":      account("ef"),
	})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const main = "accounts:\n  - {name: main, app_id: wx0, app_secret: sim-secret-0}\naccount_files: "
	for given, want := range map[string]string{
		"":                            "main",
		"[]":                          "main",
		`["accounts.d/*.yml"]`:        "main a b2 b1",
		`["accounts.d/*"]`:            "main a b2 b1",
		`["./accounts.d/../*.yml"]`:   "main zero",
		`["accounts.d/[b-z].yml"]`:    "main b2 b1",
		`["*/?.yml", 0.yml]`:          "main zero a b2 b1",
		`["accounts.d/b.yml", 0.yml]`: "main zero b2 b1",
		`["accounts.d/*.json"]`:       "main",
		`["none/*/*.yml"]`:            "main",
		`["accounts.d/empty"]`:        "main",
		`["accounts.d/a.yml", "accounts.d/?.yml", "accounts.d/../accounts.d/a.yml", "` + here + `/etc/accounts.d/*"]`: "main a b2 b1",
		`["` + here + `/etc/accounts.d/a.yml"]`: "main a",
		`['x\[1\]/e\*.yml']`:                    "main e",
		`['x\[1\]/e*.yml']`:                     "main e ef",
	} {
		if got := names(mustParse(t, "etc/config.yml", main+given+"\n")); got != want {
			t.Errorf("%s: accounts %s, want %s", strings.ReplaceAll(given, here, "…"), got, want)
		}
	}
	// A folder whose name looks like a pattern is not one.
	c := mustParse(t, "etc/x[1]/config.yml", `account_files: ["*.yml"]`)
	if got := names(c); got != "e ef" {
		t.Errorf("accounts %s in the folder x[1]", got)
	}
	c = mustParse(t, "etc/config.yml", `account_files: ["accounts.d/*.yml"]`)
	if diff := cmp.Diff([]string{"etc/accounts.d/*.yml"}, c.AccountFiles); diff != "" {
		t.Errorf("patterns differ (-want +got):\n%s", diff)
	}
	if got := c.String(); !strings.Contains(got, "account_files:\n- etc/accounts.d/*.yml\n") || !strings.Contains(got, "- name: b1\n") {
		t.Errorf("not everything is shown:\n%s", got)
	}
}

// A link to a file is the same file; a link to nothing is not an empty file.
func TestLinkedAccountFiles(t *testing.T) {
	folder(t, map[string]string{"data/a.yml": account("a")})
	if err := os.Symlink("a.yml", "data/b.yml"); err != nil {
		t.Skipf("no links: %v", err)
	}
	const content = `account_files: ["data/*.yml"]`
	if got := names(mustParse(t, "config.yml", content)); got != "a" {
		t.Errorf("accounts %s", got)
	}
	if err := os.Symlink("none", "data/c.yml"); err != nil {
		t.Fatal(err)
	}
	_, err := config.Parse("config.yml", []byte(content))
	const want = "config.yml:1:17: account_files[0]: data/c.yml cannot be read: no such file or directory; it must be a file that the exporter's user may read"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Paths and warnings of an account file are its own.
func TestAccountFileIsItsOwnPlace(t *testing.T) {
	folder(t, map[string]string{
		"config.yml": "accounts: [{name: main, app_id: wx0, app_secret_file: secrets/main, token: {type: token}}]\naccount_files: [accounts.d/b.yml, accounts.d/a.yml]\n",
		"accounts.d/a.yml": `- name: a
  app_id: wx1
  app_secret_file: secrets/a
  token: {type: token}
`,
		"accounts.d/b.yml":            "- {name: b, app_id: wx2, token: {type: url, url: 'http://tokens.example', http_config: {basic_auth: {username: u, password_file: secrets/password}}}}\n",
		"accounts.d/secrets/a":        marker + "a\n",
		"accounts.d/secrets/password": marker + "b\n",
		"secrets/main":                marker + "main\n",
	})
	c := mustLoad(t, "config.yml")
	if got, want := c.Accounts[1].AppSecretFile, filepath.Join("accounts.d", "secrets", "a"); got != want {
		t.Errorf("the secret is in %s, want %s", got, want)
	}
	if got, want := c.Accounts[2].Token.HTTPClient.BasicAuth.PasswordFile, filepath.Join("accounts.d", "secrets", "password"); got != want {
		t.Errorf("the password is in %s, want %s", got, want)
	}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", w.File, w.Line, w.Column, w.Key))
	}
	want := []string{"config.yml:1:77 accounts[0].token.type", "accounts.d/a.yml:4:11 [0].token.type", "accounts.d/b.yml:1:45 [0].token.url"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
}

// What is read again is what is there then.
func TestAccountFilesBetweenLoads(t *testing.T) {
	folder(t, map[string]string{"config.yml": `account_files: ["accounts.d/*.yml"]`, "accounts.d/a.yml": account("a"), "accounts.d/b.yml": account("b")})
	for _, step := range []struct {
		change func() error
		want   string
	}{
		{func() error { return nil }, "a b"},
		{func() error { return os.Rename("accounts.d/a.yml", "accounts.d/c.yml") }, "b a"},
		{func() error { write(t, "accounts.d/d.yml", account("d")); return nil }, "b a d"},
		{func() error { write(t, "accounts.d/b.yml", account("b")+account("e")); return nil }, "b e a d"},
		{func() error { return os.Remove("accounts.d/c.yml") }, "b e d"},
		{func() error { return os.Rename("accounts.d/d.yml", "accounts.d/d.yml.off") }, "b e"},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		if got := names(mustLoad(t, "config.yml")); got != step.want {
			t.Errorf("accounts %s, want %s", got, step.want)
		}
	}
	if err := os.RemoveAll("accounts.d"); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load("config.yml")
	const want = "config.yml:1:1: account_files: no account is given, neither under accounts nor in a file that matches; add at least one"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Accounts with an http_config of their own must not be mixed up, whether or not they have the same.
func TestManyHTTPConfigs(t *testing.T) {
	folder(t, map[string]string{"bad.pem": "no certificate"})
	var b strings.Builder
	b.WriteString("accounts:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  - {name: a%d, app_id: wx%d, token: {type: url, url: 'https://tokens.example/%d', http_config: {basic_auth: {username: u%d, password: sim-secret-1}}}}\n", i, i, i, i/2)
	}
	c := mustParse(t, "config.yml", b.String())
	for i, a := range c.Accounts {
		if got, want := a.Token.HTTPClient.BasicAuth.Username, fmt.Sprintf("u%d", i/2); got != want {
			t.Errorf("account %d has user %s, want %s", i, got, want)
		}
	}
	b.WriteString("  - {name: b, app_id: b, token: {type: url, url: 'https://tokens.example', http_config: {tls_config: {ca_file: bad.pem}}}}\n")
	b.WriteString("  - {name: c, app_id: c, token: {type: url, url: 'https://tokens.example/c', http_config: {tls_config: {ca_file: bad.pem}}}}\n")
	got := fmt.Sprint(mustParse(t, "config.yml", b.String()).AccountFaults())
	mustNotLeak(t, got)
	const want = "[config.yml:42:90: accounts[40].token.http_config.tls_config: unable to use specified CA cert file bad.pem (account \"b\" alone) " +
		"config.yml:43:92: accounts[41].token.http_config.tls_config: unable to use specified CA cert file bad.pem (account \"c\" alone)]"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s", diff)
	}
}

// writeManyFiles writes a configuration with n files of n accounts each and returns its path. Of ten
// accounts, seven have a secret, one a file, and two a token server with an http_config.
func writeManyFiles(tb testing.TB, n int) string {
	tb.Helper()
	dir := tb.TempDir()
	for f := range n {
		var b strings.Builder
		for i := range n {
			id := f*n + i
			fmt.Fprintf(&b, "- name: account %d\n  app_id: wx%016x\n", id, id)
			switch i % 10 {
			case 0:
				fmt.Fprintf(&b, "  token:\n    type: file\n    path: tokens/%d\n", id)
			case 1, 2:
				fmt.Fprintf(&b, "  token:\n    type: url\n    url: https://tokens.example/%d\n    http_config:\n      proxy_url: http://proxy:3128\n"+
					"      basic_auth: {username: exporter, password: sim-secret-0}\n      http_headers: {X-Tenant: {values: [a]}}\n", id)
			default:
				fmt.Fprintf(&b, "  app_secret: sim-secret-%d\n", id)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.accounts", f)), []byte(b.String()), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(`account_files: ["*.accounts"]`), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestManyFiles(t *testing.T) {
	c := mustLoad(t, writeManyFiles(t, 20))
	if len(c.Accounts) != 400 || c.Accounts[0].Name != "account 0" || c.Accounts[399].Name != "account 399" {
		t.Errorf("%d accounts, from %s to %s", len(c.Accounts), c.Accounts[0].Name, c.Accounts[len(c.Accounts)-1].Name)
	}
}

// BenchmarkLoadFiles loads 10,000 accounts from 100 files.
func BenchmarkLoadFiles(b *testing.B) {
	path := writeManyFiles(b, 100)
	for b.Loop() {
		if _, err := config.Load(path); err != nil {
			b.Fatal("does not load")
		}
	}
}
