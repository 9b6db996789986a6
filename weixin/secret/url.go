package secret

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// leastPart is the length in bytes from which on the user or a value of a URL's query is taken for a
// secret of its own; shorter ones are hidden with what stands around them.
const leastPart = 6

// URL is a URL whose user, password and query are secrets. However it is printed, formatted or
// marshalled, it shows as Redacted; only Reveal gives it away. The zero value is not a URL and shows as "".
type URL struct{ text Value }

// NewURL returns text as a URL; whether it is one, Parse tells.
func NewURL(text string) URL { return URL{New(text)} }

// Reveal returns the URL itself. The caller must not show it.
func (u URL) Reveal() string { return u.text.Reveal() }

// IsZero reports whether there is no URL.
func (u URL) IsZero() bool { return u.text.IsZero() }

// Equal reports whether both are the same text, in constant time.
func (u URL) Equal(other URL) bool { return u.text.Equal(other.text) }

// Parse returns the parts of the URL. Its error does not quote it.
func (u URL) Parse() (*url.URL, error) {
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		// The cause of a *url.Error quotes parts of the URL, too.
		return nil, errors.New("it is not a URL")
	}
	return parsed, nil
}

// Redacted returns the URL with Mask in place of the user and of the query.
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

// Place returns scheme, host and path, which name the URL without anything secret; "" where there is
// no host.
func (u URL) Place() string {
	parsed, err := u.Parse()
	if err != nil || parsed.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path, RawPath: parsed.RawPath}).String()
}

// Hidden returns what hides the URL and its secret parts in other texts.
func (u URL) Hidden() Masker {
	hidden := Masker{}.Add(u.Reveal())
	parsed, err := u.Parse()
	if err != nil {
		return hidden
	}
	password, _ := parsed.User.Password()
	hidden = hidden.Add(parsed.RawQuery, parsed.User.String(), password)
	for part := range strings.SplitSeq(parsed.RawQuery, "&") {
		_, value, ok := strings.Cut(part, "=")
		if !ok {
			value = part
		}
		hidden = addLong(hidden, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			hidden = addLong(hidden, plain)
		}
	}
	return addLong(hidden, parsed.User.Username())
}

func addLong(m Masker, text string) Masker {
	if len(text) < leastPart {
		return m
	}
	return m.Add(text)
}

// String returns what Redacted returns.
func (u URL) String() string { return u.Redacted() }

// Format writes what Redacted returns for every verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.Redacted())) }

// MarshalText writes what Redacted returns; JSON and logfmt use it.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.Redacted()), nil }

// MarshalYAML writes what Redacted returns.
func (u URL) MarshalYAML() (any, error) { return u.Redacted(), nil }

// UnmarshalText reads the URL.
func (u *URL) UnmarshalText(text []byte) error {
	*u = NewURL(string(text))
	return nil
}
