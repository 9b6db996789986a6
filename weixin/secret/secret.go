// Package secret has types for values that must not be shown, such as app secrets, access tokens and URLs with
// credentials, and masks such values in other texts.
package secret

import (
	"crypto/subtle"
	"fmt"
)

// Mask replaces a secret wherever it would be shown.
const Mask = "<secret>"

// Value is a secret. However it is printed, formatted or marshalled, the result is Mask;
// only Reveal returns the secret itself. The zero value has no secret and prints as "".
type Value struct {
	// A pointer, since fmt prints unexported fields of another struct without calling their methods: it
	// then shows an address.
	text *string
}

// New returns text as a secret; "" gives the zero Value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the secret itself. The caller must not show it.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero reports whether v is the zero value.
func (v Value) IsZero() bool { return v.text == nil }

// Equal reports whether both are the same secret, in constant time.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Mask, or "" for the zero value.
func (v Value) String() string {
	if v.text == nil {
		return ""
	}
	return Mask
}

// Format writes the result of String for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// MarshalText returns the result of String; JSON and logfmt use it.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalYAML returns the result of String.
func (v Value) MarshalYAML() (any, error) { return v.String(), nil }

// UnmarshalText reads the secret.
func (v *Value) UnmarshalText(text []byte) error {
	*v = New(string(text))
	return nil
}
