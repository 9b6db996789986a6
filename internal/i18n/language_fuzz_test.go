package i18n_test

import (
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/i18n"
)

// FuzzLanguage: whatever a browser or an environment names, the language is one of those that the program speaks, and
// English where none is.
func FuzzLanguage(f *testing.F) {
	for _, text := range []string{
		"", "zh", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hant-HK,en;q=0.1", "de,*;q=0.5", "zh;q=nan", "zh_CN.UTF-8", "C", "POSIX", "zh@latin",
		"x-private", "en-u-co-phonebk-x-a", strings.Repeat("zh,", 500), strings.Repeat("a-", 400) + "zh", "i-klingon", "und-Hans",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		accepted := i18n.Accept(text)
		parsed, spoken := i18n.Parse(text)
		local, known := i18n.Locale(text)
		for _, found := range []i18n.Language{accepted, parsed, local} {
			if !slices.Contains(i18n.All(), found) {
				t.Fatalf("%q is the language %d", text, found)
			}
		}
		if !spoken && parsed != i18n.English || !known && local != i18n.English || len(text) > 1000 && accepted != i18n.English {
			t.Errorf("%q: %v, %v and %v, not English", text, accepted, parsed, local)
		}
		if !strings.ContainsAny(text, ".@") && text != "C" && text != "POSIX" && (local != parsed || known != spoken) {
			t.Errorf("%q: %v as a locale, %v as a language", text, local, parsed)
		}
	})
}
