package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

func TestStoreAt(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	const url = "postgres://user:sim-secret-0815@db/x"
	for place, want := range map[string]string{
		"store.db": "store.db", "./@odd": "./@odd", "a/b://c": "a/b://c", url: "postgres://<secret>@db/x", file("good", url+"\n"): "postgres://<secret>@db/x",
		"postgresql:///x?host=/run": "postgresql:///x?<secret>",
	} {
		s, err := config.StoreAt(place)
		if err != nil || s.Place() != want || s.InMemory() {
			t.Errorf("%q: %q, %v; want %q", place, s.Place(), err, want)
		}
	}
	for place, want := range map[string]string{
		"": "must be a file", "@" + filepath.Join(folder, "missing"): "missing: no such file or directory", file("bad", "mysql://sim-secret-0815@db/x"): "bad must contain a URL",
		"postgres://user:sim-secret-0815@db": "a URL must be such as", "mysql://user:sim-secret-0815@db/x": "a URL must be such as",
	} {
		_, err := config.StoreAt(place)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sim-secret-") {
			t.Errorf("%q: %v; want %q", place, err, want)
		}
	}
}
