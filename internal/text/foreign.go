package text

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
)

// OneLine replaces each run of spaces and of characters that are not printable by one space, and trims
// both ends.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// Shorten returns the first characters of text, with an ellipsis in place of the rest.
func Shorten(text string, characters int) string {
	if all := []rune(text); len(all) > characters {
		return string(all[:characters]) + "…"
	}
	return text
}

// WithoutURL returns the cause inside all *url.Error that err wraps: their text contains the URL, which
// may contain secrets.
func WithoutURL(err error) error {
	for {
		wrapped, ok := errors.AsType[*url.Error](err)
		if !ok || wrapped.Err == nil {
			return err
		}
		err = wrapped.Err
	}
}
