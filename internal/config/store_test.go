package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

// TestStoreInADatabase reads the URL of the store from the configuration and from a file.
func TestStoreInADatabase(t *testing.T) {
	const url = "postgres://weixin:" + marker + "pw@db.example:5432/stats?sslmode=require"
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "url"), []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := map[string]*config.Config{}
	for key, text := range map[string]string{
		"store.url":      "store: {url: '" + url + "', retention: 30d}\n",
		"store.url_file": "store: {url_file: url, retention: 30d}\n",
	} {
		c := mustParse(t, filepath.Join(folder, "config.yml"), minimal+text)
		read[key] = c
		if c.Store.Database().Reveal() != url || c.Store.Path != "" || c.Store.InMemory() || c.Store.Key() != key {
			t.Errorf("%s: in %s, path %q, key %s", key, c.Store.Place(), c.Store.Path, c.Store.Key())
		}
		shown, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(shown), c.String(), c.Store.Place(), fmt.Sprintf("%v %+v %#v", c.Store, c.Store, c.Store)} {
			mustNotLeak(t, text)
		}
		if strings.Contains(string(shown), "path:") {
			t.Errorf("%s: shown with a path:\n%s", key, shown)
		}
	}
	if !read["store.url"].Store.Same(read["store.url_file"].Store) {
		t.Error("the same database is another store")
	}
	file := mustParse(t, filepath.Join(folder, "config.yml"), minimal)
	if file.Store.Same(read["store.url"].Store) || file.Store.Key() != "store.path" || file.Store.InMemory() {
		t.Errorf("the default store: %q", file.Store.Place())
	}
	if !strings.Contains(read["store.url"].String(), "url: postgres://<secret>@db.example:5432/stats?<secret>") {
		t.Errorf("shown as %s", read["store.url"])
	}
}

func TestStoreRefusals(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "bad"), []byte("db.example"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ store, want string }{
		"two places":         {"{path: a.db, url: 'postgres://db/x'}", "store.url: cannot be given together with store.path, which is on line"},
		"two files":          {"{url: 'postgres://db/x', url_file: bad}", "store.url_file: cannot be given together with store.url, which is on line"},
		"memory and another": {"{path: '', url: 'postgres://db/x'}", "store.url: cannot be given together with store.path"},
		"another scheme":     {"{url: 'mysql://db/x'}", "store.url: must be a URL of PostgreSQL"},
		"no database":        {"{url: 'postgres://db'}", "store.url: must be a URL of PostgreSQL"},
		"no host":            {"{url: 'postgres:///x'}", "store.url: must be a URL of PostgreSQL"},
		"no file":            {"{url_file: none}", "store.url_file: "},
		"an empty name":      {"{url_file: ''}", "store.url_file: "},
		"not a URL":          {"{url_file: bad}", "store.url_file: must be the path of a file that contains a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse(filepath.Join(folder, "config.yml"), []byte(minimal+"store: "+test.store+"\n"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want …%s…", err, test.want)
			}
		})
	}
}

// TestRetentionAndMaxAge: a day that the store no longer has cannot be sent, nor counted as lost.
func TestRetentionAndMaxAge(t *testing.T) {
	const url = "{url: 'http://127.0.0.1/write'"
	for name, test := range map[string]struct{ text, want string }{
		"nothing is sent":     {"store: {retention: 30d}\n", ""},
		"for ever":            {"remote_write: [" + url + "}]\n", ""},
		"a day longer":        {"store: {retention: 31d}\nremote_write: [" + url + "}]\n", ""},
		"as long":             {"store: {retention: 30d}\nremote_write: [" + url + "}]\n", "store.retention: is not longer than remote_write[0].max_age, which is 30d: "},
		"shorter than a part": {"store: {retention: 30d}\nremote_write: [" + url + ", name: a, max_age: 1d}, " + url + ", name: b, max_age: 721h}, " + url + "}]\n", "remote_write[1].max_age, which is 30d1h: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := config.Faults(mustParse(t, "config.yml", minimal+test.text).Warnings())
			if text := got.Error(); !strings.Contains(text, test.want) || (test.want == "") != (len(got) == 0) {
				t.Errorf("warnings %q, want …%s…", text, test.want)
			}
		})
	}
}
