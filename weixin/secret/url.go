package secret

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// minPart is the least length in bytes at which the user or a value of a URL's query is masked on its own;
// shorter ones are masked as part of the user information or the query.
const minPart = 6

// URL is a URL whose user, password and query are secrets. However it is printed, formatted or
// marshalled, the result is that of Redacted; only Reveal returns the URL itself. The zero value has no URL and
// prints as "".
type URL struct{ text Value }

// NewURL returns text as a URL without checking it: see Parse.
func NewURL(text string) URL { return URL{New(text)} }

// Reveal returns the URL itself. The caller must not show it.
func (u URL) Reveal() string { return u.text.Reveal() }

// IsZero reports whether u is the zero value.
func (u URL) IsZero() bool { return u.text.IsZero() }

// Equal reports whether both URLs have the same text, in constant time.
func (u URL) Equal(other URL) bool { return u.text.Equal(other.text) }

// Parse parses the URL. The error does not quote it.
func (u URL) Parse() (*url.URL, error) {
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		// The cause inside a *url.Error quotes parts of the URL as well.
		return nil, errors.New("not a valid URL")
	}
	return parsed, nil
}

// Redacted returns the URL with Mask in place of the user information and of the query, and Mask alone for a
// text that is not a URL.
func (u URL) Redacted() string {
	if u.IsZero() {
		return ""
	}
	parsed, err := u.Parse()
	if err != nil || parsed.Opaque != "" {
		return Mask
	}
	// By text, so that the mask is not escaped.
	text, _, query := strings.Cut(u.Reveal(), "?")
	if parsed.User != nil {
		scheme, rest, _ := strings.Cut(text, "//")
		end := strings.IndexByte(rest+"/", '/')
		at := strings.LastIndexByte(rest[:end], '@')
		text = scheme + "//" + Mask + rest[max(0, at):]
	}
	if query {
		text += "?" + Mask
	}
	return text
}

// Endpoint returns scheme, host and path, which contain no secret; "" if there is no host.
func (u URL) Endpoint() string {
	parsed, err := u.Parse()
	if err != nil || parsed.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path, RawPath: parsed.RawPath}).String()
}

// Masker returns a Masker of the URL and its secret parts.
func (u URL) Masker() Masker {
	masker := Masker{}.Add(u.Reveal())
	parsed, err := u.Parse()
	if err != nil {
		return masker
	}
	password, _ := parsed.User.Password()
	masker = masker.Add(parsed.RawQuery, parsed.User.String(), password)
	for part := range strings.SplitSeq(parsed.RawQuery, "&") {
		_, value, ok := strings.Cut(part, "=")
		if !ok {
			value = part
		}
		masker = addLong(masker, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			masker = addLong(masker, plain)
		}
	}
	return addLong(masker, parsed.User.Username())
}

// addLong adds text unless it is shorter than minPart.
func addLong(m Masker, text string) Masker {
	if len(text) < minPart {
		return m
	}
	return m.Add(text)
}

// String returns the redacted URL.
func (u URL) String() string { return u.Redacted() }

// Format writes the redacted URL for every verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.Redacted())) }

// MarshalText returns the redacted URL; JSON and logfmt use it.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.Redacted()), nil }

// MarshalYAML returns the redacted URL.
func (u URL) MarshalYAML() (any, error) { return u.Redacted(), nil }

// UnmarshalText reads the URL.
func (u *URL) UnmarshalText(text []byte) error {
	*u = NewURL(string(text))
	return nil
}
