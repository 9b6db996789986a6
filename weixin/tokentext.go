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

	"weixin_exporter/weixin/secret"
)

// TokenFormat says where an access token is in a JSON object.
type TokenFormat struct {
	// Path has the keys of the token, joined by dots, such as data.token; then only a JSON object is
	// accepted. "" finds the token by Weixin's own names for it, in the object itself or in the one under
	// data.
	Path string
	// Component means that the token is a platform's own, a component access token.
	Component bool
}

// names returns the keys of the token, in order of preference, and the key of a token of the other
// kind.
func (f TokenFormat) names() ([]string, string) {
	if f.Component {
		return []string{"component_access_token", "access_token"}, "authorizer_access_token"
	}
	return []string{"access_token", "authorizer_access_token"}, "component_access_token"
}

// ParseToken reads an access token of a file or a token server: raw text, a JSON string, or a JSON object
// with the token and, optionally, expires_in in seconds beside it or at the top level. White space and a
// byte order mark around it are ignored. Life is 0 if expires_in is absent. The error says in one line what
// was found, without quoting it.
func ParseToken(content []byte, format TokenFormat) (AccessToken, error) {
	text := secret.Trim(content)
	switch {
	case len(text) == 0:
		return AccessToken{}, found("an empty text")
	case text[0] == '{':
		return parseTokenObject(normalized(text), format)
	case format.Path != "":
		return AccessToken{}, found("text that is not a JSON object with " + format.Path)
	case text[0] == '"':
		var quoted string
		if json.Unmarshal(text, &quoted) != nil {
			return AccessToken{}, found("text that begins like a JSON string but is invalid")
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

// object is a JSON object. It is a map, since encoding/json ignores the case of the names of a struct's
// fields.
type object map[string]json.RawMessage

func parseTokenObject(text []byte, format TokenFormat) (AccessToken, error) {
	var root object
	if json.Unmarshal(text, &root) != nil {
		return AccessToken{}, found("text that begins like a JSON object but is invalid")
	}
	code, err := parseErrcode(root["errcode"])
	switch {
	case err != nil:
		return AccessToken{}, found("a JSON object whose errcode is not a number")
	case code != 0:
		return AccessToken{}, found(fmt.Sprintf("a JSON object with errcode %d", code))
	}
	holder, key, err := format.find(root)
	if err != nil {
		return AccessToken{}, err
	}
	shown := key
	if format.Path != "" {
		shown = format.Path
	}
	token, isString := parseString(holder[key])
	switch {
	case !isString:
		return AccessToken{}, found("a JSON object whose " + shown + " is not a string")
	case !isWord(token):
		return AccessToken{}, found("a JSON object whose " + shown + " is " + describe(token))
	}
	expiresIn, there := holder["expires_in"]
	if !there {
		expiresIn = root["expires_in"]
	}
	life, err := parseLife(expiresIn)
	if err != nil {
		return AccessToken{}, err
	}
	return AccessToken{Text: secret.New(token), Life: life}, nil
}

// find returns the object that contains the token, and the key of the token in it.
func (f TokenFormat) find(root object) (object, string, error) {
	if f.Path != "" {
		keys := strings.Split(f.Path, ".")
		holder, last := root, len(keys)-1
		for _, key := range keys[:last] {
			holder = holder.under(key)
		}
		if _, ok := holder[keys[last]]; !ok {
			return nil, "", found("a JSON object without " + f.Path)
		}
		return holder, keys[last], nil
	}
	names, other := f.names()
	holders := []object{root, root.under("data")}
	for _, holder := range holders {
		for _, name := range names {
			if _, ok := holder[name]; ok {
				return holder, name, nil
			}
		}
	}
	for _, holder := range holders {
		if _, ok := holder[other]; ok {
			return nil, "", found("a JSON object with " + other + ", which is a token of another kind,")
		}
	}
	return nil, "", found("a JSON object without " + names[0])
}

// under returns the object under a key; nil if there is none.
func (o object) under(key string) object {
	var inner object
	if json.Unmarshal(o[key], &inner) != nil {
		return nil
	}
	return inner
}

// parseLife reads expires_in in seconds, a number or a string that contains one; 0 if it is absent
// or null. A fraction is allowed: token servers compute the remaining time.
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
		return 0, found("a JSON object whose expires_in is not a number")
	}
	if seconds <= 0 {
		return 0, errors.New("found a JSON object that says that the token has expired (expires_in)")
	}
	return time.Duration(min(seconds, maxLife) * float64(time.Second)), nil
}

// found returns the error for a content that is not a token.
func found(what string) error { return fmt.Errorf("found %s instead of a token", what) }

// isWord reports whether text can be a token: one word of printable ASCII without the characters with which
// markup and JSON begin.
func isWord(text string) bool {
	return text != "" && len(text) <= maxToken &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<{["`, r) })
}

// describe says what a text that is not a token looks like, without quoting it.
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
		return "a single JSON value that is not a string"
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
		return "a word with characters that a token cannot have"
	}
}

func isBinary(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }
