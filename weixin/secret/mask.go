package secret

import (
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minAnywhere is the least length in bytes at which a secret is masked wherever it occurs. Shorter ones occur
// in ordinary words, and are masked only as separate words.
const minAnywhere = 4

// Masker masks secrets in texts from elsewhere, such as the error of a proxy that quotes the request.
// The zero value masks nothing.
type Masker []Value

// Mask returns text with Mask in place of each secret, both as it is and as it is escaped in URLs, JSON and
// HTML. Secrets that overlap become one Mask, and a Mask that text already contains is kept.
func (m Masker) Mask(text string) string {
	hidden := make(map[string]bool, 2*len(m))
	for _, value := range m {
		for _, form := range forms(value.Reveal()) {
			hidden[form] = true
		}
	}
	var spans []span
	for form := range hidden {
		spans = append(spans, find(text, form)...)
	}
	if len(spans) == 0 {
		return text
	}
	return replace(text, spans)
}

// Hides reports whether text contains a secret that Mask would replace.
func (m Masker) Hides(text string) bool { return m.Mask(text) != text }

// Add returns m with more secrets; empty ones are ignored.
func (m Masker) Add(texts ...string) Masker {
	for _, text := range texts {
		if text != "" {
			m = append(m, New(text))
		}
	}
	return m
}

var escapePattern = regexp.MustCompile(`%[0-9A-F]{2}`)

// forms returns the forms in which a secret may occur in a text.
func forms(plain string) []string {
	if plain == "" {
		return nil
	}
	quoted, _ := json.Marshal(plain) // never fails for a string
	query, path := url.QueryEscape(plain), url.PathEscape(plain)
	lower := func(escaped string) string { return escapePattern.ReplaceAllStringFunc(escaped, strings.ToLower) }
	return []string{plain, query, path, lower(query), lower(path), string(quoted[1 : len(quoted)-1]), html.EscapeString(plain)}
}

// span is a part of a text.
type span struct{ begin, end int }

// find returns all occurrences of form in text, including those that overlap.
func find(text, form string) []span {
	var spans []span
	for from := 0; from <= len(text)-len(form); {
		at := strings.Index(text[from:], form)
		if at < 0 {
			break
		}
		s := span{from + at, from + at + len(form)}
		if len(form) >= minAnywhere || isWord(text, s) {
			spans = append(spans, s)
		}
		from = s.begin + 1
	}
	return spans
}

// isWord reports whether neither a letter nor a digit is next to the span.
func isWord(text string, s span) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:s.begin])
	after, _ := utf8.DecodeRuneInString(text[s.end:])
	return !isWordRune(before) && !isWordRune(after)
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

// replace returns text with Mask in place of the spans.
func replace(text string, spans []span) string {
	masks := find(text, Mask)
	// A secret that is part of the word "secret" must not be replaced inside of a Mask.
	spans = slices.DeleteFunc(spans, func(s span) bool {
		return slices.ContainsFunc(masks, func(m span) bool { return m.begin <= s.begin && s.end <= m.end })
	})
	slices.SortFunc(spans, func(a, b span) int { return a.begin - b.begin })
	var b strings.Builder
	done := 0
	for i := 0; i < len(spans); {
		whole := spans[i]
		for i++; i < len(spans) && spans[i].begin < whole.end; i++ {
			whole.end = max(whole.end, spans[i].end)
		}
		b.WriteString(text[done:whole.begin])
		b.WriteString(Mask)
		done = whole.end
	}
	b.WriteString(text[done:])
	return b.String()
}
