package weixin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/weixin"
)

// FuzzRefreshTokenFile: a file has one word, which Save leaves as it is when another is to be replaced, or an error
// that does not quote it.
func FuzzRefreshTokenFile(f *testing.F) {
	for _, content := range []string{"", "sim-token-refresh@@@abc", " sim-token-a\r\n", "\ufeffsim-token-a\n", "two words", "a\x00b", "{\"refresh_token\":\"sim-token-a\"}", strings.Repeat("a", 5000), "\xff\xfe"} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file := weixin.NewRefreshTokenFile(path)
		loaded, err := file.Load(t.Context())
		if err != nil {
			if text := strings.TrimSpace(string(content)); len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the file")
			}
			return
		}
		word := loaded.Reveal()
		if word == "" || len(strings.Fields(word)) != 1 || !strings.Contains(string(content), word) {
			t.Fatalf("%q is read as %q", content, word)
		}
		if err := file.Save(t.Context(), loaded, loaded); err != nil {
			t.Fatal(err)
		}
		if again, err := file.Load(t.Context()); err != nil || !again.Equal(loaded) {
			t.Errorf("%q is read as %q after it was saved: %v", word, again.Reveal(), err)
		}
	})
}
