// Package secret holds values that must not be seen: app secrets and access tokens.
package secret

import (
	"crypto/subtle"
	"fmt"
)

// Mask is what stands for a secret wherever it is shown.
const Mask = "<secret>"

// Value is a secret. However it is printed, formatted or marshalled, it shows as Mask;
// only Reveal gives it away. The zero value is no secret at all and shows as "".
type Value struct {
	// A pointer, because fmt prints unexported fields of a foreign struct without asking
	// their methods: what it then shows is an address.
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

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return v.text == nil }

// Equal reports whether both are the same secret, in constant time.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(other.Reveal())) == 1
}

// String returns Mask, or "" where there is no secret.
func (v Value) String() string {
	if v.text == nil {
		return ""
	}
	return Mask
}

// Format writes Mask for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// MarshalText writes Mask; JSON and logfmt use it.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalYAML writes Mask.
func (v Value) MarshalYAML() (any, error) { return v.String(), nil }

// UnmarshalText reads the secret.
func (v *Value) UnmarshalText(text []byte) error {
	*v = New(string(text))
	return nil
}
