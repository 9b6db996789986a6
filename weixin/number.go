package weixin

import (
	"encoding/json"
	"strconv"
	"strings"
)

// whole is a whole number that fits 64 bits. Anything else leaves ok false instead of
// spoiling the object around it.
type whole struct {
	value int64
	ok    bool
	// reformatted says that it was not written as the documents show it, but as a string, with a
	// fraction of zeros, or with an exponent: "10", 10.0, 1e1. There is only one way to read these.
	reformatted bool
}

// UnmarshalJSON never fails.
func (w *whole) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if value, err := strconv.ParseInt(text, 10, 64); err == nil {
		*w = whole{value: value, ok: true}
		return nil
	}
	if raw[0] == '"' {
		text, _ = parseString(json.RawMessage(raw))
	}
	value, ok := parseWhole(strings.TrimSpace(text))
	*w = whole{value: value, ok: ok, reformatted: ok}
	return nil
}

// parseWhole reads a decimal number without a remainder: -1, 0900, 10.0, 1.5e1. It takes time
// and memory by the length of the text alone, however large the exponent.
func parseWhole(text string) (int64, bool) {
	mantissa, power, hasExponent := cutAny(text, "eE")
	number := strings.TrimPrefix(mantissa, "-")
	integer, fraction, hasFraction := strings.Cut(number, ".")
	digits := integer + fraction
	if !isDigits(integer) || hasFraction && !isDigits(fraction) {
		return 0, false
	}
	exponent := 0
	if hasExponent {
		if !isDigits(strings.TrimLeft(power, "+-")) {
			return 0, false
		}
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return 0, false // such as --1, or a number of digits that nobody writes
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

// cutAny is strings.Cut around the first of several characters.
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
