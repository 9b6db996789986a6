package cli

import (
	"cmp"

	"weixin_exporter/internal/i18n"
)

// languageOf returns the language of texts for people: the one with the chosen code or, if that is "", the one of the
// locale, which is in the first of the variables that is set, as POSIX has it.
func languageOf(chosen string, getenv func(string) string) i18n.Language {
	if language, ok := i18n.Parse(chosen); ok {
		return language
	}
	if getenv == nil {
		return i18n.English
	}
	language, _ := i18n.Locale(cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")))
	return language
}
