package i18n

import (
	"strings"

	"golang.org/x/text/language"
)

// Language is one of the languages that the program speaks to people in. The zero value is English.
type Language uint8

const (
	// English is the language of the log, and the one that is taken where no other is asked for.
	English Language = iota
	// Chinese is Simplified Chinese.
	Chinese
	// Languages is their number, for arrays indexed by Language.
	Languages
)

// String returns the code by which a language is chosen: "en" or "zh".
func (l Language) String() string {
	if l == Chinese {
		return "zh"
	}
	return "en"
}

// Tag returns the language as the attribute lang of HTML and the header Content-Language have it.
func (l Language) Tag() string {
	if l == Chinese {
		return "zh-CN"
	}
	return "en"
}

// Name returns the language's own name.
func (l Language) Name() string {
	if l == Chinese {
		return "中文"
	}
	return "English"
}

// All returns all languages.
func All() []Language { return []Language{English, Chinese} }

func (l Language) tag() language.Tag {
	if l == Chinese {
		return language.SimplifiedChinese
	}
	return language.English
}

// Parse reads a language as a person names it, such as "en", "zh" or "zh-CN". It returns false for a
// language that the program does not speak.
func Parse(name string) (Language, bool) {
	tag, err := language.Parse(name)
	if err != nil {
		return English, false
	}
	return match(tag)
}

// Accept returns the best language for the value of a header Accept-Language: English where it is
// missing, invalid or asks for none of the languages.
func Accept(header string) Language {
	const longest = 1000 // bytes; a browser sends less than a hundred
	if len(header) > longest {
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return English
	}
	found, _ := match(tags...)
	return found
}

// Locale returns the language of a POSIX locale, such as "zh_CN.UTF-8". It returns false for "C",
// "POSIX", "" and languages that the program does not speak.
func Locale(name string) (Language, bool) {
	name, _, _ = strings.Cut(name, ".")
	name, _, _ = strings.Cut(name, "@")
	if name == "" || name == "C" || name == "POSIX" {
		return English, false
	}
	return Parse(name)
}

// match returns the best language for tags in the order of preference, and false if there is none.
func match(tags ...language.Tag) (Language, bool) {
	// Who reads Traditional Chinese reads Simplified Chinese rather than English.
	supported := []language.Tag{English: English.tag(), Chinese: Chinese.tag(), Languages: language.TraditionalChinese}
	_, i, confidence := language.NewMatcher(supported).Match(tags...)
	if confidence == language.No {
		return English, false
	}
	return min(Language(i), Chinese), true
}
