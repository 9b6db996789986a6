package callback_test

import (
	"regexp"
	"strings"
	"testing"

	"weixin_exporter/weixin/callback"
)

// FuzzParseKey: a key is 43 characters of base64 and nothing else, encrypts what it decrypts, and is quoted nowhere.
func FuzzParseKey(f *testing.F) {
	for _, text := range []string{"", docKey, docKey + "=", docKey[:42] + "\n", docKey[:39] + "\r\n\r\n", strings.Repeat("=", 43), strings.Repeat("-", 43)} {
		f.Add(text)
	}
	form := regexp.MustCompile(`^[A-Za-z0-9+/]{43}$`)
	f.Fuzz(func(t *testing.T, text string) {
		k, err := callback.ParseKey(text)
		if (err == nil) != form.MatchString(text) || k.IsZero() != (err != nil) {
			t.Fatalf("a key (%v): %v", !k.IsZero(), err)
		}
		if err != nil {
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the key: %v", err)
			}
			return
		}
		if k.Text().Reveal() != text || strings.Contains(k.String(), text) {
			t.Errorf("the text is another one, or shown as %s", k)
		}
		got, id, err := k.Decrypt(k.Encrypt([]byte("message"), docAppID, [16]byte{7}))
		if err != nil || string(got) != "message" || id != docAppID {
			t.Errorf("decrypted %q for %q: %v", got, id, err)
		}
	})
}
