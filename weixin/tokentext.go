package weixin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"weixin_exporter/secret"
)

// ParseToken reads an access token as files and token servers give it: raw text, a JSON
// string, or a JSON object with access_token and, if it likes, expires_in in seconds. White
// space and a byte order mark around it do not matter. Life is 0 where none is stated. The
// error says in one line what was found, and shows nothing of it.
func ParseToken(content []byte) (AccessToken, error) {
	text := secret.Trim(content)
	switch {
	case len(text) == 0:
		return AccessToken{}, found("an empty text")
	case text[0] == '{':
		return parseTokenObject(text)
	case text[0] == '"':
		var quoted string
		if json.Unmarshal(text, &quoted) != nil {
			return AccessToken{}, found("text that begins like a JSON string but is none")
		}
		if !isWord(quoted) {
			return AccessToken{}, found("a JSON string with " + describe(quoted))
		}
		return AccessToken{Text: secret.New(quoted)}, nil
	case !isWord(string(text)) || json.Valid(text):
		return AccessToken{}, found(describe(string(text)))
	default:
		return AccessToken{Text: secret.New(string(text))}, nil
	}
}

func parseTokenObject(text []byte) (AccessToken, error) {
	// A map, because encoding/json does not compare the names of a struct's fields exactly.
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return AccessToken{}, found("text that begins like a JSON object but is none")
	}
	code, err := parseErrcode(fields["errcode"])
	if err != nil {
		return AccessToken{}, found("a JSON object whose errcode is no number")
	}
	raw, there := fields["access_token"]
	token, isString := parseString(raw)
	switch {
	case code != 0:
		return AccessToken{}, found(fmt.Sprintf("a JSON object with errcode %d", code))
	case !there:
		return AccessToken{}, found("a JSON object without access_token")
	case !isString:
		return AccessToken{}, found("a JSON object whose access_token is no string")
	case !isWord(token):
		return AccessToken{}, found("a JSON object whose access_token is " + describe(token))
	}
	life, err := parseLife(fields["expires_in"])
	if err != nil {
		return AccessToken{}, err
	}
	return AccessToken{Text: secret.New(token), Life: life}, nil
}

// parseLife reads expires_in, a number or a string with a number in it; 0 where it is absent
// or null. A fraction is allowed: token servers compute what remains.
func parseLife(raw json.RawMessage) (time.Duration, error) {
	if raw == nil || string(raw) == "null" {
		return 0, nil
	}
	text := string(raw)
	if raw[0] == '"' {
		text, _ = parseString(raw)
		text = strings.TrimSpace(text)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if !json.Valid([]byte(text)) || err != nil && !math.IsInf(seconds, 0) {
		return 0, found("a JSON object whose expires_in is no number")
	}
	if seconds <= 0 {
		return 0, errors.New("found a JSON object that says that the token has expired (expires_in)")
	}
	return time.Duration(min(seconds, maxLife) * float64(time.Second)), nil
}

// found returns the error for what is no token.
func found(what string) error { return fmt.Errorf("found %s instead of a token", what) }

// isWord reports whether text can be a token: one word of printable ASCII without the
// characters that markup and JSON begin with.
func isWord(text string) bool {
	return text != "" && len(text) <= maxToken &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<{["`, r) })
}

// describe says what text is, which is no token, without quoting it.
func describe(text string) string {
	start := strings.ToLower(text[:min(len(text), 16)])
	lines, words := strings.Count(strings.TrimSpace(text), "\n")+1, len(strings.Fields(text))
	switch {
	case words == 0:
		return "an empty text"
	case strings.HasPrefix(start, "<!doctype html"), strings.HasPrefix(start, "<html"):
		return "an HTML page"
	case start[0] == '<':
		return "markup such as HTML or XML"
	case start[0] == '[' || start[0] == '{':
		return "JSON of another form"
	case json.Valid([]byte(text)):
		return "a single JSON value that is no string"
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return "text in UTF-16"
	case !utf8.ValidString(text) || strings.ContainsFunc(text, isBinary):
		return fmt.Sprintf("%d bytes of binary data", len(text))
	case lines > 1:
		return fmt.Sprintf("%d lines of text", lines)
	case words > 1:
		return fmt.Sprintf("%d words of text", words)
	case len(text) > maxToken:
		return fmt.Sprintf("a word of %d bytes", len(text))
	default:
		return "a word with characters that no token has"
	}
}

func isBinary(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
