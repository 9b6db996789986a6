package weixin

import (
	"encoding/json"
	"strconv"
	"strings"
)

// integer is a JSON value that is an integer of 64 bits. Any other value leaves ok false, so that the object
// around it can still be read.
type integer struct {
	value int64
	ok    bool
	// reformatted means that it was not written as in the documents, but as a string, with a fraction of
	// zeros, or with an exponent: "10", 10.0, 1e1. These are not ambiguous.
	reformatted bool
}

// UnmarshalJSON never fails.
func (w *integer) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if value, err := strconv.ParseInt(text, 10, 64); err == nil {
		*w = integer{value: value, ok: true}
		return nil
	}
	if raw[0] == '"' {
		text, _ = parseString(json.RawMessage(raw))
	}
	value, ok := parseInteger(strings.TrimSpace(text))
	*w = integer{value: value, ok: ok, reformatted: ok}
	return nil
}

// parseInteger reads a decimal number whose value is an integer: -1, 0900, 10.0, 1.5e1. Time and memory
// depend on the length of the text, not on the exponent.
func parseInteger(text string) (int64, bool) {
	mantissa, power, hasExponent := cutAny(text, "eE")
	number := strings.TrimPrefix(mantissa, "-")
	whole, fraction, hasFraction := strings.Cut(number, ".")
	digits := whole + fraction
	if !isDigits(whole) || hasFraction && !isDigits(fraction) {
		return 0, false
	}
	exponent := 0
	if hasExponent {
		if !isDigits(strings.TrimLeft(power, "+-")) {
			return 0, false
		}
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return 0, false // such as --1, or an exponent of very many digits
		}
	}
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant) - len(fraction)
	significant = strings.TrimLeft(significant, "0")
	const longest = 19 // digits of the largest int64
	switch {
	case significant == "":
		return 0, true
	case exponent < 0 || exponent > longest || len(significant)+exponent > longest:
		return 0, false
	}
	if len(number) < len(mantissa) {
		significant = "-" + significant
	}
	value, err := strconv.ParseInt(significant+strings.Repeat("0", exponent), 10, 64)
	return value, err == nil
}

// cutAny is strings.Cut around the first of the given characters.
func cutAny(text, characters string) (before, after string, found bool) { //nolint:nonamedreturns // two texts that need names
	i := strings.IndexAny(text, characters)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
