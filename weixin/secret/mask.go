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

// leastAnywhere is the length in bytes from which on a secret is masked wherever it stands. Shorter
// ones stand in many an innocent word: they are masked as words of their own.
const leastAnywhere = 4

// Masker hides secrets in texts that are foreign, such as the error of a proxy that quotes the request.
// The zero value hides nothing.
type Masker []Value

// Mask returns text with Mask in place of each secret, as it is and as it stands in a URL, in JSON and
// in HTML. The text is read once: what one secret leaves is not searched for another, secrets that
// overlap become one Mask, and a Mask that stands in text already stays as it is.
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

// Hides reports whether there is anything in text that Mask would hide.
func (m Masker) Hides(text string) bool { return m.Mask(text) != text }

// Add returns m with more secrets; empty ones are left out.
func (m Masker) Add(texts ...string) Masker {
	for _, text := range texts {
		if text != "" {
			m = append(m, New(text))
		}
	}
	return m
}

var escapePattern = regexp.MustCompile(`%[0-9A-F]{2}`)

// forms returns a secret as it may stand in a text.
func forms(plain string) []string {
	if plain == "" {
		return nil
	}
	quoted, _ := json.Marshal(plain) // a string never fails
	query, path := url.QueryEscape(plain), url.PathEscape(plain)
	lower := func(escaped string) string { return escapePattern.ReplaceAllStringFunc(escaped, strings.ToLower) }
	return []string{plain, query, path, lower(query), lower(path), string(quoted[1 : len(quoted)-1]), html.EscapeString(plain)}
}

// span is a part of a text.
type span struct{ begin, end int }

// find returns where form stands in text, also where it overlaps with itself.
func find(text, form string) []span {
	var spans []span
	for from := 0; from <= len(text)-len(form); {
		at := strings.Index(text[from:], form)
		if at < 0 {
			break
		}
		s := span{from + at, from + at + len(form)}
		if len(form) >= leastAnywhere || isWord(text, s) {
			spans = append(spans, s)
		}
		from = s.begin + 1
	}
	return spans
}

// isWord reports whether what stands around the span is neither letter nor digit.
func isWord(text string, s span) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:s.begin])
	after, _ := utf8.DecodeRuneInString(text[s.end:])
	return !isWordRune(before) && !isWordRune(after)
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

// replace writes Mask in place of the spans.
func replace(text string, spans []span) string {
	masks := find(text, Mask)
	// A secret that is part of the word "secret" must not be found within a Mask.
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
