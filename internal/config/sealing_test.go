package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

// guest is an account whose refresh token is kept in the store.
const guest = `accounts:
  - name: guest
    app_id: wx1
    token: {type: authorizer, component_app_id: wx2, component_access_token: {type: file, path: component}, refresh_token_file: refresh}
`

const inDatabase = "url: 'postgres://db/x'"

// someKey is the text of a key whose bytes are all the same.
func someKey(digits string) string { return strings.Repeat(digits, 32) }

// inFolder parses a configuration in a folder with these files.
func inFolder(t *testing.T, text string, files map[string]string) (*config.Config, error) {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Parse(filepath.Join(folder, "config.yml"), []byte(text))
}

func TestSealingKeys(t *testing.T) {
	t.Parallel()
	c, err := inFolder(t, guest+"store: {"+inDatabase+", sealing_key_file: seal}\n", map[string]string{"seal": someKey("ab") + "\n" + someKey("cd")})
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.Sealing() == nil || !filepath.IsAbs(c.Store.SealingKeyFile) || len(c.Warnings()) > 0 || len(c.AccountFaults()) > 0 {
		t.Errorf("keys %v in %s, %v, %v", c.Store.Sealing(), c.Store.SealingKeyFile, c.Warnings(), c.AccountFaults())
	}
	if shown := c.String(); !strings.Contains(shown, "sealing_key_file: "+c.Store.SealingKeyFile) || strings.Contains(shown, "abab") {
		t.Errorf("shown as %s", shown)
	}
	without, err := inFolder(t, minimal+"store: {"+inDatabase+"}\n", nil)
	if err != nil || without.Store.Sealing() != nil {
		t.Errorf("an account that needs no keys: %v", err)
	}
}

func TestSealingFaults(t *testing.T) {
	t.Parallel()
	const keyed = guest + "store: {" + inDatabase + ", sealing_key_file: seal}\n"
	for name, test := range map[string]struct{ text, keys, want string }{
		"no file named": {guest + "store: {" + inDatabase + "}\n", "", `store.sealing_key_file: is missing; account "guest" has a token of type authorizer`},
		"how to make":   {guest + "store: {" + inDatabase + "}\n", "", `openssl rand -base64 32`},
		"with a file":   {minimal + "store: {path: a.db, sealing_key_file: seal}\n", someKey("ab"), "store.sealing_key_file: is used only with store.url or store.url_file"},
		"empty name":    {minimal + "store: {" + inDatabase + ", sealing_key_file: ''}\n", "", "store.sealing_key_file: is empty"},
		"the key":       {minimal + "store: {" + inDatabase + ", sealing_key_file: " + someKey("ab") + "}\n", "", "store.sealing_key_file: looks like the secret itself"},
		"no such file":  {minimal + "store: {" + inDatabase + ", sealing_key_file: none}\n", "", "none cannot be read: no such file"},
		"empty":         {keyed, "\n\n", "seal has no key; openssl rand -base64 32 makes one"},
		"another line":  {keyed, someKey("ab") + "\n" + marker + "abab\n", "store.sealing_key_file: line 2 of "},
		"short":         {keyed, someKey("ab")[:62], "store.sealing_key_file: line 1 of "},
		"twice":         {keyed, someKey("ab") + "\n\n" + someKey("AB"), "the same key as a line before it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := inFolder(t, test.text, map[string]string{"seal": test.keys})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want …%s…", err, test.want)
			}
			mustNotLeak(t, err.Error())
			if strings.Contains(err.Error(), "abab") {
				t.Error("a key is shown")
			}
		})
	}
}

// TestSeeds: with a database the file of a refresh token need not be there, and only a file that cannot be used is
// mentioned.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for content, warning := range map[string]string{
		"":                       "is empty; it must be the refresh token, in printable ASCII without spaces; it is needed only while the database has no refresh token of this account",
		marker + "refresh token": "another character that no secret has",
		marker + "refresh-token": "",
		"none":                   "",
	} {
		files := map[string]string{"seal": someKey("ab"), "refresh": content}
		if content == "none" {
			delete(files, "refresh")
		}
		c, err := inFolder(t, guest+"store: {"+inDatabase+", sealing_key_file: seal}\n", files)
		if err != nil || len(c.AccountFaults()) > 0 {
			t.Fatalf("%q: %v, %v", content, err, c.AccountFaults())
		}
		if got := c.Warnings(); len(got) > 1 || (len(got) == 1) != (warning != "") || warning != "" && !strings.Contains(got[0].String(), warning) {
			t.Errorf("%q: %v", content, got)
		}
		for _, w := range c.Warnings() {
			mustBeChinese(t, chinese(t), w)
		}
	}
}
